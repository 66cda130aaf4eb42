#include "cuda/runtime/cuda_device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "cuda/kernels/op_table.h"
#include "cuda/runtime/cuda_error.h"
#include "cuda/runtime/device_fault.h"

namespace statespace::cuda {
namespace {

// Left to the context, to libraries and to other processes.
uint64_t reserve_of(uint64_t total) { return std::min<uint64_t>(uint64_t{512} << 20, total / 16); }

size_t fault_bytes() { return static_cast<size_t>(op_count()) * sizeof(DeviceFault); }

Error named(const Error& error, const char* what) {
  const std::string prefix = std::string(what) + ": ";
  if (error.message().compare(0, prefix.size(), prefix) == 0) return error;
  return Error(error.code(), prefix + error.message(), error.numbers());
}

}  // namespace

// Scratch goes back to the pool with the context: its next use is enqueued behind the launches.
class CudaDevice::OpContext final : public Context {
 public:
  OpContext(CudaDevice& device, int op, cudaStream_t stream_of_op, Arena* arena) : device_(device), arena_(arena) {
    stream = stream_of_op;
    multiprocessors = device.multiprocessors_;
    compute_capability = device.compute_capability_;
    fault = device.faults_ + op;
  }
  ~OpContext() override { give_back(0); }
  void* scratch_bytes(size_t bytes) override {
    void* data = device_.pool_.allocate(bytes, arena_);
    scratch_.emplace_back(data, bytes);
    if (device_.poison_) require(cudaMemsetAsync(data, 0xff, bytes, stream), "poison");
    return data;
  }
  size_t scratch_count() const override { return scratch_.size(); }
  void keep_scratch(size_t count) override { give_back(count); }
  bool gemm(const Gemm& problem) override {
    return has_gemm_library() && device_.cublaslt_->gemm(problem, *this);
  }
  bool has_gemm_library() override {
    device_.open_cublaslt();
    return device_.cublaslt_ != nullptr;
  }

 private:
  void give_back(size_t kept) {
    for (; scratch_.size() > kept; scratch_.pop_back()) {
      device_.pool_.release(scratch_.back().first, scratch_.back().second);
    }
  }

  CudaDevice& device_;
  Arena* arena_;
  std::vector<std::pair<void*, size_t>> scratch_;
};

CudaDevice::CudaDevice(int index)
    : info_{"cuda", index, ""}, pool_(memory_source()), completions_(index), poison_(std::getenv("STATESPACE_POISON")) {
  cudaDeviceProp properties = {};
  require(cudaGetDeviceProperties(&properties, index), "device properties");
  info_.name = properties.name;
  multiprocessors_ = properties.multiProcessorCount;
  compute_capability_ = 10 * properties.major + properties.minor;
  require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream");
  require(cudaStreamCreateWithFlags(&capture_stream_, cudaStreamNonBlocking), "stream");
  require(cudaMalloc(reinterpret_cast<void**>(&faults_), fault_bytes()), "fault words");
  require(cudaMemsetAsync(faults_, 0, fault_bytes(), stream_), "fault words");
  require(cudaStreamSynchronize(stream_), "device");
}

// At the first product, or before a recording: the library is large, and starting it allocates.
void CudaDevice::open_cublaslt() {
  if (std::exchange(cublaslt_opened_, true)) return;
  cublaslt_ = CublasLt::open(cublaslt_library());
}

MemorySource CudaDevice::memory_source() {
  make_current();
  size_t free = 0, total = 0;
  require(cudaMemGetInfo(&free, &total), "device memory");
  MemorySource source;
  source.allocate = [this](size_t bytes) -> void* {
    make_current();
    const RelaxedCapture relaxed;
    void* data = nullptr;
    const cudaError_t status = cudaMalloc(&data, bytes);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      return nullptr;
    }
    require(status, "device memory");
    return data;
  };
  source.release = [this](void* data, size_t) {
    make_current();
    const RelaxedCapture relaxed;
    cudaFree(data);
  };
  source.drain = [this] {
    make_current();
    const RelaxedCapture relaxed;
    cudaStreamSynchronize(stream_);
  };
  source.device_name = "cuda:" + std::to_string(info_.index);
  source.total = total;
  source.limit = total - reserve_of(total);
  return source;
}

