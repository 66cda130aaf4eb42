// The clock under a load like the scan's: exponentials and multiply-adds on every multiprocessor for a while.
#include <cmath>

#include "cuda/bench/harness.h"
#include "cuda/bench/instructions.cuh"

namespace statespace::cuda::bench {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocksPerMultiprocessor = 4;

struct Span {
  long long cycles, nanoseconds;
};

__global__ void __launch_bounds__(kThreads) busy(Span* spans, float* out, int iterations, float a, float b) {
  const long long cycles_before = cycles(), time_before = nanoseconds();
  float x[8];
#pragma unroll
  for (int j = 0; j < 8; ++j) x[j] = 0.9f + 0.001f * static_cast<float>(j);
  for (int i = 0; i < iterations; ++i) {
#pragma unroll
    for (int j = 0; j < 8; ++j) x[j] = fma_rn(ex2(x[j]), a, b);
  }
  float sum = 0;
#pragma unroll
  for (int j = 0; j < 8; ++j) sum += x[j];
  out[blockIdx.x * kThreads + threadIdx.x] = sum;
  if (threadIdx.x == 0) spans[blockIdx.x] = {cycles() - cycles_before, nanoseconds() - time_before};
}

}  // namespace

void measure_clock(Harness& harness) {
  const unsigned grid =
      static_cast<unsigned>(harness.chip().multiprocessors * harness.either(kBlocksPerMultiprocessor, 1));
  // About 0.2 s on a GPU: long enough for it to reach its clock under load.
  const int iterations = harness.either(harness.quick() ? 100'000 : 400'000, 20);
  constexpr float kA = -0.5f, kB = 0.7f;
  Buffer<Span> spans(grid);
  Buffer<float> out(static_cast<size_t>(grid) * kThreads);
  launch(busy, {dim3(grid), dim3(kThreads)}, nullptr, spans.data(), out.data(), iterations, kA, kB);
  double x = 0.9;
  for (int i = 0; i < std::min(iterations, 1000); ++i) x = kA * std::exp2(x) + kB;
  std::string wrong;
  // It has settled long before: all chains end alike.
  if (!(std::fabs(harness.read(out)[0] - 8 * x) <= 1e-3)) wrong = "the chains are wrong";
  std::vector<double> clocks;
  for (const Span& span : spans.download()) {
    if (span.nanoseconds > 0) clocks.push_back(static_cast<double>(span.cycles) / span.nanoseconds);
  }
  if (clocks.empty() && !kEmulated) wrong = "the chip's time does not advance";
  std::sort(clocks.begin(), clocks.end());
  const double ghz = clocks.empty() ? 0 : clocks[clocks.size() / 2];
  harness.value("clock under load", "GHz", ghz, wrong);
  if (wrong.empty()) harness.set_clock(ghz);
}

}  // namespace statespace::cuda::bench
