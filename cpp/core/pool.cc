#include "cpp/core/pool.h"

#include <algorithm>
#include <bit>
#include <cstdio>

namespace statespace {
namespace {

constexpr size_t kSmallStep = 256;
constexpr int kSmallClasses = 8;      // 256, 512, ... 2048 bytes
constexpr int kStepsPerDoubling = 8;  // above: at most an eighth is wasted
constexpr size_t kSlabBytes = 4 << 20;
constexpr size_t kLargestInSlab = 512 << 10;

int class_of(size_t bytes) {
  if (bytes <= kSmallStep * kSmallClasses) return bytes == 0 ? 0 : static_cast<int>((bytes - 1) / kSmallStep);
  const int doubling = std::bit_width(bytes - 1) - 1;  // 2^doubling <= bytes - 1
  const size_t step = (size_t{1} << doubling) / kStepsPerDoubling;
  const int within = static_cast<int>((bytes - 1 - (size_t{1} << doubling)) / step);
  return kSmallClasses + (doubling - 11) * kStepsPerDoubling + within;
}

size_t bytes_of(int size_class) {
  if (size_class < kSmallClasses) return kSmallStep * static_cast<size_t>(size_class + 1);
  const int above = size_class - kSmallClasses;
  const size_t base = size_t{1} << (11 + above / kStepsPerDoubling);
  return base + base / kStepsPerDoubling * static_cast<size_t>(above % kStepsPerDoubling + 1);
}

std::string in_words(uint64_t bytes) {
  const double gib = static_cast<double>(bytes) / (1 << 30);
  char text[64];
  if (gib >= 0.1)
    std::snprintf(text, sizeof(text), "%.2f GiB", gib);
  else
    std::snprintf(text, sizeof(text), "%.1f MiB", gib * 1024);
  return text;
}

}  // namespace

Arena::~Arena() {
  std::lock_guard lock(pool_.mutex_);
  for (auto& [data, size_class] : blocks_) {
    pool_.owner_.erase(data);
    pool_.used_ -= bytes_of(size_class);
    pool_.free_[static_cast<size_t>(size_class)].push_back(data);
  }
}

void* Pool::allocate(size_t bytes, Arena* arena) {
  if (bytes > (uint64_t{1} << 60)) bytes = uint64_t{1} << 60;  // refused below; keeps the size classes in range
  const int size_class = class_of(bytes);
  std::unique_lock lock(mutex_);
  if (arena) {
    auto& kept = arena->free_[size_class];
    if (!kept.empty()) {
      void* data = kept.back();
      kept.pop_back();
      return data;
    }
  }
  void* data = take(size_class, lock);
  used_ += bytes_of(size_class);
  peak_ = std::max(peak_, used_);
  if (arena) {
    arena->blocks_.emplace_back(data, size_class);
    owner_.emplace(data, arena);
  }
  return data;
}

void Pool::release(void* data, size_t bytes) noexcept {
  if (!data) return;
  const int size_class = class_of(bytes);
  std::lock_guard lock(mutex_);
  if (!owner_.empty()) {
    if (const auto found = owner_.find(data); found != owner_.end()) {
      found->second->free_[size_class].push_back(data);
      return;
    }
  }
  used_ -= bytes_of(size_class);
  free_[static_cast<size_t>(size_class)].push_back(data);
}

void* Pool::take(int size_class, std::unique_lock<std::mutex>& lock) {
  if (free_.size() <= static_cast<size_t>(size_class)) free_.resize(static_cast<size_t>(size_class) + 1);
  auto& list = free_[static_cast<size_t>(size_class)];
  if (!list.empty()) {
    void* data = list.back();
    list.pop_back();
    return data;
  }
  return bytes_of(size_class) <= kLargestInSlab ? carve(size_class, lock) : from_system(bytes_of(size_class), lock);
}

// Small blocks come from slabs and are never given back one by one.
void* Pool::carve(int size_class, std::unique_lock<std::mutex>& lock) {
  const size_t bytes = bytes_of(size_class);
  if (slab_left_ < bytes) {
    slab_ = static_cast<char*>(from_system(kSlabBytes, lock));
    slab_left_ = kSlabBytes;
  }
  void* data = slab_;
  slab_ += bytes;
  slab_left_ -= bytes;
  return data;
}

void* Pool::from_system(size_t bytes, std::unique_lock<std::mutex>& lock) {
  if (reserved_ + bytes > source_.limit) free_large_blocks(lock);
  void* data = reserved_ + bytes > source_.limit ? nullptr : source_.allocate(bytes);
  if (!data) {
    free_large_blocks(lock);
    if (reserved_ + bytes <= source_.limit) data = source_.allocate(bytes);
  }
  if (!data) {
    const uint64_t free = source_.limit > reserved_ ? source_.limit - reserved_ : 0;
    throw Error("ERR_OUT_OF_MEMORY",
                "out of memory on " + source_.device_name + ": " + in_words(bytes) + " requested, " + in_words(used_) +
                    " in use, " + in_words(free) + " free of " + in_words(source_.limit),
                {{"requested", static_cast<double>(bytes)},
                 {"used", static_cast<double>(used_)},
                 {"free", static_cast<double>(free)},
                 {"total", static_cast<double>(source_.total)}});
  }
  reserved_ += bytes;
  return data;
}

// The lock is let go while the queue drains: the end of a recording there gives its arena back to this pool.
void Pool::free_large_blocks(std::unique_lock<std::mutex>& lock) {
  std::vector<std::pair<void*, size_t>> unused;
  for (size_t size_class = 0; size_class < free_.size(); ++size_class) {
    const size_t bytes = bytes_of(static_cast<int>(size_class));
    if (bytes <= kLargestInSlab) continue;
    for (void* data : free_[size_class]) unused.emplace_back(data, bytes);
    free_[size_class].clear();
  }
  lock.unlock();
  source_.drain();
  for (const auto& [data, bytes] : unused) source_.release(data, bytes);
  lock.lock();
  for (const auto& [data, bytes] : unused) reserved_ -= bytes;
}

void Pool::empty_cache() {
  std::unique_lock lock(mutex_);
  free_large_blocks(lock);
}

MemoryInfo Pool::memory() const {
  std::lock_guard lock(mutex_);
  return {used_, peak_, reserved_, source_.total};
}

}  // namespace statespace