void CudaDevice::make_current() const { require(cudaSetDevice(info_.index), "device"); }

void CudaDevice::refuse_while_recording(const char* what) const {
  if (is_recording()) throw Error("ERR_RECORDING", std::string(what) + " is not possible while recording");
}

void* CudaDevice::allocate(size_t bytes) {
  if (is_recording()) return pool_.allocate(bytes, &recording_->arena);
  void* data = pool_.allocate(bytes);
  if (poison_) {
    std::lock_guard lock(mutex_);
    attempt("poison", [&] { require(cudaMemsetAsync(data, 0xff, bytes, stream_), "poison"); });
  }
  return data;
}

void CudaDevice::empty_cache() {
  refuse_while_recording("emptying the cache");
  pool_.empty_cache();
}

void CudaDevice::enqueue(int index, const void* op, size_t) {
  const OpEntry& entry = op_entry(index);
  std::lock_guard lock(mutex_);
  if (is_recording()) return record(index, op);
  if (error_) return;
  attempt(entry.name, [&] {
    may_fault_ |= entry.may_fault;
    OpContext context(*this, index, stream_, nullptr);
    entry.run(op, context);
  });
}

// What fails here fails at once: the recording is of no use any more.
void CudaDevice::record(int index, const void* op) {
  const OpEntry& entry = op_entry(index);
  make_current();
  const RelaxedCapture relaxed;  // a kernel that is launched for the first time is loaded
  recording_->may_fault |= entry.may_fault;
  try {
    OpContext context(*this, index, capture_stream_, &recording_->arena);
    entry.run(op, context);
  } catch (const Error& error) {
    cudaGetLastError();
    throw named(error, entry.name);
  }
}

void CudaDevice::upload(void* target, const void* source, size_t bytes) {
  refuse_while_recording("uploading");
  std::lock_guard lock(mutex_);
  attempt("upload", [&] { uploads_.copy(target, source, bytes, stream_); });
}

// Waits on a thread of the driver for bytes of another device. It calls no CUDA function, as such a callback must not;
// if the context fails it is never called, and then nothing waits for it.
struct CudaDevice::LaterUpload {
  CudaDevice& device;
  LaterBytes source;
  void* staged;
  size_t bytes;

  static void CUDART_CB fill(void* data) {
    const std::unique_ptr<LaterUpload> upload(static_cast<LaterUpload*>(data));
    std::shared_ptr<unsigned char[]> bytes;
    try {
      bytes = upload->source.get();
    } catch (const std::exception&) {  // the other side is gone
    }
    if (bytes) {
      std::memcpy(upload->staged, bytes.get(), upload->bytes);
    } else {
      std::memset(upload->staged, 0xff, upload->bytes);
      upload->device.move_failed_ = true;
    }
  }
};

void CudaDevice::upload_later(void* target, size_t bytes, LaterBytes source) {
  refuse_while_recording("uploading");
  std::lock_guard lock(mutex_);
  attempt("upload", [&] {
    void* staged = pinned_.take(bytes);
    auto later = std::make_unique<LaterUpload>(LaterUpload{*this, std::move(source), staged, bytes});
    require(cudaLaunchHostFunc(stream_, LaterUpload::fill, later.get()), "upload");
    later.release();
    require(cudaMemcpyAsync(target, staged, bytes, cudaMemcpyHostToDevice, stream_), "upload");
    completions_.add(stream_, [this, staged, bytes](cudaError_t) { pinned_.give(staged, bytes); });
  });
}

void CudaDevice::download(void* target, const void* source, size_t bytes, Done done) {
  refuse_while_recording("reading");
  std::lock_guard lock(mutex_);
  void* staged = nullptr;
  attempt("read", [&] {
    staged = pinned_.take(bytes);
    require(cudaMemcpyAsync(staged, source, bytes, cudaMemcpyDeviceToHost, stream_), "read");
  });
  finish([this, target, staged, bytes, done = std::move(done)](const Error* error) {
    if (!error && staged) std::memcpy(target, staged, bytes);
    if (staged) pinned_.give(staged, bytes);
    done(error);
  });
}

void CudaDevice::after(Done done) {
  refuse_while_recording("reading");
  std::lock_guard lock(mutex_);
  finish(std::move(done));
}

