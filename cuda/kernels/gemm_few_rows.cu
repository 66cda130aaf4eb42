// Products with up to 8 rows, as in decoding: b is read once, a column of it by each warp, and a comes from the caches.
#include "cuda/kernels/gemm.cuh"
#include "cuda/kernels/row_dots.cuh"

namespace statespace::cuda {

namespace {

constexpr int kThreads = 256;

template <int kRows>
__global__ void __launch_bounds__(kThreads) gemm_few_rows_kernel(GemmArguments arguments, Floats a, Floats b) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarpSize) + warp_index();
  float sums[1][kRows];
  // A warp without a column takes part in the sums.
  row_dots<kRows, 1>(sums, b, arguments.b.line_stride, column, arguments.n, column < arguments.n ? arguments.k : 0,
                     arguments.m, [&](float(&values)[kOctet], int row, int64_t k, int count) {
                       load_octet(values, a, row * arguments.a.line_stride + k, count);
                     });
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    if (lane_index() == row) arguments.store(0, 0, row, column, sums[0][row]);
  }
}

Floats floats_of(const void* data, DType dtype) {
  Floats floats;
  floats.data = const_cast<void*>(data);
  floats.dtype = dtype;
  return floats;
}

}  // namespace

void launch_gemm_few_rows(const GemmArguments& arguments, DType dtype, Context& context) {
  const dim3 grid(static_cast<unsigned>(ceil_div<int64_t>(arguments.n, kThreads / kWarpSize)));
  const auto kernel = arguments.m == 1   ? gemm_few_rows_kernel<1>
                      : arguments.m <= 4 ? gemm_few_rows_kernel<4>
                                         : gemm_few_rows_kernel<static_cast<int>(kMaxFewRows)>;
  launch(kernel, {grid, dim3(kThreads)}, context.stream, arguments, floats_of(arguments.a.data, dtype),
         floats_of(arguments.b.data, dtype));
}

}  // namespace statespace::cuda
