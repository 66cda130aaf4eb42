// The hardware: threads take turns on fibers, meet at barriers and in warps, and see the memory of their block.
// Never compiled with -fsanitize=thread: to that tool the fibers are threads, and this file is what they run on.
#include "cuda/emulator/cuda_emulator.h"

#include <bit>
#include <cstdlib>
#include <exception>
#include <map>
#include <string>

#include "cuda/emulator/block.h"

namespace statespace::emulator {
namespace {

thread_local std::unique_ptr<Block> block_of_host_thread;
thread_local constinit Block* block = nullptr;
thread_local constinit Thread* running = nullptr;
char fence_gate;

void acquire([[maybe_unused]] void* gate) {
#if defined(EMULATOR_TSAN)
  __tsan_acquire(gate);
#endif
}
void release([[maybe_unused]] void* gate) {
#if defined(EMULATOR_TSAN)
  __tsan_release(gate);
#endif
}

std::string name_of(const Site& site) {
  const std::string file = site.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(site.line());
}

std::string place_of(const Thread& thread) {
  switch (thread.state) {
    case State::kRunnable:
      return "work";
    case State::kAtBarrier:
      return "__syncthreads (" + name_of(thread.site) + ")";
    case State::kInWarp:
      return "a warp operation (" + name_of(thread.site) + ")";
    case State::kEnded:
      return "their end";
  }
  return "";
}

bool is_same(const Site& a, const Site& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

uint3 index_of(size_t rank, dim3 shape) {
  return {static_cast<unsigned>(rank % shape.x), static_cast<unsigned>(rank / shape.x % shape.y),
          static_cast<unsigned>(rank / shape.x / shape.y)};
}

void make_runnable(Thread& thread) {
  thread.state = State::kRunnable;
  block->runnable[thread.turn / 32] |= 1u << thread.turn % 32;
}

// The next thread that can run, in turns; null when there is none or the block has failed.
Thread* choose_next() {
  if (block->error) return nullptr;
  const int words = (block->size + 31) / 32;
  const int first = block->turn / 32;
  const unsigned seen = block->turn % 32 == 31 ? ~0u : (2u << block->turn % 32) - 1;
  for (int step = 0; step <= words; ++step) {
    const int word = (first + step) % words;
    unsigned candidates = block->runnable[word];
    if (step == 0) candidates &= ~seen;
    if (step == words) candidates &= seen;
    if (!candidates) continue;
    const int bit = std::countr_zero(candidates);
    block->runnable[word] &= ~(1u << bit);
    block->turn = word * 32 + bit;
    return block->by_turn[block->turn];
  }
  return nullptr;
}

void thread_loop();

void give_fiber(Thread& thread) {
  const Unseen unseen;
  if (block->free_fibers.empty()) {
    block->fibers.push_back(std::make_unique<Fiber>(&thread_loop));
    block->free_fibers.push_back(block->fibers.back().get());
  }
  thread.fiber = block->free_fibers.back();
  block->free_fibers.pop_back();
}

// Leaves `here` for `next`, or for the launcher.
void switch_from(Fiber& here, Thread* next) {
  running = next;
  release(block);  // for the launcher, also if this thread never comes back
  if (!next) return here.switch_to(block->launcher);
  if (!next->fiber) give_fiber(*next);
  threadIdx = next->index;
  here.switch_to(*next->fiber);
}

// The running thread lets others run until it is chosen again.
void take_turns() {
  Thread* self = running;
  Thread* next = choose_next();
  if (next != self) switch_from(*self->fiber, next);
}

void wait_as(State state, const Site& site) {
  running->state = state;
  running->site = site;
  take_turns();
}

// What every fiber runs: one thread after another.
void thread_loop() {
  for (;;) {
    Thread& self = *running;
    Fiber& here = *self.fiber;
    try {
      block->body(block->context);
      if (!self.copies.empty()) throw Violation("a thread ended without waiting for its async copies");
    } catch (...) {
      const Unseen unseen;
      if (!block->error) block->error = std::current_exception();
    }
    self.state = State::kEnded;
    ++block->ended;
    block->idle_yields = 0;

    Thread* next = choose_next();
    if constexpr (kThreadsShareFibers) {
      if (next && !next->fiber) {
        next->fiber = &here;
        running = next;
        threadIdx = next->index;
        continue;
      }
      block->free_fibers.push_back(&here);
    }
    switch_from(here, next);
  }
}

SharedMemory& add_shared_memory(const void* key, size_t bytes) {
  const Unseen unseen;
  void* memory = nullptr;
  if (posix_memalign(&memory, kSharedAlignment, bytes + kSharedGuardBytes)) throw std::bad_alloc();
  std::memset(memory, options.poison, bytes + kSharedGuardBytes);
  block->shared.push_back({key, bytes, static_cast<unsigned char*>(memory)});
  return block->shared.back();
}

void require_shared_end_untouched() {
  for (const SharedMemory& shared : block->shared) {
    for (size_t i = 0; i < kSharedGuardBytes; ++i) {
      if (shared.memory[shared.bytes + i] == options.poison) continue;
      throw Violation(std::string("a thread wrote beyond the end of its ") + (shared.key ? "static" : "dynamic") +
                      " shared memory of " + std::to_string(shared.bytes) + " bytes");
    }
  }
}

[[noreturn]] void throw_stuck() {
  std::map<std::string, int> places;
  for (int i = 0; i < block->size; ++i) ++places[place_of(block->threads[i])];
  std::string message = "block (" + std::to_string(block->index.x) + "," + std::to_string(block->index.y) + "," +
                        std::to_string(block->index.z) + ") is stuck:";
  const char* separator = " ";
  for (const auto& [place, count] : places) {
    message += separator + std::to_string(count) + (count == 1 ? " thread at " : " threads at ") + place;
    separator = "; ";
  }
  throw Violation(message);
}

void prepare_threads(dim3 shape) {
  block->size = static_cast<int>(shape.x * shape.y * shape.z);
  for (int rank = 0; rank < block->size; ++rank) {
    Thread& thread = block->threads[rank];
    thread.index = index_of(rank, shape);
    thread.rank = rank;
    thread.turn = options.order == Order::kForward ? rank : block->size - 1 - rank;
    block->by_turn[thread.turn] = &thread;
  }
}

void make_all_runnable() {
  for (int rank = 0; rank < block->size; ++rank) make_runnable(block->threads[rank]);
  block->turn = block->size - 1;  // turn 0 is next
}

void run_block(size_t shared_bytes) {
  add_shared_memory(nullptr, shared_bytes);
  block->ended = block->at_barrier = block->votes = block->idle_yields = 0;
  for (int rank = 0; rank < block->size; ++rank) {
    Thread& thread = block->threads[rank];
    thread.fiber = nullptr;
    if (!kThreadsShareFibers) give_fiber(thread);  // here, because a new fiber knows what its maker knows
  }
  make_all_runnable();
  switch_from(block->launcher, choose_next());
  if (block->error) std::rethrow_exception(block->error);
  if (block->ended < block->size) throw_stuck();
  require_shared_end_untouched();
}

// After a block: what its threads leave behind. After a failure their fibers are in the middle of the kernel.
void clear_block(bool failed) {
  if (failed) acquire(block);
  const Unseen unseen;
  for (const SharedMemory& shared : block->shared) std::free(shared.memory);
  block->shared.clear();
  if (!kThreadsShareFibers) {
    while (block->fibers.size() > kMaxKeptFibers) block->fibers.pop_front();
  }
  if (!failed) return;
  block->free_fibers.clear();
  block->fibers.clear();
  running = nullptr;
  for (Thread& thread : block->threads) thread.copies.clear();
  for (Warp& warp : block->warps) warp.waiting = 0;
  for (unsigned& word : block->runnable) word = 0;
}

void require_valid_shape(dim3 grid, dim3 shape, size_t shared_bytes) {
  auto text = [](dim3 d) {
    return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")";
  };
  const uint64_t threads = static_cast<uint64_t>(shape.x) * shape.y * shape.z;
  if (threads == 0 || threads > kMaxThreads || shape.z > 64) {
    throw Violation("a block of " + text(shape) + " threads: 1 to 1024 in all, at most 64 in z");
  }
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    throw Violation("a grid of " + text(grid) + " blocks: at least 1 each way, at most 65535 in y and z");
  }
  if (shared_bytes > kMaxSharedBytes) {
    throw Violation(std::to_string(shared_bytes) + " bytes of shared memory: at most 227 KiB");
  }
}

}  // namespace

void run_grid(dim3 grid, dim3 shape, size_t shared_bytes, void (*thread)(void*), void* context) {
  if (running) throw Violation("a kernel launches a kernel");
  require_valid_shape(grid, shape, shared_bytes);
  if (!block) {
    block_of_host_thread = std::make_unique<Block>();
    block = block_of_host_thread.get();
  }
  block->body = thread;
  block->context = context;
  block->error = nullptr;
  prepare_threads(shape);
  blockDim = shape;
  gridDim = grid;
  const size_t blocks = static_cast<size_t>(grid.x) * grid.y * grid.z;
  for (size_t i = 0; i < blocks; ++i) {
    blockIdx = block->index = index_of(options.order == Order::kForward ? i : blocks - 1 - i, grid);
    try {
      run_block(shared_bytes);
    } catch (...) {
      clear_block(/*failed=*/true);
      throw;
    }
    clear_block(/*failed=*/false);
  }
  acquire(block);
  if (!kThreadsShareFibers) {
    const Unseen unseen;
    block->fibers.clear();
  }
}

void* dynamic_shared() { return block->shared.front().memory; }

void* block_shared(const void* key, size_t bytes) {
  size_t static_bytes = bytes;
  for (const SharedMemory& shared : block->shared) {
    if (shared.key == key) return shared.memory;
    if (shared.key) static_bytes += shared.bytes;
  }
  if (static_bytes > kMaxStaticSharedBytes) throw Violation("more than 48 KiB of static shared memory");
  if (static_bytes + block->shared.front().bytes > kMaxSharedBytes) {
    throw Violation("static and dynamic shared memory together are more than 227 KiB");
  }
  return add_shared_memory(key, bytes).memory;
}

int block_barrier(bool predicate, Site site) {
  if (block->at_barrier > 0 && !is_same(block->barrier_site, site)) {
    throw Violation("__syncthreads at two places: " + name_of(block->barrier_site) + " and " + name_of(site));
  }
  block->barrier_site = site;
  block->votes += predicate;
  char* gate = &block->barrier_gates[block->barriers % 2];
  release(gate);
  if (++block->at_barrier < block->size) {
    wait_as(State::kAtBarrier, site);
  } else {
    block->vote_result = block->votes;
    block->votes = block->at_barrier = block->idle_yields = 0;
    ++block->barriers;
    make_all_runnable();
    take_turns();
  }
  acquire(gate);
  return block->vote_result;
}

void yield() {
  if (++block->idle_yields > kMaxIdleYields) throw Violation("all threads only wait in loops for something to change");
  make_runnable(*running);
  take_turns();
}

void fence() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  acquire(&fence_gate);
  release(&fence_gate);
}

