// A caching allocator for one FIFO: size classes with free lists, a limit, and arenas for recordings.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cpp/core/device.h"

namespace statespace {

// Where a pool's memory comes from.
struct MemorySource {
  std::function<void*(size_t)> allocate;  // null when there is none
  std::function<void(void*, size_t)> release;
  std::function<void()> drain;  // returns when nothing enqueued can touch cached blocks any more
  std::string device_name;
  uint64_t total;  // memory of the device
  uint64_t limit;  // what the pool may take of it
};

class Pool;

// Blocks that belong to a recording: given back during it they serve its later allocations, after it they stay its own.
class Arena {
 public:
  explicit Arena(Pool& pool) : pool_(pool) {}
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

 private:
  friend class Pool;
  Pool& pool_;
  std::unordered_map<int, std::vector<void*>> free_;
  std::vector<std::pair<void*, int>> blocks_;  // with their size class
};

class Pool {
 public:
  explicit Pool(MemorySource source) : source_(std::move(source)) {}

  // From `arena` where it is not null. Throws ERR_OUT_OF_MEMORY with numbers.
  void* allocate(size_t bytes, Arena* arena = nullptr);
  void release(void* data, size_t bytes) noexcept;
  MemoryInfo memory() const;
  void empty_cache();

 private:
  friend class Arena;
  void* take(int size_class, std::unique_lock<std::mutex>& lock);
  void* carve(int size_class, std::unique_lock<std::mutex>& lock);
  void* from_system(size_t bytes, std::unique_lock<std::mutex>& lock);
  void free_large_blocks(std::unique_lock<std::mutex>& lock);

  MemorySource source_;
  mutable std::mutex mutex_;
  std::vector<std::vector<void*>> free_;     // by size class
  std::unordered_map<void*, Arena*> owner_;  // blocks of living arenas
  char* slab_ = nullptr;
  size_t slab_left_ = 0;
  uint64_t used_ = 0, peak_ = 0, reserved_ = 0;
};

}  // namespace statespace
