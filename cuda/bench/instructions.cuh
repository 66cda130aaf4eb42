// What only the micro-benchmarks ask of the chip: clocks, cache hints, launches that overlap, clusters.
#pragma once

#include "cuda/device/platform.cuh"

namespace statespace::cuda::bench {

// tanh in one instruction, relative error 2^-11.
__device__ inline float tanh_approximate(float x) {
#if defined(__CUDACC__)
  float y;
  asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return std::tanh(x);
#endif
}

// Cycles of this multiprocessor, and nanoseconds of the whole chip. The emulator has neither.
__device__ inline long long cycles() {
#if defined(__CUDACC__)
  return clock64();
#else
  return 0;
#endif
}
__device__ inline long long nanoseconds() {
#if defined(__CUDACC__)
  long long t;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t));
  return t;
#else
  return 0;
#endif
}

// Sixteen bytes from L2, past L1.
__device__ inline uint4 load_past_l1(const uint4* address) {
#if defined(__CUDACC__)
  uint4 v;
  asm volatile("ld.global.cg.v4.u32 {%0,%1,%2,%3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(address));
  return v;
#else
  return *address;
#endif
}

// Programmatic dependent launch: waits until the kernel before has ended and its memory is seen; lets the next one
// start. Both exist from compute capability 9.0 on; the guard is about what ptxas accepts, not about a path.
__device__ inline void wait_for_previous_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ inline void let_next_kernel_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// The number of this block in its cluster of `size` blocks.
__device__ inline unsigned rank_in_cluster([[maybe_unused]] unsigned size) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  unsigned rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
#else
  return blockIdx.x % size;
#endif
}

}  // namespace statespace::cuda::bench
