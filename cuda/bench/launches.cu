// What a kernel in a graph costs besides its work: one after another, with programmatic dependent launch, and as
// clusters.
#include "cuda/bench/harness.h"
#include "cuda/bench/instructions.cuh"

namespace statespace::cuda::bench {
namespace {

constexpr int kThreads = 128;

// One thread of the grid counts, without an atomic: a kernel that does not see what the one before wrote loses a count.
__global__ void __launch_bounds__(kThreads) count_kernels(unsigned* count) {
  let_next_kernel_start();
  wait_for_previous_kernel();
  if (blockIdx.x == 0 && threadIdx.x == 0) *count += 1;
}

__global__ void __launch_bounds__(kThreads) tell_ranks(unsigned* ranks, unsigned cluster) {
  if (threadIdx.x == 0) ranks[blockIdx.x] = rank_in_cluster(cluster) + 1;
}

void measure_chain(Harness& harness, const char* name, LaunchOptions options, unsigned blocks) {
  const int kernels = harness.either(256, 8);
  Buffer<unsigned> count(1);
  harness.graph_time(
      name, kernels,
      [&](cudaStream_t stream) {
        for (int i = 0; i < kernels; ++i) {
          launch_with(count_kernels, {dim3(blocks), dim3(kThreads)}, options, stream, count.data());
        }
      },
      [&]() -> std::string {
        const unsigned got = harness.read(count)[0];
        if (got == static_cast<unsigned>(kernels)) return "";
        return std::to_string(got) + " kernels of " + std::to_string(kernels) + " counted";
      });
}

void measure_clusters(Harness& harness) {
  constexpr unsigned kCluster = 8;
  const int kernels = harness.either(64, 2);
  const unsigned blocks = kCluster * static_cast<unsigned>(harness.either(16, 2));
  Buffer<unsigned> ranks(blocks);
  LaunchOptions options;
  options.cluster = kCluster;
  harness.graph_time(
      "kernel in a graph, clusters of 8", kernels,
      [&](cudaStream_t stream) {
        for (int i = 0; i < kernels; ++i) {
          launch_with(tell_ranks, {dim3(blocks), dim3(kThreads)}, options, stream, ranks.data(), kCluster);
        }
      },
      [&]() -> std::string {
        const std::vector<unsigned> got = harness.read(ranks);
        for (unsigned i = 0; i < blocks; ++i) {
          if (got[i] != i % kCluster + 1) return "block " + std::to_string(i) + " has rank " + std::to_string(got[i]);
        }
        return "";
      });
}

}  // namespace

void measure_launches(Harness& harness) {
  const unsigned wide = static_cast<unsigned>(harness.chip().multiprocessors);
  measure_chain(harness, "kernel in a graph, one block", {}, 1);
  measure_chain(harness, "kernel in a graph, one block a multiprocessor", {}, wide);
  if (harness.chip().compute_capability < 90) {
    for (const char* name : {"kernel in a graph, dependent launch", "kernel in a graph, clusters of 8"})
      harness.skipped(name, "needs compute capability 9.0");
    return;
  }
  LaunchOptions dependent;
  dependent.overlaps_previous = true;
  measure_chain(harness, "kernel in a graph, dependent launch", dependent, 1);
  measure_chain(harness, "kernel in a graph, dependent launch, one block a multiprocessor", dependent, wide);
  measure_clusters(harness);
}

}  // namespace statespace::cuda::bench
