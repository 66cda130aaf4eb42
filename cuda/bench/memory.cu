// Bandwidth: copies with both shapes of stores, reads of what lies in L2, and float additions in memory.
#include "cuda/bench/harness.h"
#include "cuda/bench/instructions.cuh"
#include "cuda/device/reduce.cuh"

namespace statespace::cuda::bench {
namespace {

constexpr int kThreads = 256;

__host__ __device__ inline unsigned hash(unsigned i) {
  i ^= i >> 16, i *= 0x7feb352du, i ^= i >> 15;
  return i;
}

__global__ void __launch_bounds__(kThreads) fill(unsigned* to, unsigned count) {
  for (unsigned i = blockIdx.x * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads) to[i] = hash(i);
}

// How many words are not what `fill` wrote.
__global__ void __launch_bounds__(kThreads) count_wrong(const unsigned* from, unsigned count, unsigned* wrong) {
  for (unsigned i = blockIdx.x * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads) {
    if (from[i] != hash(i)) atomicAdd(wrong, 1u);
  }
}

// A lane moves 16 bytes, a warp 512 that lie together.
__global__ void __launch_bounds__(kThreads) copy_vectors(const uint4* from, uint4* to, unsigned count) {
  for (unsigned i = blockIdx.x * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads) to[i] = from[i];
}

// A lane moves 2 bytes and a warp 64 that lie together, then goes to the next row: how a scan with a thread a channel
// writes 16-bit results.
__global__ void __launch_bounds__(kThreads)
    copy_rows(const unsigned short* from, unsigned short* to, int rows, int columns, int rows_per_block) {
  const int blocks_across = columns / kThreads;
  const int column = static_cast<int>(blockIdx.x) % blocks_across * kThreads + static_cast<int>(threadIdx.x);
  const int first = static_cast<int>(blockIdx.x) / blocks_across * rows_per_block;
  const int last = min(rows, first + rows_per_block);
#pragma unroll 4
  for (int row = first; row < last; ++row) {
    const size_t at = static_cast<size_t>(row) * columns + column;
    to[at] = from[at];
  }
}

struct Copy {
  explicit Copy(const Harness& harness)
      : words(harness.either(1 << 27, 1 << 14)),
        from(words),
        to(words),
        wrong(1),
        grid(static_cast<unsigned>(harness.chip().multiprocessors * harness.either(16, 1))) {
    launch(fill, {dim3(grid), dim3(kThreads)}, nullptr, from.data(), words);
#if defined(__CUDACC__)
    check_call(cudaDeviceSynchronize(), "fill");
#endif
  }
  std::string compare(const Harness& harness) {
    wrong.clear();
    launch(count_wrong, {dim3(grid), dim3(kThreads)}, nullptr, to.data(), words, wrong.data());
    const unsigned count = harness.read(wrong)[0];
    to.clear();
    return count == 0 ? "" : std::to_string(count) + " words of the copy are wrong";
  }
  double bytes() const { return 8.0 * words; }