void meet_lanes(unsigned mask, void* input, void* output, Combine combine, void* context, bool orders_memory,
                Site site) {
  Thread& self = *running;
  const int lane = self.rank % warpSize;
  Thread* const lanes = &self - lane;
  Warp& warp = block->warps[self.rank / warpSize];
  if (!(mask >> lane & 1)) throw Violation("a lane is not in the mask that it gave at " + name_of(site));
  if (const int size = block->size - lanes->rank; size < warpSize && mask >> size) {
    throw Violation("the mask names lanes that the block does not have at " + name_of(site));
  }
  self.mask = mask;
  self.input = input;
  self.output = output;
  self.site = site;
  if (orders_memory) release(&self.gate);

  warp.waiting |= 1u << lane;
  if ((warp.waiting & mask) != mask) {
    wait_as(State::kInWarp, site);
  } else {
    void* inputs[warpSize] = {};
    void* outputs[warpSize] = {};
    const int gate = warp.meetings++ % static_cast<int>(sizeof(warp.gates));
    for (unsigned rest = mask; rest; rest &= rest - 1) {
      const int i = std::countr_zero(rest);
      Thread& other = lanes[i];
      if (other.mask != mask || !is_same(other.site, site)) {
        throw Violation("lanes of one warp meet in different operations: " + name_of(other.site) + " and " +
                        name_of(site));
      }
      inputs[i] = other.input;
      outputs[i] = other.output;
      other.gate = gate;
      if (orders_memory) acquire(&other.gate);
      if (&other != &self) make_runnable(other);
    }
    warp.waiting &= ~mask;
    block->idle_yields = 0;
    if (orders_memory) release(&warp.gates[gate]);
    if (combine) {
      const Unseen unseen;
      combine(inputs, outputs, context);
    }
  }
  if (orders_memory) acquire(&warp.gates[self.gate]);
}

