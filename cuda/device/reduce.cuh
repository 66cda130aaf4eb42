// Sums and maxima over lanes, warps and blocks, always in the same order: lanes in pairs of growing distance 1, 2, 4,
// then warps. Every participant gets the result. Blocks have a multiple of 32 threads.
#pragma once

#include "cuda/device/shared.cuh"

namespace statespace::cuda {

constexpr int kWarpSize = 32;
constexpr int kMaxWarps = 32;
constexpr unsigned kFullWarp = 0xffffffffu;

__device__ inline int thread_rank() {
  return static_cast<int>(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
}
__device__ inline int lane_index() { return thread_rank() % kWarpSize; }
__device__ inline int warp_index() { return thread_rank() / kWarpSize; }
__device__ inline int warps_in_block() { return static_cast<int>(blockDim.x * blockDim.y * blockDim.z) / kWarpSize; }

struct Sum {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Max {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

// Over each group of kLanes neighbouring lanes; all lanes of the warp must call it.
template <int kLanes = kWarpSize, typename T, typename Combine>
__device__ T warp_reduce(T value, Combine combine) {
#pragma unroll
  for (int distance = 1; distance < kLanes; distance *= 2) {
    value = combine(value, __shfl_xor_sync(kFullWarp, value, distance));
  }
  return value;
}

template <int kLanes = kWarpSize, typename T>
__device__ T warp_sum(T value) {
  return warp_reduce<kLanes>(value, Sum{});
}

template <int kLanes = kWarpSize, typename T>
__device__ T warp_max(T value) {
  return warp_reduce<kLanes>(value, Max{});
}

// All threads of the block must call it. `identity` stands for the warps that the block does not have.
template <typename T, typename Combine>
__device__ T block_reduce(T value, T identity, Combine combine) {
  auto& partial = block_shared<T[kMaxWarps], struct BlockReducePartials>();
  value = warp_reduce(value, combine);
  if (lane_index() == 0) partial[warp_index()] = value;
  __syncthreads();
  value = warp_reduce(lane_index() < warps_in_block() ? partial[lane_index()] : identity, combine);
  __syncthreads();  // the next call may write `partial`
  return value;
}

template <typename T>
__device__ T block_sum(T value) {
  return block_reduce(value, T{0}, Sum{});
}

// `lowest` is the result of an empty maximum, -infinity for floats.
template <typename T>
__device__ T block_max(T value, T lowest) {
  return block_reduce(value, lowest, Max{});
}
__device__ inline float block_max(float value) { return block_max(value, __int_as_float(0xff800000)); }

}  // namespace statespace::cuda
