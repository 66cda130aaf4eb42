// A device whose FIFO is a thread of this process: the CPU backend, and the emulated GPU of the tests.
#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "cpp/core/device.h"
#include "cpp/core/pool.h"

namespace statespace {

// Work may be under way until the process ends, so a device is created once and never destroyed.
class HostDevice : public Device {
 public:
  // Runs the op with this number; throws Error when it cannot. Called from the worker thread only.
  using RunOp = std::function<void(int index, void* op)>;

  // `start` runs first on the worker thread.
  HostDevice(DeviceInfo info, RunOp run_op, std::function<void()> start = {});

  const DeviceInfo& info() const override { return info_; }
  void* allocate(size_t bytes) override;
  void release(void* data, size_t bytes) noexcept override { pool_.release(data, bytes); }
  MemoryInfo memory() const override { return pool_.memory(); }
  void empty_cache() override { pool_.empty_cache(); }

  void enqueue(int index, const void* op, size_t bytes) override;
  void upload(void* target, const void* source, size_t bytes) override;
  void download(void* target, const void* source, size_t bytes, Done done) override;
  void after(Done done) override;
  void upload_later(void* target, size_t bytes, LaterBytes source) override;

  void begin_recording() override;
  std::shared_ptr<Recording> end_recording() override;
  std::shared_ptr<Recording> current_recording() override;
  void replay(const std::shared_ptr<Recording>& recording) override;

  Pool& pool() { return pool_; }

 private:
  struct Job;
  struct OpJob;
  struct HostRecording;

  bool is_recording() const { return recording_ && recording_thread_ == std::this_thread::get_id(); }
  void refuse_while_recording(const char* what) const;
  void push(std::unique_ptr<Job> job);
  template <typename F>
  void push_function(F f);
  void attempt(int index, void* op) noexcept;
  void report(const Done& done);
  void drain();
  void work();

  DeviceInfo info_;
  RunOp run_op_;
  std::function<void()> start_;
  Pool pool_;
  const bool poison_;

  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::unique_ptr<Job>> jobs_;
  std::atomic<int> waiting_{0};  // jobs in the queue, read by the worker before it sleeps
  bool asleep_ = false;

  std::shared_ptr<HostRecording> recording_;
  std::thread::id recording_thread_;

  std::optional<Error> error_;  // the worker's: the first since the last report
};

}  // namespace statespace
