// Shared memory, by name. `__shared__` stands in this file only, so that the emulator can hand out fresh, poisoned,
// bounded memory to every block.
#pragma once

#include "cuda/device/platform.cuh"

namespace statespace::cuda {

constexpr int kSharedAlignment = 128;

// The block's dynamic shared memory, aligned to 128 bytes; its size is given at launch.
template <typename T>
__device__ T* dynamic_shared() {
#if defined(__CUDACC__)
  extern __shared__ __align__(kSharedAlignment) unsigned char dynamic_shared_bytes[];
  return reinterpret_cast<T*>(dynamic_shared_bytes);
#else
  return static_cast<T*>(emulator::dynamic_shared());
#endif
}

// One T per block and tag, not constructed: `auto& sums = block_shared<float[32], struct Sums>();`
template <typename T, typename Tag>
__device__ T& block_shared() {
#if defined(__CUDACC__)
  // Bytes, because nvcc refuses shared objects whose type has a constructor.
  __shared__ __align__(alignof(T) < 16 ? 16 : alignof(T)) unsigned char bytes[sizeof(T)];
  return reinterpret_cast<T&>(bytes);
#else
  static const char key = 0;
  return *static_cast<T*>(emulator::block_shared(&key, sizeof(T)));
#endif
}

}  // namespace statespace::cuda
