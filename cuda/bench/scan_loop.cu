// The inner loop of the selective scan without its tiles: how many warps does a scheduler need to fill its issue slots,
// and does unrolling help? The arithmetic is that of the kernels (selective_scan_step.cuh).
#include <cmath>

#include "cuda/bench/harness.h"
#include "cuda/device/shared.cuh"
#include "cuda/device/vector.cuh"
#include "cuda/kernels/selective_scan_step.cuh"

namespace statespace::cuda::bench {
namespace {

constexpr int kThreads = 128;  // one warp a scheduler
constexpr int kSteps = 64;     // in shared memory, walked again and again
constexpr int kStates = 16, kLanes = 2, kChannels = 2, kPart = kStates / kLanes;

// Of step t: what a tile would have brought. The same on the host.
__host__ __device__ inline float B_of(int t, int n) { return 0.1f * static_cast<float>((t + n) % 7 - 3); }
__host__ __device__ inline float C_of(int t, int n) { return 0.1f * static_cast<float>((t + 3 * n) % 5 - 2); }
__host__ __device__ inline float delta_of(int t, int channel) {
  return 0.05f * static_cast<float>(1 + (t + channel) % 4);
}
__host__ __device__ inline float u_of(int t) { return 0.25f * static_cast<float>(t % 8 - 3); }
__host__ __device__ inline float A_of(int n) { return -0.5f * static_cast<float>(n + 1); }  // in units of log2(e)

template <int kUnroll>
__global__ void __launch_bounds__(kThreads, 4) scan_loop(float* out, int rounds) {
  namespace scan = selective_scan;
  auto& wide = block_shared<float[kSteps][2 * kStates], struct LoopStates>();
  auto& own = block_shared<float[kSteps][2], struct LoopInputs>();  // u, and the step of channel 0
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kLanes;
  for (int t = thread; t < kSteps; t += kThreads) {
    for (int n = 0; n < kStates; ++n) wide[t][n] = B_of(t, n), wide[t][kStates + n] = C_of(t, n);
    own[t][0] = u_of(t), own[t][1] = delta_of(t, 0);
  }
  __syncthreads();  // all steps are there

  float A[kPart], h[kChannels][kPart] = {};
#pragma unroll
  for (int i = 0; i < kPart; ++i) A[i] = A_of(lane * kPart + i);
  float total = 0;
  for (int round = 0; round < rounds; ++round) {
#pragma unroll kUnroll
    for (int t = 0; t < kSteps; ++t) {
      float B[kPart], C[kPart];
      load_floats(B, &wide[t][lane * kPart]);
      load_floats(C, &wide[t][kStates + lane * kPart]);
      const float u = own[t][0], mine = own[t][1] + 0.05f * static_cast<float>(lane);
      float sum[kChannels];
#pragma unroll
      for (int slot = 0; slot < kChannels; ++slot) {
        const float delta = slot == 0 ? mine : __shfl_xor_sync(kFullWarp, mine, slot);
        const float delta_u = mul_rn(delta, u);
#pragma unroll
        for (int i = 0; i < kPart; ++i) h[slot][i] = scan::advance(h[slot][i], delta, A[i], delta_u, B[i]);
        sum[slot] = scan::output_of(h[slot], C);
      }
      total = fma_rn(total, 0.5f, add_rn(sum[0], __shfl_xor_sync(kFullWarp, sum[1], 1)));
    }
  }
  out[blockIdx.x * kThreads + threadIdx.x] = total;
}

// Lane 0 owns a channel whose steps are delta_of(t, 0), lane 1 one whose steps are larger by 0.05.
double total_on_host(int lane, int rounds) {
  double h[kStates] = {}, total = 0;
  for (int round = 0; round < rounds; ++round) {
    for (int t = 0; t < kSteps; ++t) {
      const double delta = delta_of(t, 0) + 0.05 * lane;
      double sum = 0;
      for (int n = 0; n < kStates; ++n) {
        h[n] = std::exp2(delta * A_of(n)) * h[n] + delta * u_of(t) * B_of(t, n);
        sum += h[n] * C_of(t, n);
      }
      total = 0.5 * total + sum;
    }
  }
  return total;
}

template <int kUnroll>
void measure(Harness& harness, int warps) {
  const unsigned grid = static_cast<unsigned>(harness.chip().multiprocessors * warps);
  const int rounds = harness.either(64, 1);
  Buffer<float> out(static_cast<size_t>(grid) * kThreads);
  const double pairs = static_cast<double>(grid) * kThreads * kChannels * kPart * kSteps * rounds;
  harness.rate(
      "scan loop, " + std::to_string(warps) + " warps a scheduler, unrolled " + std::to_string(kUnroll), "pairs", pairs,
      [&](cudaStream_t stream) {
        launch(scan_loop<kUnroll>, {dim3(grid), dim3(kThreads)}, stream, out.data(), rounds);
      },
      [&]() -> std::string {
        const std::vector<float> got = harness.read(out);
        for (const size_t thread : {size_t{0}, size_t{1}, got.size() - 1}) {
          const double want = total_on_host(static_cast<int>(thread % kLanes), rounds);
          if (!(std::fabs(got[thread] - want) <= 1e-4 * (1 + std::fabs(want)))) {
            return "thread " + std::to_string(thread) + " has " + std::to_string(got[thread]) + ", expected " +
                   std::to_string(want);
          }
        }
        return "";
      });
}

}  // namespace

void measure_scan_loop(Harness& harness) {
  for (int warps = 1; warps <= (kEmulated ? 1 : 4); ++warps) {
    measure<2>(harness, warps);
    measure<4>(harness, warps);
    measure<8>(harness, warps);
  }
}

}  // namespace statespace::cuda::bench
