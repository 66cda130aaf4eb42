// Rows of a table by id, and the sum of gradients by id.
#include "cpp/ops/embedding.h"

#include "cpp/cpu/copy.h"
#include "cpp/cpu/failures.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

namespace {

constexpr int64_t kBlock = 16384;
// Columns of a task in the backward pass: four cache lines of float32.
constexpr int64_t kTile = 64;

void check_ids(const Tensor& ids, int64_t vocab, const char* op) {
  const int32_t* const id = static_cast<const int32_t*>(ids.data);
  for (int64_t i = 0, count = ids.size(); i < count; ++i) {
    if (id[i] < 0 || id[i] >= vocab) throw_outside(op, "id", id[i], i, "table", vocab, "rows");
  }
}

// A task owns the ids that leave rest `part`, and a tile of columns; it adds in the order of positions.
template <typename T>
void backward(const EmbeddingBackward& op) {
  const int64_t count = op.ids.size(), dim = op.dy.dim(-1), size = op.dweight.size();
  const int32_t* const ids = static_cast<const int32_t*>(op.ids.data);
  const T* const dy = static_cast<const T*>(op.dy.data);
  float* const dweight = static_cast<float*>(op.dweight.data);
  parallel_blocks(size, 4 * kBlock, [=](int64_t begin, int64_t end) {
    __builtin_memset(dweight + begin, 0, (end - begin) * sizeof(float));
  });
  const int64_t parts = count * dim > 4 * kBlock ? 4 : 1, tiles = (dim + kTile - 1) / kTile;
  const int64_t work = count * dim / (parts * tiles + 1) + 1;
  parallel_for(parts * tiles, kBlock / work, [=](int64_t task) {
    const int64_t part = task / tiles, begin = task % tiles * kTile;
    const int64_t n = dim - begin < kTile ? dim - begin : kTile;
    for (int64_t position = 0; position < count; ++position) {
      if (ids[position] % parts != part) continue;
      const T* const from = dy + position * dim + begin;
      float* const to = dweight + ids[position] * dim + begin;
      int64_t i = 0;
      for (; i + kWidth <= n; i += kWidth) store(to + i, load(to + i) + load(from + i));
      if (i < n) store_partial(to + i, load_partial(to + i, n - i) + load_partial(from + i, n - i), n - i);
    }
  });
}

}  // namespace

template <>
void run(const EmbeddingForward& op) {
  const int64_t dim = op.weight.dim(1);
  check_ids(op.ids, op.weight.dim(0), EmbeddingForward::row.name);
  const int32_t* const ids = static_cast<const int32_t*>(op.ids.data);
  const int64_t from = dim * static_cast<int64_t>(size_of(op.weight.dtype));
  const int64_t to = dim * static_cast<int64_t>(size_of(op.y.dtype));
  parallel_blocks(op.ids.size(), kBlock / (dim + 1) + 1, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      convert_row(static_cast<const char*>(op.weight.data) + ids[i] * from, op.weight.dtype,
                  static_cast<char*>(op.y.data) + i * to, op.y.dtype, dim);
    }
  });
}

template <>
void run(const EmbeddingBackward& op) {
  check_ids(op.ids, op.vocab, EmbeddingBackward::row.name);
  if (op.dy.dtype == DType::float32) backward<float>(op);
  if (op.dy.dtype == DType::bfloat16) backward<bf16>(op);
  if (op.dy.dtype == DType::float16) backward<f16>(op);
}

}  // namespace statespace::cpu::STATESPACE_ISA
