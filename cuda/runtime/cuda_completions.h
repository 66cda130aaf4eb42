// Calls back once a stream has done what it held: a thread of its own waits for events, in order.
// Not cudaLaunchHostFunc: that holds up the stream, and is never called once the context has failed, so that promises
// would hang.
#pragma once
#include <cuda_runtime.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

namespace statespace::cuda {

// Never destroyed: its thread works until the process ends.
class Completions {
 public:
  using Action = std::function<void(cudaError_t status)>;

  explicit Completions(int device);

  // Runs `action` with the error of the context, if any. Actions run in the order of the calls. The caller holds a lock
  // that orders calls as their streams are ordered, and has made the device current.
  void add(cudaStream_t stream, Action action);

 private:
  struct Entry {
    cudaEvent_t event;  // null when it could not be recorded
    cudaError_t status;
    Action action;
  };
  void work();

  const int device_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Entry> entries_;
  std::vector<cudaEvent_t> free_events_;
};

}  // namespace statespace::cuda
