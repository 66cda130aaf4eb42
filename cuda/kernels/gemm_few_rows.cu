// Products with up to 8 rows, as in decoding: b is read once, a column of it by each warp, and a comes from the caches.
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/gemm.cuh"

namespace statespace::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kUnroll = 4;  // octets of b that are under way

template <int kRows>
__global__ void __launch_bounds__(kThreads) gemm_few_rows_kernel(GemmArguments arguments, Floats a, Floats b) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarpSize) + warp_index();
  const int lane = lane_index();
  const int64_t k_end = column < arguments.n ? arguments.k : 0;  // a warp without a column takes part in the sums
  constexpr int64_t kStep = kWarpSize * kOctet;

  float sums[kRows] = {};
  for (int64_t first = lane * kOctet; first < k_end; first += kUnroll * kStep) {
    Octet octets[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      const int64_t k = first + i * kStep;
      octets[i] =
          load_octet(b, column * arguments.b.line_stride + (k < k_end ? k : 0), k < k_end ? octet_count(k, k_end) : 0);
    }
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      const int64_t k = first + i * kStep;
      if (k >= k_end) continue;
      float weights[kOctet];
      convert(octets[i], b.dtype, weights);
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        if (row >= arguments.m) continue;
        float values[kOctet];
        load_octet(values, a, row * arguments.a.line_stride + k, octet_count(k, k_end));
#pragma unroll
        for (int j = 0; j < kOctet; ++j) sums[row] = fma_rn(values[j], weights[j], sums[row]);
      }
    }
  }
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    const float sum = warp_sum(sums[row]);
    if (lane == row) arguments.store(0, 0, row, column, sum);
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
