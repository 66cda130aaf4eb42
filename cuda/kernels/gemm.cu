// Chooses how a matrix product is computed, and adds the parts of k where it was split.
#include "cuda/kernels/gemm.cuh"

#include <algorithm>

namespace statespace::cuda {

namespace {

// One thread per element of c: adds the parts of k in their order.
__global__ void add_splits_kernel(GemmArguments arguments) {
  const int64_t size = arguments.batch * arguments.m * arguments.n;
  const int64_t index = global_thread();
  if (index >= size) return;
  float sum = 0.0f;
  for (int64_t split = 0; split < arguments.splits; ++split) sum += arguments.partial[split * size + index];
  const int64_t row = index / arguments.n;
  arguments.finish(row / arguments.m, row % arguments.m, index % arguments.n, sum);
}

// Parts of k, so that a product with few tiles still fills a chip; from the shape alone, as it decides the order.
int64_t choose_splits(const GemmArguments& arguments) {
  constexpr int64_t kWantedBlocks = 256, kLeastLength = 512, kMaxSplits = 32;
  const int64_t blocks = arguments.tiles_m * arguments.tiles_n * arguments.batch;
  return std::max<int64_t>(1, std::min({kWantedBlocks / blocks, arguments.k / kLeastLength, kMaxSplits}));
}

// One thread per element.
__global__ void narrow_kernel(const float* bias, Floats narrow, int64_t size) {
  const int64_t i = global_thread();
  if (i < size) store_float(narrow, i, bias[i]);
}

// A library's epilogue wants the bias in the type of a 16-bit result, whose rounding is as large as that of the bias.
bool gemm_by_library(Gemm product, Context& context) {
  if (product.k == 0 || !context.has_gemm_library()) return false;
  if (product.bias && static_cast<DType>(product.c_type) != DType::float32) {
    Floats narrow(context.scratch_bytes(2 * static_cast<size_t>(product.n)), static_cast<DType>(product.c_type));
    launch_each(narrow_kernel, product.n, context, product.bias, narrow, product.n);
    product.narrow_bias = narrow.data;
  }
  return context.gemm(product);
}

}  // namespace

void gemm(const Gemm& product, Context& context) {
  if (product.m * product.n * product.batch == 0) return;
  if (gemm_by_library(product, context)) return;
  GemmArguments arguments;
  arguments.m = product.m;
  arguments.n = product.n;
  arguments.k = product.k;
  arguments.a = {product.a, product.a_row, product.a_column, product.a_batch};
  arguments.b = {product.b, product.b_column, product.b_row, product.b_batch};
  arguments.c.data = product.c;
  arguments.c.dtype = static_cast<DType>(product.c_type);
  arguments.ldc = product.ldc;
  arguments.c_batch = product.c_batch;
  arguments.bias = product.bias;
  arguments.accumulate = product.accumulate;
  arguments.batch = product.batch;
  arguments.splits = 1;
  arguments.split_k = product.k;
  arguments.partial = nullptr;
  const DType dtype = static_cast<DType>(product.a_type);

  const bool is_dense = product.a_column == 1 && product.b_row == 1;
  if (product.m <= kMaxFewRows && product.batch == 1 && is_dense) {
    return launch_gemm_few_rows(arguments, dtype, context);
  }
  arguments.tiles_m = ceil_div<int64_t>(product.m, kGemmTile);
  arguments.tiles_n = ceil_div<int64_t>(product.n, kGemmTile);
  const int64_t splits = choose_splits(arguments);
  if (splits > 1) {
    constexpr int64_t kAlignment = 64;  // a vector of k never belongs to two parts
    arguments.split_k = ceil_div(ceil_div(product.k, splits), kAlignment) * kAlignment;
    arguments.splits = ceil_div(product.k, arguments.split_k);
    arguments.partial =
        context.scratch<float>(static_cast<size_t>(arguments.splits * product.batch * product.m * product.n));
  }
  if (dtype == DType::float32) {
    launch_gemm_float(arguments, context);
  } else {
    launch_gemm_tensor_core(arguments, dtype, context);
  }
  if (arguments.partial) {
    launch_each(add_splits_kernel, product.batch * product.m * product.n, context, arguments);
  }
}

void multiply(int64_t m, int64_t n, int64_t k, const Matrix& a, const Matrix& b, const Tensor& c, const float* bias,
              bool accumulate, Context& context) {
  Gemm product = {};
  product.m = m;
  product.n = n;
  product.k = k;
  product.a = a.tensor.data;
  product.a_type = static_cast<int>(a.tensor.dtype);
  product.a_row = a.row;
  product.a_column = a.column;
  product.b = b.tensor.data;
  product.b_type = static_cast<int>(b.tensor.dtype);
  product.b_row = b.row;
  product.b_column = b.column;
  product.c = c.data;
  product.c_type = static_cast<int>(c.dtype);
  product.ldc = c.row_stride();
  product.bias = bias;
  product.accumulate = accumulate;
  product.batch = 1;
  gemm(product, context);
}

}  // namespace statespace::cuda
