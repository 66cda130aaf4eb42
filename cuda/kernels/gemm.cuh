// Matrix products of any sizes, strides and floating types; see Context::Gemm.
#pragma once

#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

using Gemm = Context::Gemm;

// c (+)= a b + bias: by the vendor's library where the context has one, else by the kernels behind this header. Empty
// products are none, and with k = 0 the product is zero.
void gemm(const Gemm& product, Context& context);

// A tensor's rows, or columns, as the rows of an operand.
struct Matrix {
  const Tensor& tensor;
  int64_t row, column;  // strides
};
inline Matrix as_is(const Tensor& tensor) { return {tensor, tensor.row_stride(), 1}; }
inline Matrix transposed(const Tensor& tensor) { return {tensor, 1, tensor.row_stride()}; }

// c (+)= a b + bias of single matrices.
void multiply(int64_t m, int64_t n, int64_t k, const Matrix& a, const Matrix& b, const Tensor& c, const float* bias,
              bool accumulate, Context& context);

// One operand as a kernel sees it: `line` counts rows of a or columns of b.
struct GemmOperand {
  const void* data;
  int64_t line_stride, k_stride, batch_stride;
};

// Where a product's blocks write: to c, or the sums over a part of k to `partial` [splits, batch, m, n].
struct GemmArguments {
  int64_t m, n, k;
  GemmOperand a, b;
  Floats c;
  int64_t ldc, c_batch;
  const float* bias;
  bool accumulate;
  int64_t batch;
  int64_t splits, split_k;  // parts of k, and the length of all but the last
  float* partial;
  int64_t tiles_m, tiles_n;

  __device__ void store(int64_t split, int64_t product, int64_t row, int64_t column, float value) const {
    if (row >= m || column >= n) return;
    if (partial) {
      partial[((split * batch + product) * m + row) * n + column] = value;
    } else {
      finish(product, row, column, value);
    }
  }
  __device__ void finish(int64_t product, int64_t row, int64_t column, float value) const {
    const int64_t index = product * c_batch + row * ldc + column;
    if (bias) value += bias[column];
    if (accumulate) value += load_float(c, index);
    store_float(c, index, value);
  }
};

// The block of a tile kernel: its tile, its product and its part of k.
struct GemmBlock {
  int64_t row, column, product, split, k_start, k_end;
};

// Blocks that run together share columns of b, whose tiles are then read from the L2 cache.
template <int kTileM, int kTileN>
__device__ GemmBlock gemm_block(const GemmArguments& arguments) {
  int64_t index = blockIdx.x;
  GemmBlock block;
  block.row = index % arguments.tiles_m * kTileM;
  index /= arguments.tiles_m;
  block.column = index % arguments.tiles_n * kTileN;
  index /= arguments.tiles_n;
  block.product = index % arguments.batch;
  block.split = index / arguments.batch;
  block.k_start = block.split * arguments.split_k;
  block.k_end = min(arguments.k, block.k_start + arguments.split_k);
  return block;
}

constexpr int kGemmTile = 128;

// Launch one kernel over arguments.tiles_m * tiles_n * batch * splits blocks.
void launch_gemm_float(const GemmArguments& arguments, Context& context);
void launch_gemm_tensor_core(const GemmArguments& arguments, DType dtype, Context& context);

// Products with few rows, whose operands are dense along k: they wait for the memory of b.
constexpr int64_t kMaxFewRows = 8;
void launch_gemm_few_rows(const GemmArguments& arguments, DType dtype, Context& context);

}  // namespace statespace::cuda
