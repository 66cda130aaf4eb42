// One GPU: a stream, its memory, and the road back to the host.
#pragma once
#include <cuda_runtime.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "cpp/core/device.h"
#include "cpp/core/pool.h"
#include "cuda/runtime/context.h"
#include "cuda/runtime/cublaslt.h"
#include "cuda/runtime/cuda_completions.h"
#include "cuda/runtime/cuda_graph.h"
#include "cuda/runtime/cuda_staging.h"

namespace statespace::cuda {

// Kernels may run until the process ends, so a device is created once and never destroyed.
class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int index);

  const DeviceInfo& info() const override { return info_; }
  void* allocate(size_t bytes) override;
  void release(void* data, size_t bytes) noexcept override { pool_.release(data, bytes); }
  MemoryInfo memory() const override { return pool_.memory(); }
  void empty_cache() override;

  void enqueue(int index, const void* op, size_t bytes) override;
  void upload(void* target, const void* source, size_t bytes) override;
  void download(void* target, const void* source, size_t bytes, Done done) override;
  void after(Done done) override;
  void upload_later(void* target, size_t bytes, LaterBytes source) override;

  void begin_recording() override;
  std::shared_ptr<Recording> end_recording() override;
  std::shared_ptr<Recording> current_recording() override;
  void replay(const std::shared_ptr<Recording>& recording) override;

 private:
  class OpContext;
  struct LaterUpload;

  MemorySource memory_source();
  void make_current() const;
  bool is_recording() const { return recording_thread_.load() == std::this_thread::get_id(); }
  void refuse_while_recording(const char* what) const;
  std::optional<Error> first_error(cudaError_t status, const DeviceFault* faults, std::optional<Error> kept);
  void retire(cudaGraphExec_t graph);

  // The rest is called with mutex_ held.
  void open_cublaslt();
  void record(int index, const void* op);
  template <typename F>
  void attempt(const char* what, F f);
  void keep_error(const Error& error, const char* what);
  void finish(std::function<void(const Error*)> done);

  DeviceInfo info_;
  int multiprocessors_ = 0, compute_capability_ = 0;
  cudaStream_t stream_ = nullptr;
  cudaStream_t capture_stream_ = nullptr;  // so that other threads may go on while one records
  Pool pool_;
  PinnedMemory pinned_;
  UploadRing uploads_{pinned_};
  Completions completions_;
  const bool poison_;

  std::mutex mutex_;  // orders what goes into the stream
  std::unique_ptr<CublasLt> cublaslt_;
  bool cublaslt_opened_ = false;
  DeviceFault* faults_ = nullptr;         // device memory, one for each op, so that a fault tells its op
  bool may_fault_ = false;                // an op that takes indices was enqueued since the last report
  std::optional<Error> error_;            // the first since the last report
  std::optional<Error> lost_;             // the context failed: final
  std::atomic<bool> move_failed_{false};  // bytes from another device did not come; since the last report

  std::atomic<std::thread::id> recording_thread_{};
  std::shared_ptr<CudaRecording> recording_;  // touched by that thread only
};

}  // namespace statespace::cuda