// Keeps what `f` throws for the next report.
template <typename F>
void CudaDevice::attempt(const char* what, F f) {
  if (lost_) return;
  try {
    make_current();
    f();
  } catch (const Error& error) {
    keep_error(error, what);
  } catch (const std::exception& error) {
    keep_error(Error("ERR_DEVICE", error.what()), what);
  }
}

void CudaDevice::keep_error(const Error& error, const char* what) {
  cudaGetLastError();
  if (!error_) error_.emplace(named(error, what));
}

void CudaDevice::finish(std::function<void(const Error*)> done) {
  DeviceFault* faults = nullptr;
  if (may_fault_) {
    attempt("fault words", [&] {
      faults = static_cast<DeviceFault*>(pinned_.take(fault_bytes()));
      require(cudaMemcpyAsync(faults, faults_, fault_bytes(), cudaMemcpyDeviceToHost, stream_), "fault words");
      require(cudaMemsetAsync(faults_, 0, fault_bytes(), stream_), "fault words");
    });
    may_fault_ = false;
  }
  cudaSetDevice(info_.index);
  completions_.add(
      stream_, [this, faults, kept = std::exchange(error_, std::nullopt), done = std::move(done)](cudaError_t status) {
        const std::optional<Error> error = first_error(status, faults, kept);
        if (faults) pinned_.give(faults, fault_bytes());
        done(error ? &*error : nullptr);
      });
}

// Called from the completions' thread, without the mutex.
std::optional<Error> CudaDevice::first_error(cudaError_t status, const DeviceFault* faults, std::optional<Error> kept) {
  if (status != cudaSuccess) {
    std::lock_guard lock(mutex_);
    if (!lost_) {
      std::string message = kept ? kept->message() + "; " : std::string();
      message += std::string("CUDA failed: ") + cudaGetErrorString(status) +
                 ". The GPU cannot be used again by this process, which must restart. "
                 "CUDA_LAUNCH_BLOCKING=1 tells in which op it happened.";
      lost_.emplace("ERR_DEVICE", std::move(message));
    }
    return lost_;
  }
  for (int op = 0; faults && op < op_count(); ++op) {
    if (faults[op].raised) return fault_error(op_entry(op).name, faults[op]);
  }
  if (move_failed_.exchange(false) && !kept) {
    return Error("ERR_DEVICE", "a tensor could not be moved here: the device it was on failed");
  }
  return kept;
}

void CudaDevice::begin_recording() {
  std::thread::id nobody;
  if (!recording_thread_.compare_exchange_strong(nobody, std::this_thread::get_id())) {
    throw Error("ERR_RECORDING", "a recording is already under way on this device");
  }
  std::lock_guard lock(mutex_);
  try {
    make_current();
    open_cublaslt();
    auto recording = std::make_shared<CudaRecording>(pool_, [this](cudaGraphExec_t graph) { retire(graph); });
    recording->begin(capture_stream_);
    recording_ = std::move(recording);
  } catch (...) {
    recording_thread_ = std::thread::id();
    throw;
  }
}

std::shared_ptr<Recording> CudaDevice::end_recording() {
  if (!is_recording()) throw Error("ERR_RECORDING", "no recording is under way on this device");
  const std::shared_ptr<CudaRecording> recording = std::exchange(recording_, nullptr);
  recording_thread_ = std::thread::id();
  std::lock_guard lock(mutex_);
  make_current();
  recording->end(capture_stream_);
  return recording;
}

std::shared_ptr<Recording> CudaDevice::current_recording() {
  if (is_recording()) return recording_;
  return nullptr;
}

void CudaDevice::replay(const std::shared_ptr<Recording>& recording) {
  refuse_while_recording("a replay");
  auto& graph = static_cast<CudaRecording&>(*recording);
  std::lock_guard lock(mutex_);
  if (error_) return;
  attempt("replay", [&] {
    may_fault_ |= graph.may_fault;
    graph.launch(stream_);
  });
}

// A graph is destroyed behind its last replay, on the thread that waits for events.
void CudaDevice::retire(cudaGraphExec_t graph) {
  std::lock_guard lock(mutex_);
  cudaSetDevice(info_.index);
  completions_.add(stream_, [graph](cudaError_t) { cudaGraphExecDestroy(graph); });
}

}  // namespace statespace::cuda
