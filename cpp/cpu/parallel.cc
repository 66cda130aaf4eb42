// The threads behind parallel.h. Not OpenMP: there a region ends only when every thread of the team has come by, so one
// thread that waits for a busy processor holds up all others. Here the caller waits for those who took a task, no more.
#include "cpp/cpu/parallel.h"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "cpp/cpu/failures.h"

namespace statespace::cpu {
namespace {

constexpr int kMaxThreads = 256;
constexpr uint32_t kOpen = 1u << 31;
// About 50 us: kernels follow each other faster than a sleeping thread wakes.
constexpr int kSpins = 2000;

std::atomic<int> chosen_threads{0};  // 0 until the device says otherwise
thread_local bool inside = false;

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

// A thread's place: its calls to work, and the part of the tasks that it begins with.
struct alignas(64) Seat {
  std::atomic<uint32_t> calls{0};
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

struct Pool {
  std::mutex owner;  // of the job below
  void (*f)(const void*, int64_t);
  const void* context;
  int threads;
  Seat seats[kMaxThreads];  // the first one is the caller's
  int started = 1;
  std::mutex failing;  // of the failure
  std::exception_ptr failure;
  // kOpen while a job may be entered, plus the number of workers inside. The job stays as it is until they have left.
  alignas(64) std::atomic<uint32_t> gate{0};

  // The own part first, so that kernels that follow each other find their rows in the same cache; then the others'.
  // A thread whose task throws takes no more of them.
  void work(int seat) noexcept try {
    for (int i = 0; i < threads; ++i) {
      Seat& part = seats[(seat + i) % threads];
      for (int64_t task; (task = part.next.fetch_add(1, std::memory_order_relaxed)) < part.end;) f(context, task);
    }
  } catch (...) {
    const std::lock_guard lock(failing);
    if (!failure) failure = std::current_exception();
  }

  void serve(int seat) {
    inside = true;
    std::atomic<uint32_t>& calls = seats[seat].calls;
    for (uint32_t seen = 0;;) {
      for (int i = 0; i < kSpins && calls.load(std::memory_order_relaxed) == seen; ++i) pause();
      calls.wait(seen, std::memory_order_relaxed);
      seen = calls.load(std::memory_order_acquire);
      uint32_t state = gate.load(std::memory_order_relaxed);
      while (state & kOpen) {
        if (!gate.compare_exchange_weak(state, state + 1, std::memory_order_acquire)) continue;
        work(seat);
        gate.fetch_sub(1, std::memory_order_release);
        break;
      }
    }
  }

  void run(int64_t tasks) {
    try {
      for (; started < threads; ++started) std::thread([this, seat = started] { serve(seat); }).detach();
    } catch (const std::system_error&) {  // no more threads are to be had: those that there are do all
      threads = started;
    }
    for (int i = 0; i < threads; ++i) {
      seats[i].next.store(tasks * i / threads, std::memory_order_relaxed);
      seats[i].end = tasks * (i + 1) / threads;
    }
    gate.store(kOpen, std::memory_order_release);
    for (int i = 1; i < threads; ++i) {
      seats[i].calls.fetch_add(1, std::memory_order_release);
      seats[i].calls.notify_one();
    }
    inside = true;
    work(0);
    inside = false;
    gate.fetch_and(~kOpen, std::memory_order_relaxed);
    for (int i = 0; gate.load(std::memory_order_acquire) != 0; ++i) i < kSpins ? pause() : std::this_thread::yield();
    if (failure) std::rethrow_exception(std::exchange(failure, nullptr));
  }
};

// Never destroyed: workers may outlive every static object.
Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

struct Scratch {
  void* data[static_cast<int>(Slot::count)] = {};
  size_t capacity[static_cast<int>(Slot::count)] = {};

  ~Scratch() {
    for (void* p : data) std::free(p);
  }
};
thread_local Scratch thread_scratch;

}  // namespace

int thread_count() {
  static const int processors = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  const int chosen = chosen_threads.load(std::memory_order_relaxed);
  return chosen > 0 ? chosen : processors;
}

void set_thread_count(int count) { chosen_threads.store(count, std::memory_order_relaxed); }

int available_threads() { return inside ? 1 : thread_count(); }

void run_tasks(int64_t tasks, int threads, void (*f)(const void*, int64_t), const void* context) {
  Pool& p = pool();
  const std::unique_lock lock(p.owner, std::try_to_lock);
  if (!lock) {  // the workers serve another device
    for (int64_t i = 0; i < tasks; ++i) f(context, i);
    return;
  }
  p.f = f;
  p.context = context;
  p.threads = std::min(threads, kMaxThreads);
  p.run(tasks);
}

void* scratch(Slot slot, size_t bytes) {
  const int i = static_cast<int>(slot);
  Scratch& s = thread_scratch;
  if (bytes > s.capacity[i]) {
    std::free(s.data[i]);
    s.data[i] = nullptr;
    s.capacity[i] = 0;
    // Whole pages with a quarter to spare: sizes that creep up do not allocate each time.
    const size_t capacity = (bytes + bytes / 4 + 4095) / 4096 * 4096;
    s.data[i] = std::aligned_alloc(4096, capacity);
    if (s.data[i] == nullptr) {
      size_t used = 0;
      for (size_t held : s.capacity) used += held;
      throw_no_scratch(capacity, used);
    }
    s.capacity[i] = capacity;
  }
  return s.data[i];
}

}  // namespace statespace::cpu
