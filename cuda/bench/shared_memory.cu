// What loads of shared memory cost when lanes read the same addresses, and shuffles, which use the same port.
#include "cuda/bench/harness.h"
#include "cuda/device/reduce.cuh"
#include "cuda/device/shared.cuh"
#include "cuda/device/vector.cuh"

namespace statespace::cuda::bench {
namespace {

constexpr int kThreads = 128;
constexpr int kUnroll = 8;  // loads at fixed distances from one address: hardly an instruction besides
constexpr int kApart = 12;  // vectors from one of these loads to the next
constexpr int kSums = 4;
constexpr int kStarts = 256;                                    // where the address may be, a power of two
constexpr int kUnits = kStarts + kUnroll * kApart + kWarpSize;  // vectors in shared memory

// Which lanes read the same vector.
enum class Sharing { kNone, kAll, kPairsBy1, kPairsBy2, kFours };

template <Sharing kSharing>
__host__ __device__ int unit_of(int lane) {
  if (kSharing == Sharing::kAll) return 0;
  if (kSharing == Sharing::kPairsBy1) return lane / 2;
  if (kSharing == Sharing::kPairsBy2) return lane / 4 * 2 + lane % 2;
  if (kSharing == Sharing::kFours) return lane / 4;
  return lane;
}

__host__ __device__ inline float word(int i) { return static_cast<float>(i % 61); }

// kShuffles after each load. Sums of small integers are exact.
template <int kWords, Sharing kSharing, int kShuffles>
__global__ void __launch_bounds__(kThreads) shared_loads(float* out, int iterations, int step) {
  auto& words = block_shared<float[kUnits * kWords], struct SharedWords>();
  for (int i = static_cast<int>(threadIdx.x); i < kUnits * kWords; i += kThreads) words[i] = word(i);
  __syncthreads();  // all words are there
  const int unit = unit_of<kSharing>(lane_index());
  float sum[kSums] = {};
  unsigned start = 0;
  for (int i = 0; i < iterations; ++i) {
    const float* from = &words[(start + unit) * kWords];
#pragma unroll
    for (int k = 0; k < kUnroll; ++k) {
      float& to = sum[k % kSums];
      const Vector<float, kWords> v = load_vector<kWords>(from + k * kApart * kWords);
#pragma unroll
      for (int w = 0; w < kWords; ++w) to += v[w];
#pragma unroll
      for (int s = 0; s < kShuffles; ++s) to = __shfl_xor_sync(kFullWarp, to, 1) + 1.0f;
    }
    start = (start + static_cast<unsigned>(step)) % kStarts;
  }
  out[blockIdx.x * kThreads + threadIdx.x] = sum[0] + sum[1] + sum[2] + sum[3];
}

template <int kWords, Sharing kSharing, int kShuffles>
std::string compare(const std::vector<float>& got, int iterations, int step) {
  for (int lane = 0; lane < kWarpSize; ++lane) {
    // The sums of two neighbours, which shuffles exchange.
    double sums[kSums][2] = {};
    for (int i = 0; i < iterations; ++i) {
      for (int k = 0; k < kUnroll; ++k) {
        double(&pair)[2] = sums[k % kSums];
        for (int side = 0; side < 2; ++side) {
          const int at = i * step % kStarts + unit_of<kSharing>(lane ^ side) + k * kApart;
          for (int w = 0; w < kWords; ++w) pair[side] += word(at * kWords + w);
        }
        for (int s = 0; s < kShuffles; ++s) {
          std::swap(pair[0], pair[1]);
          pair[0] += 1, pair[1] += 1;
        }
      }
    }
    const double want = sums[0][0] + sums[1][0] + sums[2][0] + sums[3][0];
    if (static_cast<double>(got[lane]) != want) {
      return "lane " + std::to_string(lane) + " has " + std::to_string(got[lane]) + ", expected " +
             std::to_string(want);
    }
  }
  return "";
}

template <int kWords, Sharing kSharing, int kShuffles = 0>
void measure(Harness& harness, const char* name) {
  const unsigned grid = static_cast<unsigned>(harness.chip().multiprocessors * harness.either(8, 1));
  const int iterations = harness.either(512, 8), step = 33;
  Buffer<float> out(static_cast<size_t>(grid) * kThreads);
  // Of warps: what the port sees.
  const double instructions = static_cast<double>(grid) * (kThreads / kWarpSize) * kUnroll * iterations;
  harness.rate(
      name, "warp instructions", instructions,
      [&](cudaStream_t stream) {
        launch(shared_loads<kWords, kSharing, kShuffles>, {dim3(grid), dim3(kThreads)}, stream, out.data(), iterations,
               step);
      },
      [&] { return compare<kWords, kSharing, kShuffles>(harness.read(out), iterations, step); });
}

// Chains of shuffles alone.
__global__ void __launch_bounds__(kThreads) shuffles(float* out, int iterations) {
  float v[8];
#pragma unroll
  for (int j = 0; j < 8; ++j) v[j] = static_cast<float>(lane_index() * 8 + j);
#pragma unroll 4
  for (int i = 0; i < iterations; ++i) {
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] = __shfl_xor_sync(kFullWarp, v[j], 1) + 1.0f;
  }
  float sum = 0;
#pragma unroll
  for (int j = 0; j < 8; ++j) sum += v[j];
  out[blockIdx.x * kThreads + threadIdx.x] = sum;
}

void measure_shuffles(Harness& harness) {
  const unsigned grid = static_cast<unsigned>(harness.chip().multiprocessors * harness.either(8, 1));
  const int iterations = harness.either(1024, 9);
  Buffer<float> out(static_cast<size_t>(grid) * kThreads);
  harness.rate(
      "SHFL", "warp instructions", static_cast<double>(grid) * (kThreads / kWarpSize) * 8 * iterations,
      [&](cudaStream_t stream) {
        launch(shuffles, {dim3(grid), dim3(kThreads)}, stream, out.data(), iterations);
      },
      [&]() -> std::string {
        const std::vector<float> got = harness.read(out);
        for (int lane = 0; lane < kWarpSize; ++lane) {
          const int from = iterations % 2 ? lane ^ 1 : lane;
          float want = 0;
          for (int j = 0; j < 8; ++j) want += static_cast<float>(from * 8 + j + iterations);
          if (got[lane] != want) return "lane " + std::to_string(lane) + " is wrong";
        }
        return "";
      });
}

}  // namespace

void measure_shared_memory(Harness& harness) {
  measure<4, Sharing::kNone>(harness, "LDS.128, all lanes apart");
  measure<4, Sharing::kAll>(harness, "LDS.128, all lanes together");
  measure<4, Sharing::kPairsBy1>(harness, "LDS.128, lanes n and n^1 together");
  measure<4, Sharing::kPairsBy2>(harness, "LDS.128, lanes n and n^2 together");
  measure<4, Sharing::kFours>(harness, "LDS.128, four lanes together");
  measure<2, Sharing::kNone>(harness, "LDS.64, all lanes apart");
  measure<2, Sharing::kAll>(harness, "LDS.64, all lanes together");
  measure_shuffles(harness);
  measure<4, Sharing::kAll, 2>(harness, "LDS.128 together, with 2 SHFL");
}

}  // namespace statespace::cuda::bench
