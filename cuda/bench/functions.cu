// Rates of the special function units, of multiply-adds, and of both together: does an exponential cost issue slots
// only, or does it hold up the multiply-adds beside it?
#include <cmath>

#include "cuda/bench/harness.h"
#include "cuda/bench/instructions.cuh"

namespace statespace::cuda::bench {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocksPerMultiprocessor = 4;
constexpr int kChains = 8;  // independent, to hide latency

enum class Function { kNone, kEx2, kRcp, kTanh, kLg2 };

// Each chain is x <- a f(x) + b with a slope below one, so that errors die out and the end can be computed on the host.
struct Chain {
  float a, b;
};

template <Function kFunction>
__device__ float apply(float x) {
  if constexpr (kFunction == Function::kEx2) return ex2(x);
  if constexpr (kFunction == Function::kRcp) return rcp(x);
  if constexpr (kFunction == Function::kTanh) return tanh_approximate(x);
  if constexpr (kFunction == Function::kLg2) return lg2(x);
  return x;
}

double apply_on_host(Function function, double x) {
  switch (function) {
    case Function::kEx2:
      return std::exp2(x);
    case Function::kRcp:
      return 1 / x;
    case Function::kTanh:
      return std::tanh(x);
    case Function::kLg2:
      return std::log2(x);
    default:
      return x;
  }
}

__host__ __device__ inline float chain_start(int thread, int chain) {
  return 0.9f + 0.01f * static_cast<float>(thread % 16) + 0.001f * static_cast<float>(chain);
}
__host__ __device__ inline float sum_start(int chain) { return 0.1f * static_cast<float>(chain); }

// kExtra multiply-adds beside each function, in chains of their own.
template <Function kFunction, int kExtra>
__global__ void __launch_bounds__(kThreads) function_chains(float* out, int iterations, Chain chain, Chain beside) {
  const int thread = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  float x[kChains], y[kChains];
#pragma unroll
  for (int j = 0; j < kChains; ++j) x[j] = chain_start(thread, j), y[j] = sum_start(j);
#pragma unroll 4
  for (int i = 0; i < iterations; ++i) {
#pragma unroll
    for (int j = 0; j < kChains; ++j) {
      x[j] = fma_rn(apply<kFunction>(x[j]), chain.a, chain.b);
#pragma unroll
      for (int k = 0; k < kExtra; ++k) {
        float& to = y[(j * kExtra + k) % kChains];
        to = fma_rn(to, beside.a, beside.b);
      }
    }
  }
  float sum = 0;
#pragma unroll
  for (int j = 0; j < kChains; ++j) sum += x[j] + (kExtra > 0 ? y[j] : 0.0f);
  out[thread] = sum;
}

// As many integer operations as multiply-adds: they have units of their own, so that together they take every issue
// slot.
__global__ void __launch_bounds__(kThreads)
    mixed_chains(float* out, unsigned* bits, int iterations, Chain chain, unsigned mask) {
  const int thread = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  float x[kChains];
  unsigned n[kChains];
#pragma unroll
  for (int j = 0; j < kChains; ++j) x[j] = chain_start(thread, j), n[j] = static_cast<unsigned>(thread + j);
#pragma unroll 4
  for (int i = 0; i < iterations; ++i) {
#pragma unroll
    for (int j = 0; j < kChains; ++j) {
      x[j] = fma_rn(x[j], chain.a, chain.b);
      n[j] = (n[j] & mask) ^ static_cast<unsigned>(i);
    }
  }
  float sum = 0;
  unsigned all = 0;
#pragma unroll
  for (int j = 0; j < kChains; ++j) sum += x[j], all ^= n[j] << j;
  out[thread] = sum;
  bits[thread] = all;
}

double chain_end(Function function, int iterations, Chain chain, double x) {
  for (int i = 0; i < iterations; ++i) x = chain.a * apply_on_host(function, x) + chain.b;
  return x;
}

std::string compare(const std::vector<float>& got, Function function, int extra, int iterations, Chain chain,
                    Chain beside) {
  for (const size_t thread : {size_t{0}, size_t{13}, got.size() - 1}) {
    double want = 0;
    for (int j = 0; j < kChains; ++j) {
      want += chain_end(function, iterations, chain, chain_start(static_cast<int>(thread), j));
      if (extra > 0) want += chain_end(Function::kNone, iterations * extra, beside, sum_start(j));
    }
    // tanh has eleven bits.
    if (!(std::fabs(got[thread] - want) <= 2e-3 * std::fabs(want))) {
      return "thread " + std::to_string(thread) + " has " + std::to_string(got[thread]) + ", expected " +
             std::to_string(want);
    }
  }
  return "";
}

struct Setup {
  explicit Setup(const Harness& harness)
      : iterations(harness.either(2048, 24)),
        grid(static_cast<unsigned>(harness.chip().multiprocessors * harness.either(kBlocksPerMultiprocessor, 1))),
        out(static_cast<size_t>(grid) * kThreads) {}
  int iterations;
  unsigned grid;
  Buffer<float> out;
  double operations() const { return static_cast<double>(grid) * kThreads * kChains * iterations; }
};

template <Function kFunction, int kExtra>
double measure(Harness& harness, const char* name, const char* unit, Chain chain) {
  const Setup setup(harness);
  const Chain beside = {0.5f, 0.25f};
  return harness.rate(
      name, unit, setup.operations(),
      [&](cudaStream_t stream) {
        launch(function_chains<kFunction, kExtra>, {dim3(setup.grid), dim3(kThreads)}, stream, setup.out.data(),
               setup.iterations, chain, beside);
      },
      [&] { return compare(harness.read(setup.out), kFunction, kExtra, setup.iterations, chain, beside); });
}

constexpr Chain kEx2Chain = {-0.5f, 0.7f}, kRcpChain = {0.5f, 0.8f}, kTanhChain = {-0.5f, 0.7f},
                kLg2Chain = {0.5f, 1.5f}, kPlainChain = {0.5f, 0.5f};

double measure_mixed(Harness& harness) {
  const Setup setup(harness);
  Buffer<unsigned> bits(setup.out.size());
  constexpr unsigned kMask = 0x7fffffffu;
  return harness.rate(
      "issue: FFMA and integer logic 1:1", "instructions", 2 * setup.operations(),
      [&](cudaStream_t stream) {
        launch(mixed_chains, {dim3(setup.grid), dim3(kThreads)}, stream, setup.out.data(), bits.data(),
               setup.iterations, kPlainChain, kMask);
      },
      [&]() -> std::string {
        unsigned want = 0;
        for (int j = 0; j < kChains; ++j) {
          unsigned n = static_cast<unsigned>(j);
          for (int i = 0; i < setup.iterations; ++i) n = (n & kMask) ^ static_cast<unsigned>(i);
          want ^= n << j;
        }
        if (harness.read(bits)[0] != want) return "the integers of thread 0 are wrong";
        return compare(harness.read(setup.out), Function::kNone, 0, setup.iterations, kPlainChain, kPlainChain);
      });
}

}  // namespace