void require_aligned(const void* address, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(address) % bytes == 0) return;
  throw Violation("an access of " + std::to_string(bytes) + " bytes at an address that is not aligned to them");
}

void async_copy(void* shared, const void* global, size_t bytes, size_t source_bytes) {
  require_aligned(shared, bytes);
  if (source_bytes > bytes) throw Violation("an async copy of more bytes than its size");
  if (source_bytes > 0) require_aligned(global, bytes);
  bool is_inside = false;
  for (const SharedMemory& memory : block->shared) {
    const auto offset = reinterpret_cast<uintptr_t>(shared) - reinterpret_cast<uintptr_t>(memory.memory);
    is_inside = is_inside || (offset < memory.bytes && bytes <= memory.bytes - offset);
  }
  if (!is_inside) throw Violation("an async copy to an address that is not in the block's shared memory");

  // Library calls, which the sanitizers watch in every build: from now on the hardware may read and write.
  PendingCopy copy{running->groups, shared, global, bytes, source_bytes, {}};
  if (source_bytes > 0) std::memcpy(copy.source, global, source_bytes);
  std::memset(shared, options.poison, bytes);
  const Unseen unseen;
  running->copies.push_back(copy);
}

void async_commit() { ++running->groups; }

void async_wait(int pending) {
  auto& copies = running->copies;
  size_t done = 0;
  for (; done < copies.size() && copies[done].group + pending < running->groups; ++done) {
    const PendingCopy& copy = copies[done];
    if (copy.source_bytes > 0 && std::memcmp(copy.source, copy.global, copy.source_bytes) != 0) {
      throw Violation("the source of an async copy changed while it was under way");
    }
    std::memcpy(copy.shared, copy.source, copy.source_bytes);
    std::memset(static_cast<char*>(copy.shared) + copy.source_bytes, 0, copy.bytes - copy.source_bytes);
  }
  const Unseen unseen;
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(done));
}

}  // namespace statespace::emulator
