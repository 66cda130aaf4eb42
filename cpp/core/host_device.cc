#include "cpp/core/host_device.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <future>
#include <utility>

namespace statespace {
namespace {

constexpr size_t kHugePage = 2 << 20;

void* map_memory(size_t bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  if (bytes >= kHugePage) madvise(data, bytes, MADV_HUGEPAGE);
  return data;
}

// What this process may use: the machine's memory, or its control group's share.
uint64_t memory_total() {
  uint64_t total = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    if (FILE* file = std::fopen(path, "r")) {
      unsigned long long limit = 0;
      if (std::fscanf(file, "%llu", &limit) == 1 && limit > 0) total = std::min<uint64_t>(total, limit);
      std::fclose(file);
    }
  }
  return total;
}

MemorySource host_memory(const std::string& name, std::function<void()> drain) {
  const uint64_t total = memory_total();
  return {map_memory,    [](void* data, size_t bytes) { munmap(data, bytes); }, std::move(drain), name, total,
          total / 10 * 9};
}

}  // namespace

struct HostDevice::Job {
  virtual ~Job() = default;
  virtual void run(HostDevice& device) = 0;
};

// The op's struct lies behind the job in the same block.
struct HostDevice::OpJob : Job {
  int index;
  alignas(16) unsigned char op[];

  static std::unique_ptr<OpJob> make(int index, const void* op, size_t bytes) {
    auto* job = new (::operator new(sizeof(OpJob) + bytes)) OpJob;
    job->index = index;
    std::memcpy(job->op, op, bytes);
    return std::unique_ptr<OpJob>(job);
  }
  static void operator delete(void* memory) { ::operator delete(memory); }
  static void* operator new(size_t, void* place) { return place; }
  void run(HostDevice& device) override { device.attempt(index, op); }
};

struct HostDevice::HostRecording : Recording {
  explicit HostRecording(Pool& pool) : arena(pool) {}
  Arena arena;
  std::vector<std::unique_ptr<OpJob>> ops;
};

HostDevice::HostDevice(DeviceInfo info, RunOp run_op, std::function<void()> start)
    : info_(std::move(info)),
      run_op_(std::move(run_op)),
      start_(std::move(start)),
      pool_(host_memory(info_.kind, [this] { drain(); })),
      poison_(std::getenv("STATESPACE_POISON") != nullptr) {
  std::thread([this] { work(); }).detach();
}

template <typename F>
void HostDevice::push_function(F f) {
  struct FunctionJob : Job {
    explicit FunctionJob(F f) : f(std::move(f)) {}
    void run(HostDevice&) override { f(); }
    F f;
  };
  push(std::make_unique<FunctionJob>(std::move(f)));
}

void HostDevice::push(std::unique_ptr<Job> job) {
  bool wake;
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    waiting_.fetch_add(1, std::memory_order_release);
    wake = asleep_;
  }
  if (wake) ready_.notify_one();
}

void HostDevice::work() {
  pthread_setname_np(pthread_self(), "statespace");
  if (start_) start_();
  // A step enqueues its ops a few microseconds apart: staying awake that long spares the caller a system call each.
  constexpr auto kAwake = std::chrono::microseconds(50);
  std::unique_lock lock(mutex_);
  for (;;) {
    if (jobs_.empty()) {
      lock.unlock();
      const auto until = std::chrono::steady_clock::now() + kAwake;
      while (waiting_.load(std::memory_order_acquire) == 0 && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
      }
      lock.lock();
      asleep_ = true;
      ready_.wait(lock, [this] { return !jobs_.empty(); });
      asleep_ = false;
    }
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    lock.unlock();
    job->run(*this);
    job.reset();
    lock.lock();
  }
}

void HostDevice::attempt(int index, void* op) noexcept {
  if (error_) return;
  try {
    run_op_(index, op);
  } catch (const Error& error) {
    error_ = error;
  } catch (const std::exception& error) {
    error_ = Error("ERR_DEVICE", error.what());
  }
}

void HostDevice::report(const Done& done) {
  const std::optional<Error> error = std::move(error_);
  error_.reset();
  done(error ? &*error : nullptr);
}

void HostDevice::drain() {
  std::promise<void> idle;
  push_function([&] { idle.set_value(); });
  idle.get_future().wait();
}

void* HostDevice::allocate(size_t bytes) {
  void* data = pool_.allocate(bytes, is_recording() ? &recording_->arena : nullptr);
  if (poison_ && !is_recording()) push_function([data, bytes] { std::memset(data, 0xff, bytes); });
  return data;
}

void HostDevice::enqueue(int index, const void* op, size_t bytes) {
  auto job = OpJob::make(index, op, bytes);
  if (is_recording())
    recording_->ops.push_back(std::move(job));
  else
    push(std::move(job));
}

void HostDevice::upload(void* target, const void* source, size_t bytes) {
  refuse_while_recording("uploading");
  auto staged = std::make_unique<unsigned char[]>(bytes);
  std::memcpy(staged.get(), source, bytes);
  push_function([target, bytes, staged = std::move(staged)] { std::memcpy(target, staged.get(), bytes); });
}

void HostDevice::download(void* target, const void* source, size_t bytes, Done done) {
  refuse_while_recording("reading");
  push_function([this, target, source, bytes, done = std::move(done)] {
    if (!error_) std::memcpy(target, source, bytes);
    report(done);
  });
}

void HostDevice::after(Done done) {
  refuse_while_recording("reading");
  push_function([this, done = std::move(done)] { report(done); });
}

void HostDevice::upload_later(void* target, size_t bytes, LaterBytes source) {
  refuse_while_recording("uploading");
  push_function([this, target, bytes, source = std::move(source)] {
    if (const auto data = source.get())
      std::memcpy(target, data.get(), bytes);
    else if (!error_)
      error_ = Error("ERR_DEVICE", "a tensor could not be moved here: the device it was on failed");
  });
}

void HostDevice::refuse_while_recording(const char* what) const {
  if (is_recording()) throw Error("ERR_RECORDING", std::string(what) + " is not possible while recording");
}

void HostDevice::begin_recording() {
  if (recording_) throw Error("ERR_RECORDING", "a recording is already under way on this device");
  recording_ = std::make_shared<HostRecording>(pool_);
  recording_thread_ = std::this_thread::get_id();
}

std::shared_ptr<Recording> HostDevice::end_recording() {
  if (!is_recording()) throw Error("ERR_RECORDING", "no recording is under way on this device");
  return std::exchange(recording_, nullptr);
}

std::shared_ptr<Recording> HostDevice::current_recording() {
  if (is_recording()) return recording_;
  return nullptr;
}

void HostDevice::replay(const std::shared_ptr<Recording>& recording) {
  if (recording_) throw Error("ERR_RECORDING", "a replay cannot be part of a recording");
  auto shared = std::static_pointer_cast<HostRecording>(recording);
  push_function([this, shared] {
    for (auto& job : shared->ops) attempt(job->index, job->op);
  });
}

}  // namespace statespace