void measure_function_ceilings(Harness& harness) {
  harness.set_ceiling("multiplyAdds", measure<Function::kNone, 0>(harness, "FFMA", "operations", kPlainChain));
  harness.set_ceiling("exponentials", measure<Function::kEx2, 0>(harness, "MUFU.EX2", "operations", kEx2Chain));
  harness.set_ceiling("instructions", measure_mixed(harness));
}

void measure_functions(Harness& harness) {
  measure_function_ceilings(harness);
  measure<Function::kRcp, 0>(harness, "MUFU.RCP", "operations", kRcpChain);
  measure<Function::kTanh, 0>(harness, "MUFU.TANH", "operations", kTanhChain);
  measure<Function::kLg2, 0>(harness, "MUFU.LG2", "operations", kLg2Chain);
  // A scan has about seven other instructions an exponential: is it free then?
  measure<Function::kEx2, 1>(harness, "MUFU.EX2 beside 2 FFMA", "exponentials", kEx2Chain);
  measure<Function::kEx2, 3>(harness, "MUFU.EX2 beside 4 FFMA", "exponentials", kEx2Chain);
  measure<Function::kEx2, 5>(harness, "MUFU.EX2 beside 6 FFMA", "exponentials", kEx2Chain);
  measure<Function::kEx2, 6>(harness, "MUFU.EX2 beside 7 FFMA", "exponentials", kEx2Chain);
  measure<Function::kEx2, 7>(harness, "MUFU.EX2 beside 8 FFMA", "exponentials", kEx2Chain);
  measure<Function::kEx2, 11>(harness, "MUFU.EX2 beside 12 FFMA", "exponentials", kEx2Chain);
}

}  // namespace statespace::cuda::bench
