// y = x weight^T + bias, dx = dy weight, dweight = dy^T x, dbias = sum of dy over the rows.
#include "cpp/ops/linear.h"

#include "cpp/cpu/gemm.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// Columns of a tile of dbias.
constexpr int64_t kTile = 256;

MatrixView view(const Tensor& t) { return {t.data, t.dtype, t.row_stride(), 1}; }
MatrixView transposed(const Tensor& t) { return {t.data, t.dtype, 1, t.row_stride()}; }
MatrixTarget target(const Tensor& t) { return {t.data, t.dtype, t.row_stride()}; }

// Sums over chunks of rows, whose number follows from the shape; then over the chunks, in order.
template <typename T>
void sum_rows(const Tensor& dy, float* y) {
  const int64_t rows = dy.rows(), n = dy.dim(-1), stride = dy.row_stride();
  const T* const data = static_cast<const T*>(dy.data);
  const int64_t chunk = rows > 4096 ? (rows + 31) / 32 : 128, chunks = rows > 0 ? (rows + chunk - 1) / chunk : 0;
  const int64_t tiles = (n + kTile - 1) / kTile;
  float* const partial = static_cast<float*>(scratch(Slot::kernel0, sizeof(float) * chunks * n));
  const int64_t work = (rows < chunk ? rows : chunk) * (n < kTile ? n : kTile) + 1;
  parallel_for(chunks * tiles, 16384 / work + 1, [=](int64_t task) {
    const int64_t index = task / tiles, begin = task % tiles * kTile, end = n - begin < kTile ? n : begin + kTile;
    const int64_t last = rows < (index + 1) * chunk ? rows : (index + 1) * chunk;
    for (int64_t j = begin; j < end; j += kWidth) {
      const int64_t lanes = end - j < kWidth ? end - j : kWidth;
      Vec s{};
      for (int64_t row = index * chunk; row < last; ++row) {
        s += lanes == kWidth ? load(data + row * stride + j) : load_partial(data + row * stride + j, lanes);
      }
      store_partial(partial + index * n + j, s, lanes);
    }
  });
  for (int64_t j = 0; j < n; j += kWidth) {
    const int64_t lanes = n - j < kWidth ? n - j : kWidth;
    Vec s{};
    for (int64_t index = 0; index < chunks; ++index) s += load_partial(partial + index * n + j, lanes);
    store_partial(y + j, s, lanes);
  }
}

}  // namespace

template <>
void run(const LinearForward& op) {
  gemm(op.x.rows(), op.weight.dim(0), op.weight.dim(1), view(op.x), transposed(op.weight), target(op.y),
       {.bias = static_cast<const float*>(op.bias.data)});
}

template <>
void run(const LinearBackwardInput& op) {
  gemm(op.dy.rows(), op.weight.dim(1), op.weight.dim(0), view(op.dy), view(op.weight), target(op.dx));
}

template <>
void run(const LinearBackwardWeight& op) {
  gemm(op.dy.dim(-1), op.x.dim(-1), op.x.rows(), transposed(op.dy), view(op.x), target(op.dweight));
  if (!op.with_bias) return;
  float* const dbias = static_cast<float*>(op.dbias.data);
  if (op.dy.dtype == DType::float32) sum_rows<float>(op.dy, dbias);
  if (op.dy.dtype == DType::bfloat16) sum_rows<bf16>(op.dy, dbias);
  if (op.dy.dtype == DType::float16) sum_rows<f16>(op.dy, dbias);
}

template <>
void run(const LinearPack& op) {
  pack(op.weight.dim(1), op.weight.dim(0), transposed(op.weight), op.dtype, op.packed.data);
}

template <>
void run(const LinearPackedForward& op) {
  const PackedMatrix packed = {op.packed.data, op.packed.dtype, op.packed.dim(1), op.y.dim(-1)};
  gemm_packed(op.x.rows(), view(op.x), packed, target(op.y), {.bias = static_cast<const float*>(op.bias.data)});
}

}  // namespace statespace::cpu::STATESPACE_ISA
