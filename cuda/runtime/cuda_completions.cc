#include "cuda/runtime/cuda_completions.h"

#include <pthread.h>

#include <thread>
#include <utility>

namespace statespace::cuda {

Completions::Completions(int device) : device_(device) {
  std::thread([this] { work(); }).detach();
}

void Completions::add(cudaStream_t stream, Action action) {
  Entry entry = {nullptr, cudaSuccess, std::move(action)};
  {
    std::lock_guard lock(mutex_);
    if (!free_events_.empty()) {
      entry.event = free_events_.back();
      free_events_.pop_back();
    }
  }
  if (!entry.event) {
    entry.status = cudaEventCreateWithFlags(&entry.event, cudaEventDisableTiming | cudaEventBlockingSync);
  }
  if (entry.status == cudaSuccess) entry.status = cudaEventRecord(entry.event, stream);
  std::lock_guard lock(mutex_);
  entries_.push_back(std::move(entry));
  ready_.notify_one();
}

void Completions::work() {
  pthread_setname_np(pthread_self(), "statespace-cuda");
  cudaSetDevice(device_);
  std::unique_lock lock(mutex_);
  for (;;) {
    ready_.wait(lock, [this] { return !entries_.empty(); });
    Entry entry = std::move(entries_.front());
    entries_.pop_front();
    lock.unlock();
    if (entry.status == cudaSuccess) entry.status = cudaEventSynchronize(entry.event);
    entry.action(entry.status);
    entry.action = nullptr;
    lock.lock();
    if (entry.event) free_events_.push_back(entry.event);
  }
}

}  // namespace statespace::cuda
