// cp.async: copies from global to shared memory that run while the thread computes.
#pragma once

#include "cuda/device/platform.cuh"

namespace statespace::cuda {

// Starts a copy of 4, 8 or 16 bytes, all but the first `source_bytes` of them zero; both addresses are aligned to
// kBytes. With no source bytes, `global` is not read. 16 bytes pass the L1 cache by.
template <int kBytes>
__device__ void async_copy_or_zero(void* shared, const void* global, int source_bytes) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
#if defined(__CUDACC__)
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(source_bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(address), "l"(global), "n"(kBytes),
                 "r"(source_bytes)
                 : "memory");
  }
#else
  emulator::async_copy(shared, global, kBytes, source_bytes);
#endif
}

template <int kBytes>
__device__ void async_copy(void* shared, const void* global) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
#if defined(__CUDACC__)
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(global) : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(address), "l"(global), "n"(kBytes) : "memory");
  }
#else
  emulator::async_copy(shared, global, kBytes, kBytes);
#endif
}

// Closes the group of copies that this thread started since the last commit.
__device__ inline void async_commit() {
#if defined(__CUDACC__)
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulator::async_commit();
#endif
}

// Waits until at most kPending groups of this thread are under way. Other threads see the bytes after a barrier.
template <int kPending>
__device__ void async_wait() {
#if defined(__CUDACC__)
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#else
  emulator::async_wait(kPending);
#endif
}

}  // namespace statespace::cuda
