// What the emulator knows of the block that runs: its threads, warps, barriers, memory. For cuda_emulator.cc.
#pragma once

#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <vector>

#include "cuda/emulator/cuda_emulator.h"
#include "cuda/emulator/fiber.h"

namespace statespace::emulator {
namespace {

// The thread sanitizer knows a thread by its fiber. Otherwise a fiber whose thread has ended takes the next thread, so
// that threads that never wait need no switch.
#if defined(EMULATOR_TSAN)
constexpr bool kThreadsShareFibers = false;
#else
constexpr bool kThreadsShareFibers = true;
#endif

// The thread sanitizer takes two fibers for one if the second is made after the first is gone, and then sees no races
// between them. So the last fibers of a launch are kept; each costs that tool almost a megabyte.
constexpr size_t kMaxKeptFibers = 1024;

constexpr int kMaxThreads = 1024;
constexpr int kMaxWarps = kMaxThreads / warpSize;
constexpr size_t kMaxStaticSharedBytes = 48 * 1024;
constexpr size_t kMaxSharedBytes = 227 * 1024;
constexpr size_t kSharedAlignment = 128;
constexpr int kMaxIdleYields = 1 << 22;

// Poisoned bytes behind shared memory tell that a kernel wrote there; the address sanitizer tells it better.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kSharedGuardBytes = 0;
#else
constexpr size_t kSharedGuardBytes = 64;
#endif

enum class State { kRunnable, kAtBarrier, kInWarp, kEnded };

struct PendingCopy {
  int group;
  void* shared;
  const void* global;
  size_t bytes;
  size_t source_bytes;
  unsigned char source[16];  // as it was when the copy started
};

struct Thread {
  uint3 index;
  int rank = 0;
  int turn = 0;
  State state = State::kRunnable;
  Site site;
  Fiber* fiber = nullptr;  // null until it starts
  // What it gave to the warp operation that it takes part in.
  unsigned mask = 0;
  void* input = nullptr;
  void* output = nullptr;
  int gate = 0;
  std::vector<PendingCopy> copies;  // in the order they were started
  int groups = 0;                   // committed so far
};

struct Warp {
  unsigned waiting = 0;
  int meetings = 0;
  char gates[8] = {};  // addresses that stand for the last meetings, for the thread sanitizer
};

struct SharedMemory {
  const void* key;  // null: the dynamic one
  size_t bytes;
  unsigned char* memory;
};

// The block that runs on this host thread, and what is kept from one to the next.
struct Block {
  void (*body)(void*) = nullptr;
  void* context = nullptr;
  int size = 0;
  uint3 index;
  Thread threads[kMaxThreads];        // by rank
  Thread* by_turn[kMaxThreads] = {};  // in the order that options ask for
  unsigned runnable[kMaxWarps] = {};  // one bit per turn
  int turn = 0;
  int ended = 0;
  int at_barrier = 0;
  int votes = 0;
  int vote_result = 0;
  int barriers = 0;
  char barrier_gates[2] = {};
  Site barrier_site;
  int idle_yields = 0;
  Warp warps[kMaxWarps];
  std::vector<SharedMemory> shared;
  std::deque<std::unique_ptr<Fiber>> fibers;
  std::vector<Fiber*> free_fibers;
  Fiber launcher;
  std::exception_ptr error;
};

}  // namespace
}  // namespace statespace::emulator