  unsigned words;
  Buffer<unsigned> from, to, wrong;
  unsigned grid;
};

void measure_rows(Harness& harness, Copy& copy) {
  constexpr int kColumns = 4096, kRowsPerBlock = 64;
  const int columns = harness.either(kColumns, kThreads);
  const int rows = static_cast<int>(copy.words / static_cast<unsigned>(columns)) * 2;
  const unsigned grid = static_cast<unsigned>(columns / kThreads * ceil_div(rows, kRowsPerBlock));
  harness.rate(
      "copy, 64 bytes a warp and row", "bytes", copy.bytes(),
      [&](cudaStream_t stream) {
        launch(copy_rows, {dim3(grid), dim3(kThreads)}, stream,
               reinterpret_cast<const unsigned short*>(copy.from.data()),
               reinterpret_cast<unsigned short*>(copy.to.data()), rows, columns, kRowsPerBlock);
      },
      [&] { return copy.compare(harness); }, false);
}

double measure_vectors(Harness& harness, Copy& copy) {
  return harness.rate(
      "copy, 16 bytes a lane", "bytes", copy.bytes(),
      [&](cudaStream_t stream) {
        launch(copy_vectors, {dim3(copy.grid), dim3(kThreads)}, stream,
               reinterpret_cast<const uint4*>(copy.from.data()), reinterpret_cast<uint4*>(copy.to.data()),
               copy.words / 4);
      },
      [&] { return copy.compare(harness); }, false);
}

// Every pass a block reads what another read before, so that nothing but L2 can have it.
__global__ void __launch_bounds__(kThreads) read_again(const uint4* from, unsigned count, int passes, unsigned* sums) {
  unsigned sum = 0;
  for (int pass = 0; pass < passes; ++pass) {
    const unsigned block = (blockIdx.x + 37u * static_cast<unsigned>(pass)) % gridDim.x;
    for (unsigned i = block * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads) {
      const uint4 v = load_past_l1(from + i);
      sum += v.x + v.y + v.z + v.w;
    }
  }
  atomicAdd(sums, sum);
}

void measure_l2(Harness& harness) {
  const unsigned vectors = static_cast<unsigned>(harness.chip().l2_bytes / 3 / 16);
  const unsigned grid = static_cast<unsigned>(harness.chip().multiprocessors * harness.either(8, 1));
  const int passes = harness.either(32, 2);
  Buffer<unsigned> from(static_cast<size_t>(vectors) * 4), sum(1);
  launch(fill, {dim3(grid), dim3(kThreads)}, nullptr, from.data(), vectors * 4);
#if defined(__CUDACC__)
  check_call(cudaDeviceSynchronize(), "fill");
#endif
  harness.rate(
      "L2 read", "bytes", 16.0 * vectors * passes,
      [&](cudaStream_t stream) {
        launch(read_again, {dim3(grid), dim3(kThreads)}, stream, reinterpret_cast<const uint4*>(from.data()), vectors,
               passes, sum.data());
      },
      [&]() -> std::string {
        unsigned want = 0;
        for (unsigned i = 0; i < vectors * 4; ++i) want += hash(i);
        want *= static_cast<unsigned>(passes);
        return harness.read(sum)[0] == want ? "" : "the sum is wrong";
      },
      false);
}

// Each warp adds to 32 neighbours. With `rows` rows of them, `gridDim.x * warps / rows` warps share a row.
__global__ void __launch_bounds__(kThreads) add_in_memory(float* to, int rows, int rounds) {
  const int warp = static_cast<int>(blockIdx.x) * (kThreads / kWarpSize) + warp_index();
  for (int i = 0; i < rounds; ++i) {
    const int row = (warp + i * 61) % rows;
    atomicAdd(to + static_cast<size_t>(row) * kWarpSize + lane_index(), 1.0f);
  }
}

void measure_additions(Harness& harness, const char* name, int rows) {
  const unsigned grid = static_cast<unsigned>(harness.chip().multiprocessors * harness.either(8, 1));
  const int rounds = harness.either(512, 4);
  Buffer<float> to(static_cast<size_t>(rows) * kWarpSize);
  const double additions = static_cast<double>(grid) * kThreads * rounds;
  harness.rate(
      name, "additions", additions,
      [&](cudaStream_t stream) {
        launch(add_in_memory, {dim3(grid), dim3(kThreads)}, stream, to.data(), rows, rounds);
      },
      [&]() -> std::string {
        double total = 0;
        for (const float value : harness.read(to)) total += value;
        return total == additions ? "" : "additions are missing: " + std::to_string(total);
      },
      false);
}

}  // namespace

void measure_copy_ceiling(Harness& harness) {
  Copy copy(harness);
  harness.set_ceiling("bytes", measure_vectors(harness, copy));
}

void measure_memory(Harness& harness) {
  Copy copy(harness);
  harness.set_ceiling("bytes", measure_vectors(harness, copy));
  measure_rows(harness, copy);
  measure_l2(harness);
  measure_additions(harness, "RED.ADD.F32, own addresses", harness.either(1 << 16, 64));
  measure_additions(harness, "RED.ADD.F32, 2048 rows of 32 shared by all", harness.either(2048, 8));
}

}  // namespace statespace::cuda::bench
