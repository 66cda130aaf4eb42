// The interface of a backend: devices, each with one FIFO. Work is enqueued from a JavaScript thread and runs
// elsewhere, in order. Every method may be called from several threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>

#include "cpp/core/error.h"
#include "cpp/core/tensor.h"

namespace statespace {

struct DeviceInfo {
  const char* kind;  // "cpu" or "cuda"
  int index;
  std::string name;  // "NVIDIA H200", "AVX-512, 16 threads"
};

struct MemoryInfo {
  uint64_t used;      // in blocks that are handed out
  uint64_t peak;      // most that was ever used
  uint64_t reserved;  // used, and kept for the next allocation
  uint64_t total;     // of the device
};

// A sequence of calls that can be run again, with the memory that was allocated while it was recorded.
class Recording {
 public:
  virtual ~Recording() = default;
};

// Called once the work before it is done, from a thread of the backend: with the first error of that work, or null.
using Done = std::function<void(const Error* error)>;

class Device {
 public:
  virtual ~Device() = default;

  virtual const DeviceInfo& info() const = 0;

  // Memory is ordered by the FIFO: a block given back may be handed out again at once, because its next use is enqueued
  // behind its last. Throws ERR_OUT_OF_MEMORY. `bytes` may be 0; the address is aligned to 256 bytes.
  virtual void* allocate(size_t bytes) = 0;
  virtual void release(void* data, size_t bytes) noexcept = 0;
  virtual MemoryInfo memory() const = 0;
  // Gives what is kept for later back to the system.
  virtual void empty_cache() = 0;

  // `op` is the struct with number `index` in AllOps. Copied before the call returns.
  virtual void enqueue(int index, const void* op, size_t bytes) = 0;
  // Copies `source` before the call returns; writes `target` in order.
  virtual void upload(void* target, const void* source, size_t bytes) = 0;
  // Writes host memory that must live until `done` is called.
  virtual void download(void* target, const void* source, size_t bytes, Done done) = 0;
  virtual void after(Done done) = 0;
  // Writes `target` in order with bytes that another device provides; null when that device failed. The FIFO waits for
  // them; a device that cannot wait makes the caller wait.
  using LaterBytes = std::shared_future<std::shared_ptr<unsigned char[]>>;
  virtual void upload_later(void* target, size_t bytes, LaterBytes source) {
    if (const auto data = source.get()) upload(target, data.get(), bytes);
  }

  // Between the two, calls of this thread are kept instead of run; reading and uploading throw ERR_RECORDING.
  virtual void begin_recording() = 0;
  virtual std::shared_ptr<Recording> end_recording() = 0;
  // What this thread records, or null: memory allocated meanwhile belongs to it and must not outlive it.
  virtual std::shared_ptr<Recording> current_recording() = 0;
  virtual void replay(const std::shared_ptr<Recording>& recording) = 0;
};

// What `doctor` tells about a backend that may be absent.
struct BackendReport {
  bool usable;
  std::string code;    // why not: ERR_CUDA_NO_DRIVER, ERR_CUDA_DRIVER_TOO_OLD, ERR_CUDA_NO_DEVICE, ...
  std::string reason;  // in plain words
  std::string remedy;
  std::string details;  // JSON: versions and libraries found
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual int device_count() = 0;
  virtual Device& device(int index) = 0;
  virtual BackendReport report() = 0;
};

}  // namespace statespace
