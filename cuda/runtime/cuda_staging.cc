#include "cuda/runtime/cuda_staging.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "cuda/runtime/cuda_error.h"

namespace statespace::cuda {
namespace {

constexpr size_t kMinBlock = 4 << 10;
constexpr size_t kMaxKept = 256 << 20;
constexpr size_t kChunkBytes = 8 << 20;
constexpr size_t kChunkAlignment = 256;

size_t block_bytes(size_t bytes) { return std::bit_ceil(std::max(bytes, kMinBlock)); }
size_t class_of(size_t block) { return static_cast<size_t>(std::countr_zero(block)); }

}  // namespace

void* PinnedMemory::take(size_t bytes) {
  const size_t block = block_bytes(bytes);
  {
    std::lock_guard lock(mutex_);
    free_.resize(64);
    if (auto& list = free_[class_of(block)]; !list.empty()) {
      void* data = list.back();
      list.pop_back();
      kept_ -= block;
      return data;
    }
  }
  void* data = nullptr;
  if (const cudaError_t status = cudaHostAlloc(&data, block, cudaHostAllocPortable); status != cudaSuccess) {
    cudaGetLastError();
    if (status != cudaErrorMemoryAllocation) require(status, "pinned memory");
    throw Error("ERR_OUT_OF_MEMORY", "no pinned host memory for " + std::to_string(block) + " bytes",
                {{"requested", static_cast<double>(block)}});
  }
  return data;
}

void PinnedMemory::give(void* data, size_t bytes) noexcept {
  const size_t block = block_bytes(bytes);
  {
    std::lock_guard lock(mutex_);
    if (kept_ + block <= kMaxKept) {
      free_[class_of(block)].push_back(data);
      kept_ += block;
      return;
    }
  }
  cudaFreeHost(data);
}

void UploadRing::copy(void* target, const void* source, size_t bytes, cudaStream_t stream) {
  const char* from = static_cast<const char*>(source);
  char* to = static_cast<char*>(target);
  while (bytes > 0) {
    if (!chunks_[current_].data || chunks_[current_].used == kChunkBytes) next_chunk(stream);
    Chunk& chunk = chunks_[current_];
    const size_t part = std::min(bytes, kChunkBytes - chunk.used);
    std::memcpy(chunk.data + chunk.used, from, part);
    require(cudaMemcpyAsync(to, chunk.data + chunk.used, part, cudaMemcpyHostToDevice, stream), "upload");
    chunk.used = std::min(kChunkBytes, (chunk.used + part + kChunkAlignment - 1) / kChunkAlignment * kChunkAlignment);
    from += part;
    to += part;
    bytes -= part;
  }
}

void UploadRing::next_chunk(cudaStream_t stream) {
  if (Chunk& full = chunks_[current_]; full.data) {
    require(cudaEventRecord(full.free, stream), "upload");
    current_ = (current_ + 1) % kChunks;
  }
  Chunk& chunk = chunks_[current_];
  if (!chunk.data) {
    require(cudaEventCreateWithFlags(&chunk.free, cudaEventDisableTiming | cudaEventBlockingSync), "upload");
    chunk.data = static_cast<char*>(pinned_.take(kChunkBytes));
  } else {
    require(cudaEventSynchronize(chunk.free), "upload");
  }
  chunk.used = 0;
}

}  // namespace statespace::cuda
