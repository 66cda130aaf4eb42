// Runs CUDA kernels on the CPU, one fiber per waiting CUDA thread, so that they are tested and sanitized without a GPU.
// What it checks, and what it cannot, is in README.md. Each host thread has its own emulator.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>  // before `__noinline__` becomes a macro in cuda_builtins.h: it uses the attribute of that name
#include <source_location>
#include <stdexcept>
#include <type_traits>

#include "cuda/emulator/cuda_types.h"

namespace statespace::emulator {

using Site = std::source_location;

// A rule of the CUDA model that the kernel broke.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// In which order blocks run, and the threads of a block between two barriers. Right kernels do not care.
enum class Order { kForward, kBackward };

struct Options {
  Order order = Order::kForward;
  unsigned char poison = 0xff;  // what shared memory starts with; 0xff is NaN in every float type and -1 in int
};
inline thread_local constinit Options options;

// Runs `thread(context)` once per CUDA thread; throws what the first of them throws, or a Violation.
void run_grid(dim3 grid, dim3 block, size_t shared_bytes, void (*thread)(void* context), void* context);

void* dynamic_shared();
void* block_shared(const void* key, size_t bytes);

// Returns for how many threads of the block `predicate` was true.
int block_barrier(bool predicate, Site site);
// Lets other threads run, for loops that wait for another thread.
void yield();
// Orders the memory accesses before it and those after another thread's later fence.
void fence();

// The copy is done when it is waited for; until then `shared` holds poison. Bytes beyond `source_bytes` become zero.
void async_copy(void* shared, const void* global, size_t bytes, size_t source_bytes);
void async_commit();
void async_wait(int pending);

// Throws when a vector access of `bytes` would not be aligned.
void require_aligned(const void* address, size_t bytes);

// Waits for all lanes of `mask`; the last one to come calls `combine`. Pointers are by lane, null outside the mask.
using Combine = void (*)(void* const* inputs, void* const* outputs, void* context);
void meet_lanes(unsigned mask, void* input, void* output, Combine combine, void* context, bool orders_memory,
                Site site);

template <typename Output, typename Input, typename Function>
Output warp_collective(unsigned mask, Input input, Function combine, Site site) {
  Output output{};
  meet_lanes(
      mask, &input, &output,
      [](void* const* in, void* const* out, void* function) {
        Input* inputs[32];
        Output* outputs[32];
        for (int lane = 0; lane < 32; ++lane) {
          inputs[lane] = static_cast<Input*>(in[lane]);
          outputs[lane] = static_cast<Output*>(out[lane]);
        }
        (*static_cast<Function*>(function))(inputs, outputs);
      },
      &combine, /*orders_memory=*/false, site);
  return output;
}

// Every lane gets the value of the lane it names.
template <typename T>
T shuffle(unsigned mask, T value, int source, Site site) {
  static_assert(std::is_trivially_copyable_v<T>);
  struct Input {
    T value;
    int source;
  };
  return warp_collective<T>(
      mask, Input{value, source},
      [](Input** in, T** out) {
        for (int lane = 0; lane < 32; ++lane) {
          if (!in[lane]) continue;
          const Input* from = in[in[lane]->source];
          if (!from) throw Violation("a shuffle reads a lane that is not in its mask");
          *out[lane] = from->value;
        }
      },
      site);
}

}  // namespace statespace::emulator

#include "cuda/emulator/cuda_builtins.h"
