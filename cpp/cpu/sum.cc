// y = scale * sum of x over the middle axis: pieces of a length fixed by the shape in float32, added up in double.
#include "cpp/ops/sum.h"

#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// Elements of a piece of one row; rows of a piece of many columns; columns of a tile.
constexpr int64_t kPiece = 16384, kRows = 256, kTile = 512;

template <typename T>
float sum_dense(const T* x, int64_t n) {
  Vec s[4] = {};
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    for (int k = 0; k < 4; ++k) s[k] += load(x + i + k * kWidth);
  }
  for (; i < n; i += kWidth) s[0] += load_lanes(x + i, n - i < kWidth ? n - i : kWidth);
  return reduce_add((s[0] + s[1]) + (s[2] + s[3]));
}

// y[j] = sum over rows of x[row, j], for a tile of columns.
template <typename T>
void sum_rows(const T* x, int64_t stride, int64_t rows, int64_t columns, float* y) {
  for (int64_t j = 0; j < columns; j += kWidth) {
    const int64_t n = columns - j < kWidth ? columns - j : kWidth;
    Vec s{};
    for (int64_t row = 0; row < rows; ++row) s += load_lanes(x + row * stride + j, n);
    store_partial(y + j, s, n);
  }
}

template <typename T>
void sum(const Sum& op) {
  const T* const x = static_cast<const T*>(op.x.data);
  T* const y = static_cast<T*>(op.y.data);
  const int64_t outer = op.x.shape[0], length = op.x.shape[1], inner = op.x.shape[2];
  if (outer == 0 || inner == 0) return;
  const int64_t piece = inner == 1 ? kPiece : kRows;
  const int64_t pieces = length > piece ? (length + piece - 1) / piece : 1, tiles = (inner + kTile - 1) / kTile;
  // [outer, pieces, inner]
  float* const partial = static_cast<float*>(scratch(Slot::kernel0, sizeof(float) * outer * pieces * inner));
  const int64_t work = (length < piece ? length : piece) * (inner < kTile ? inner : kTile) + 1;
  parallel_blocks(outer * pieces * tiles, work < kPiece ? kPiece / work : 1, [&](int64_t item, int64_t end) {
    for (; item < end; ++item) {
      const int64_t i = item / tiles / pieces, p = item / tiles % pieces, column = item % tiles * kTile;
      const int64_t rows = length - p * piece < piece ? length - p * piece : piece;
      const T* from = x + (i * length + p * piece) * inner + column;
      float* to = partial + (i * pieces + p) * inner + column;
      if (inner == 1) {
        *to = sum_dense(from, rows);
      } else {
        sum_rows(from, inner, rows, inner - column < kTile ? inner - column : kTile, to);
      }
    }
  });
  parallel_blocks(outer * inner, kPiece, [&](int64_t item, int64_t end) {
    for (; item < end; ++item) {
      const float* from = partial + item / inner * pieces * inner + item % inner;
      double total = 0;
      for (int64_t p = 0; p < pieces; ++p) total += static_cast<double>(from[p * inner]);
      store_one(y + item, static_cast<float>(total * op.scale));
    }
  });
}

}  // namespace

template <>
void run(const Sum& op) {
  if (op.x.dtype == DType::float32) sum<float>(op);
  if (op.x.dtype == DType::bfloat16) sum<bf16>(op);
  if (op.x.dtype == DType::float16) sum<f16>(op);
}

}  // namespace statespace::cpu::STATESPACE_ISA
