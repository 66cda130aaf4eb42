// Kernels that are wrong on purpose, one per run; violations.mjs knows which build must notice which.
// Exit codes: 0 nothing noticed, 2 no such kernel, 3 the emulator noticed, 4 the result is wrong, 5 the result is NaN;
// sanitizers use their own.
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "cuda/device/async_copy.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/device/vector.cuh"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda {
namespace {

constexpr int kThreads = 64;

__global__ void correct(const float* in, float* out) {
  float* shared = dynamic_shared<float>();
  shared[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

__global__ void correct_pipeline(const float* in, float* out) {
  float* shared = dynamic_shared<float>();
  async_copy<4>(shared + threadIdx.x, in + threadIdx.x);
  async_commit();
  for (int step = 0; step < 4; ++step) {
    const int mine = step % 2 * kThreads, other = (step + 1) % 2 * kThreads;
    async_copy<4>(shared + other + threadIdx.x, in + threadIdx.x);
    async_commit();
    async_wait<1>();
    __syncthreads();
    out[threadIdx.x] = shared[mine + (threadIdx.x + 1) % kThreads];
    __syncthreads();
  }
  async_wait<0>();
}

// The last block to finish adds up what all have written: right because of the fences.
__global__ void correct_last_block(float* partial, int* ticket, float* out) {
  auto& is_last = block_shared<bool, struct IsLast>();
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = 1.0f;
    __threadfence();
    is_last = atomicAdd(ticket, 1) == static_cast<int>(gridDim.x) - 1;
    __threadfence();
  }
  __syncthreads();
  if (is_last && threadIdx.x == 0) {
    float sum = 0.0f;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += partial[i];
    out[0] = sum;
  }
}

__global__ void missing_barrier(float* out) {
  float* shared = dynamic_shared<float>();
  shared[threadIdx.x] = 2.0f;
  out[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}

__global__ void missing_second_barrier(const float* in, float* out) {
  float* shared = dynamic_shared<float>();
  for (int step = 0; step < 2; ++step) {
    shared[threadIdx.x] = in[threadIdx.x] + step;
    __syncthreads();
    out[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x] - step;
  }
}

// A shuffle makes lanes meet, but does not order their memory.
__global__ void missing_syncwarp(float* out) {
  float* shared = dynamic_shared<float>();
  shared[threadIdx.x] = 2.0f;
  const float one = __shfl_sync(kFullWarp, 1.0f, 0);
  out[threadIdx.x] = shared[threadIdx.x ^ 1] * one;
}

__global__ void dynamic_shared_overflow(float* out) {
  dynamic_shared<float>()[threadIdx.x + 1] = 1.0f;
  out[threadIdx.x] = 2.0f;
}

__global__ void static_shared_overflow(float* out) {
  float* slots = block_shared<float[kThreads], struct Slots>();
  slots[threadIdx.x + 1] = 1.0f;
  out[threadIdx.x] = 2.0f;
}

__global__ void static_shared_overread(float* out) {
  float* slots = block_shared<float[kThreads], struct Slots>();
  slots[threadIdx.x] = 2.0f;
  __syncthreads();
  out[threadIdx.x] = slots[threadIdx.x + 1];
}

__global__ void uninitialized_shared(float* out) { out[threadIdx.x] = dynamic_shared<float>()[threadIdx.x]; }

__global__ void global_overread(const float* in, float* out, int size) {
  float value = 0.0f;
  for (int i = threadIdx.x; i < size + kThreads / 2; i += blockDim.x) value += in[i] * (i < size ? 1.0f : 0.0f);
  out[threadIdx.x] = value;
}

__global__ void global_overwrite(float* out, int size) {
  for (int i = threadIdx.x; i <= size; i += blockDim.x) out[i] = 2.0f;
}

__global__ void barrier_in_branch(float* out) {
  if (threadIdx.x < 32) __syncthreads();
  out[threadIdx.x] = 2.0f;
}

__global__ void barriers_at_two_lines(float* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 2.0f;
}

__global__ void return_before_barrier(float* out, int size) {
  if (static_cast<int>(threadIdx.x) >= size) return;
  __syncthreads();
  out[threadIdx.x] = 2.0f;
}

__global__ void return_before_shuffle(float* out) {
  if (threadIdx.x % 32 == 5) return;
  out[threadIdx.x] = warp_sum(2.0f / 32);
}

__global__ void shuffle_in_branch(float* out) {
  if (threadIdx.x % 2) out[threadIdx.x] = warp_sum(2.0f / 32);
  __syncthreads();
}

__global__ void shuffles_at_two_lines(float* out) {
  if (threadIdx.x % 2) {
    out[threadIdx.x] = __shfl_sync(kFullWarp, 2.0f, 0);
  } else {
    out[threadIdx.x] = __shfl_sync(kFullWarp, 2.0f, 0);
  }
}

__global__ void shuffle_outside_mask(float* out) {
  const unsigned half = threadIdx.x % 32 < 16 ? 0x0000ffffu : 0xffff0000u;
  out[threadIdx.x] = __shfl_sync(half, 2.0f, 3);
}

__global__ void misaligned_vector(const float* in, float* out) { out[threadIdx.x] = load_vector(in + 1)[0]; }

__global__ void misaligned_cast(const float* in, float* out) {
  out[threadIdx.x] = reinterpret_cast<const float4*>(in + 1)->x;
}

__global__ void copy_not_waited(const float* in, float* out) {
  float* shared = dynamic_shared<float>();
  async_copy<16>(shared + threadIdx.x * 4, in);
  async_commit();
  __syncthreads();
  out[threadIdx.x] = shared[threadIdx.x * 4];
  async_wait<0>();
}

// The buffer holds the last step's good data, which a late copy would leave in place.
__global__ void copy_waited_too_late(const float* in, float* out) {
  float* shared = dynamic_shared<float>();
  shared[threadIdx.x] = in[threadIdx.x];
  async_copy<4>(shared + threadIdx.x, in + threadIdx.x);
  async_commit();
  async_wait<1>();
  out[threadIdx.x] = shared[threadIdx.x];
  async_wait<0>();
}

__global__ void copy_never_waited(const float* in, float* out) {
  async_copy<4>(dynamic_shared<float>() + threadIdx.x, in);
  async_commit();
  out[threadIdx.x] = 2.0f;
}

__global__ void copy_without_barrier(const float* in, float* out) {
  float* shared = dynamic_shared<float>();
  async_copy<4>(shared + threadIdx.x, in + threadIdx.x);
  async_commit();
  async_wait<0>();
  out[threadIdx.x] = shared[threadIdx.x ^ 1];
}

__global__ void copy_beyond_shared(const float* in, float* out) {
  async_copy<4>(dynamic_shared<float>() + threadIdx.x + 1, in);
  async_commit();
  async_wait<0>();
  out[threadIdx.x] = 2.0f;
}

__global__ void copy_source_changes(float* in, float* out) {
  async_copy<4>(dynamic_shared<float>() + threadIdx.x, in + threadIdx.x);
  async_commit();
  in[threadIdx.x] = 3.0f;
  async_wait<0>();
  out[threadIdx.x] = 2.0f;
}

__global__ void blocks_race(float* out) {
  if (threadIdx.x == 0) out[0] += 1.0f;
  out[1 + threadIdx.x] = 2.0f;
}

__global__ void last_block_without_fence(float* partial, int* ticket, float* out) {
  if (threadIdx.x != 0) return;
  partial[blockIdx.x] = 1.0f;
  if (atomicAdd(ticket, 1) != static_cast<int>(gridDim.x) - 1) return;
  out[0] = partial[0] + partial[1];
}

__global__ void endless_wait(int* flag, float* out) {
  while (atomicAdd(flag, 0) == 0) __nanosleep(10);
  out[threadIdx.x] = 2.0f;
}

__global__ void stack_overflow(float* out) {
  volatile char big[600 * 1024];
  for (size_t i = sizeof(big); i >= 512; i -= 512) big[i - 1] = 1;
  out[threadIdx.x] = big[511] + 1.0f;
}

__global__ void nothing(float* out) { out[threadIdx.x] = 2.0f; }

__global__ void nested_launch(float* out) { launch(nothing, {dim3(1), dim3(32)}, nullptr, out); }

int run(const std::string& name) {
  std::vector<float> in(kThreads, 2.0f), out(2 * kThreads, 2.0f), partial(2);
  std::vector<float> exact_out(kThreads, 2.0f);
  int counter = 0;
  const dim3 one(1), two(2), threads(kThreads), warp(32);
  const size_t slots = kThreads * sizeof(float);
  float* const o = out.data();
  const float* const i = in.data();

  const std::vector<std::pair<const char*, std::function<void()>>> runs = {
      {"correct",
       [&] {
         launch(correct, {two, threads, slots}, nullptr, i, o);
       }},
      {"correct_pipeline",
       [&] {
         launch(correct_pipeline, {one, threads, 2 * slots}, nullptr, i, o);
       }},
      {"correct_last_block",
       [&] {
         launch(correct_last_block, {two, warp}, nullptr, partial.data(), &counter, o);
       }},
      {"missing_barrier",
       [&] {
         launch(missing_barrier, {one, threads, slots}, nullptr, o);
       }},
      {"missing_second_barrier",
       [&] {
         launch(missing_second_barrier, {one, threads, slots}, nullptr, i, o);
       }},
      {"missing_syncwarp",
       [&] {
         launch(missing_syncwarp, {one, threads, slots}, nullptr, o);
       }},
      {"dynamic_shared_overflow",
       [&] {
         launch(dynamic_shared_overflow, {one, threads, slots}, nullptr, o);
       }},
      {"static_shared_overflow",
       [&] {
         launch(static_shared_overflow, {one, threads}, nullptr, o);
       }},
      {"static_shared_overread",
       [&] {
         launch(static_shared_overread, {one, threads}, nullptr, o);
       }},
      {"uninitialized_shared",
       [&] {
         launch(uninitialized_shared, {one, threads, slots}, nullptr, o);
       }},
      {"global_overread",
       [&] {
         launch(global_overread, {one, threads}, nullptr, i, o, kThreads);
       }},
      {"global_overwrite",
       [&] {
         launch(global_overwrite, {one, threads}, nullptr, exact_out.data(), kThreads);
       }},
      {"barrier_in_branch",
       [&] {
         launch(barrier_in_branch, {one, threads}, nullptr, o);
       }},
      {"barriers_at_two_lines",
       [&] {
         launch(barriers_at_two_lines, {one, threads}, nullptr, o);
       }},
      {"return_before_barrier",
       [&] {
         launch(return_before_barrier, {one, threads}, nullptr, o, 60);
       }},
      {"return_before_shuffle",
       [&] {
         launch(return_before_shuffle, {one, threads}, nullptr, o);
       }},
      {"shuffle_in_branch",
       [&] {
         launch(shuffle_in_branch, {one, threads}, nullptr, o);
       }},
      {"shuffles_at_two_lines",
       [&] {
         launch(shuffles_at_two_lines, {one, threads}, nullptr, o);
       }},
      {"shuffle_outside_mask",
       [&] {
         launch(shuffle_outside_mask, {one, threads}, nullptr, o);
       }},
      {"misaligned_vector",
       [&] {
         launch(misaligned_vector, {one, threads}, nullptr, i, o);
       }},
      {"misaligned_cast",
       [&] {
         launch(misaligned_cast, {one, threads}, nullptr, i, o);
       }},
      {"copy_not_waited",
       [&] {
         launch(copy_not_waited, {one, threads, 4 * slots}, nullptr, i, o);
       }},
      {"copy_waited_too_late",
       [&] {
         launch(copy_waited_too_late, {one, threads, slots}, nullptr, i, o);
       }},
      {"copy_never_waited",
       [&] {
         launch(copy_never_waited, {one, threads, slots}, nullptr, i, o);
       }},
      {"copy_without_barrier",
       [&] {
         launch(copy_without_barrier, {one, threads, slots}, nullptr, i, o);
       }},
      {"copy_beyond_shared",
       [&] {
         launch(copy_beyond_shared, {one, threads, slots}, nullptr, i, o);
       }},
      {"copy_source_changes",
       [&] {
         launch(copy_source_changes, {one, threads, slots}, nullptr, in.data(), o);
       }},
      {"blocks_race",
       [&] {
         o[0] = 0.0f, launch(blocks_race, {two, threads}, nullptr, o);
       }},
      {"last_block_without_fence",
       [&] {
         launch(last_block_without_fence, {two, warp}, nullptr, partial.data(), &counter, o);
       }},
      {"endless_wait",
       [&] {
         launch(endless_wait, {one, warp}, nullptr, &counter, o);
       }},
      {"stack_overflow",
       [&] {
         launch(stack_overflow, {one, warp}, nullptr, o);
       }},
      {"nested_launch",
       [&] {
         launch(nested_launch, {one, warp}, nullptr, o);
       }},
      {"too_many_threads",
       [&] {
         launch(nothing, {one, dim3(32, 33)}, nullptr, o);
       }},
      {"too_much_shared",
       [&] {
         launch(nothing, {one, threads, 227 * 1024 + 1}, nullptr, o);
       }},
      {"empty_grid",
       [&] {
         launch(nothing, {dim3(0), threads}, nullptr, o);
       }},
  };
  for (const auto& [known, start] : runs) {
    if (name == "list") std::printf("%s\n", known);
    if (name != known) continue;
    try {
      start();
    } catch (const emulator::Violation& violation) {
      std::printf("violation: %s\n", violation.what());
      return 3;
    }
    for (const float value : out) {
      if (std::isnan(value)) return std::printf("NaN in the result: poison was read\n"), 5;
      if (value != 2.0f) return std::printf("wrong result: %g\n", value), 4;
    }
    std::printf("nothing noticed\n");
    return 0;
  }
  return name == "list" ? 0 : 2;
}

}  // namespace
}  // namespace statespace::cuda

int main(int count, char** arguments) { return count == 2 ? statespace::cuda::run(arguments[1]) : 2; }
