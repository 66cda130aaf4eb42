// Pinned host memory between JavaScript's memory and the GPU's, so that copies neither wait nor need the caller's
// array.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <mutex>
#include <vector>

namespace statespace::cuda {

// Blocks of pinned memory by powers of two. Thread-safe; a bounded number of bytes is kept for the next use.
class PinnedMemory {
 public:
  void* take(size_t bytes);  // throws ERR_OUT_OF_MEMORY
  void give(void* data, size_t bytes) noexcept;

 private:
  std::mutex mutex_;
  std::vector<std::vector<void*>> free_;  // by the logarithm of their size
  size_t kept_ = 0;
};

// A ring of chunks through which uploads go. The caller holds the device's mutex.
class UploadRing {
 public:
  explicit UploadRing(PinnedMemory& pinned) : pinned_(pinned) {}
  // Copies `source` before it returns, which may wait for the upload that last used the chunk.
  void copy(void* target, const void* source, size_t bytes, cudaStream_t stream);

 private:
  struct Chunk {
    char* data = nullptr;
    size_t used = 0;
    cudaEvent_t free = nullptr;  // the copies out of it are done
  };
  static constexpr size_t kChunks = 4;
  void next_chunk(cudaStream_t stream);

  PinnedMemory& pinned_;
  Chunk chunks_[kChunks];
  size_t current_ = 0;
};

}  // namespace statespace::cuda
