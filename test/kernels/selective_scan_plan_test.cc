// How the selective scan is laid over the chip, for a few thousand shapes: every state of every channel at every step
// of every sequence belongs to exactly one thread's work, limits of the hardware hold, and time is cut only where that
// pays.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "cuda/kernels/selective_scan_backward_tile.cuh"
#include "cuda/kernels/selective_scan_plan.h"
#include "cuda/kernels/selective_scan_rows.cuh"
#include "cuda/kernels/selective_scan_tile.cuh"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda::selective_scan {
namespace {

constexpr int kMultiprocessors = 132;
int checks = 0, failures = 0;

std::string text(const ScanShape& s) {
  char buffer[200];
  std::snprintf(buffer, sizeof(buffer),
                "(%lld sequences%s, %lld steps, %lld channels in %lld groups, %lld states%s, every %lld, chunks %lld)",
                static_cast<long long>(s.sequences), s.is_packed ? " packed" : "", static_cast<long long>(s.length),
                static_cast<long long>(s.dim), static_cast<long long>(s.groups), static_cast<long long>(s.states),
                s.is_fixed ? " fixed" : "", static_cast<long long>(s.checkpoint_every),
                static_cast<long long>(s.time_chunks));
  return buffer;
}

void expect(bool holds, const char* what, const ScanShape& shape) {
  ++checks;
  if (holds) return;
  if (++failures <= 20) std::printf("FAILED %s: %s\n", what, text(shape).c_str());
}

ScanShape shape_of(int64_t sequences, int64_t dim, int64_t length, int64_t states = 16) {
  ScanShape shape = {};
  shape.sequences = sequences, shape.length = length, shape.dim = dim, shape.groups = 1, shape.states = states;
  shape.checkpoint_every = std::min<int64_t>(32, length);
  return shape;
}

struct Work {
  int unit, sequence, begin, end, before, after;
  bool exists;
};

// One warp per unit, because a warp must agree on what it reads of the boundaries.
__global__ void list_chunks_kernel(TimeChunks chunks, Work* work) {
  const int unit = static_cast<int>(blockIdx.x);
  const TimeChunk c = chunks.at(unit);
  if (threadIdx.x == 0) work[unit] = {unit, c.sequence, c.begin, c.end, c.before, c.after, c.exists()};
}

// Every step of every sequence once, in units that follow one another; empty sequences have one unit, for their state.
void check_time(const ScanShape& shape, const std::vector<int32_t>& boundaries, int64_t steps) {
  Sequences sequences;
  sequences.boundaries = shape.is_packed ? boundaries.data() : nullptr;
  sequences.count = shape.sequences;
  sequences.length = static_cast<int>(shape.length);
  const TimeChunks chunks(sequences, steps);
  expect(chunks.units > 0 && chunks.is_split() == (steps < shape.length), "there are units", shape);
  std::vector<Work> work(static_cast<size_t>(chunks.units));
  launch(list_chunks_kernel, {dim3(static_cast<unsigned>(chunks.units)), dim3(32)}, nullptr, chunks, work.data());

  size_t at = 0;
  bool holds = true;
  for (int64_t sequence = 0; sequence < shape.sequences; ++sequence) {
    int next = shape.is_packed ? boundaries[static_cast<size_t>(sequence)] : 0;
    const int end = shape.is_packed ? boundaries[static_cast<size_t>(sequence) + 1] : sequences.length;
    int before = 0;
    do {
      while (at < work.size() && !work[at].exists) holds &= work[at].begin == work[at].end, ++at;
      if (at == work.size()) return expect(false, "all sequences are worked on", shape);
      const Work& w = work[at++];
      holds &= w.sequence == sequence && w.begin == next && w.before == before && (w.end > next || next == end);
      holds &= before == 0 || (w.begin % steps == 0 && w.unit == work[at - 2].unit + 1);
      holds &= (w.after == 0) == (w.end == end) && w.end - w.begin <= steps;
      next = w.end, ++before;
    } while (next < end);
  }
  for (; at < work.size(); ++at) holds &= !work[at].exists;
  expect(holds, "every step once, in order", shape);
}

template <int kBlockChannels>
void check_channels(const ScanShape& shape) {
  const Channels channels(shape.dim, shape.groups, kBlockChannels);
  int64_t next = 0;
  bool holds = true;
  for (int64_t block = 0; block < channels.blocks; ++block) {
    const ChannelBlock b = channels.at<kBlockChannels>(block);
    holds &= b.first == next && b.count > 0 && b.count <= kBlockChannels;
    holds &= b.first / channels.per_group == b.group && (b.first + b.count - 1) / channels.per_group == b.group;
    holds &= b.in_group * kBlockChannels == b.first - b.group * channels.per_group;
    next += b.count;
  }
  expect(holds && next == shape.dim, "every channel once, groups apart", shape);
}

void check_channels(const ScanShape& shape, int block_channels) {
  switch (block_channels) {
    case 16:
      return check_channels<16>(shape);
    case 32:
      return check_channels<32>(shape);
    case 64:
      return check_channels<64>(shape);
    case 128:
      return check_channels<128>(shape);
    default:
      expect(false, "a block has 16, 32, 64 or 128 channels", shape);
  }
}

template <class Variant>
void check_plan(const ScanShape& shape, const Plan<Variant>& plan, const std::vector<int32_t>& boundaries) {
  expect(plan.steps >= 1 && plan.steps <= std::max<int64_t>(shape.length, 1), "chunks are not empty", shape);
  const bool is_split = plan.steps < shape.length;
  if (is_split) {
    expect(plan.steps % shape.checkpoint_every == 0, "chunks begin at checkpoints", shape);
    expect(shape.time_chunks != 1, "time stays whole if that is asked for", shape);
    if (shape.time_chunks == 0) {
      expect(plan.steps >= kMinChunkSteps, "chunks are worth their start", shape);
      expect(divide_up(mean_length(shape), plan.steps) <= kMaxChunks, "not too many chunks", shape);
      expect(!is_filling(blocks_of(plan.variant, shape), kMultiprocessors), "time is cut only to fill the chip", shape);
    }
  }
  if (shape.time_chunks > 1) {
    expect(divide_up(shape.length, plan.steps) <= shape.time_chunks, "no more chunks than wished for", shape);
  }
  expect(plan.cycles > 0, "work costs something", shape);
  const int64_t units = shape.sequences * divide_up(shape.length, plan.steps) + shape.sequences;
  expect(units * shape.groups * divide_up(shape.dim / shape.groups, plan.variant.block_channels()) < (int64_t{1} << 31),
         "grids are not too large", shape);
  check_channels(shape, plan.variant.block_channels());
  if (divide_up(shape.length, plan.steps) * shape.sequences < 600) check_time(shape, boundaries, plan.steps);
}

void check_shape(const ScanShape& shape, const std::vector<int32_t>& boundaries) {
  const Plan<ForwardVariant> forward = plan_forward(shape, kMultiprocessors);
  expect(forward.variant.states >= std::min<int64_t>(shape.states, 64), "there is room for the states", shape);
  expect(forward.variant.states == 64 || forward.variant.states / 2 < std::max<int64_t>(shape.states, 5),
         "states are not padded to more than twice", shape);
  expect(forward.variant.is_fixed == shape.is_fixed, "the kernel for fixed B and C", shape);
  check_plan(shape, forward, boundaries);

  const Plan<BackwardVariant> backward = plan_backward(shape, kMultiprocessors);
  if (shape.is_fixed) expect(backward.variant.channels == 2, "the kernel for fixed B and C", shape);
  if (!shape.is_fixed && shape.states > 16) expect(backward.variant.channels == 4, "the kernel for many states", shape);
  check_plan(shape, backward, boundaries);
}

template <typename T>
T pick(std::mt19937& random, const std::vector<T>& values) {
  return values[random() % values.size()];
}

void check_many_shapes() {
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) {
    ScanShape shape = {};
    shape.length =
        pick<int64_t>(random, {1, 2, 15, 16, 17, 100, 127, 128, 129, 255, 256, 257, 1000, 2047, 2048, 5000, 65536});
    if (i % 3 == 0) shape.length = 1 + static_cast<int64_t>(random() % 4000);
    shape.sequences = pick<int64_t>(random, {1, 1, 1, 2, 3, 8, 64, 257});
    shape.groups = pick<int64_t>(random, {1, 1, 1, 2, 3, 8});
    shape.dim = shape.groups * pick<int64_t>(random, {1, 3, 16, 33, 64, 127, 128, 130, 768, 1536, 4096});
    shape.states = pick<int64_t>(random, {1, 2, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 128, 256});
    shape.checkpoint_every = std::min(shape.length, pick<int64_t>(random, {1, 5, 16, 32, 32, 32, 64, 128, 1000}));
    shape.time_chunks = pick<int64_t>(random, {0, 0, 0, 0, 1, 2, 3, 7, 100});
    shape.is_packed = random() % 3 == 0;
    shape.is_fixed = random() % 5 == 0;
    if (!shape.is_packed && shape.sequences * shape.length > 300000) shape.sequences = 1;
    std::vector<int32_t> boundaries(static_cast<size_t>(shape.sequences) + 1, 0);
    boundaries.back() = static_cast<int32_t>(shape.length);
    for (int64_t s = 1; s < shape.sequences; ++s) {  // many ends at cuts, and empty sequences
      const int64_t any = static_cast<int64_t>(random()) % (shape.length + 1);
      boundaries[static_cast<size_t>(s)] = static_cast<int32_t>(random() % 2 ? any / 128 * 128 : any);
    }
    std::sort(boundaries.begin(), boundaries.end());
    check_shape(shape, boundaries);
  }
}

template <class Variant>
bool is_whole(const Plan<Variant>& plan, const ScanShape& shape) {
  return plan.steps >= shape.length;
}

// Names as in the design: lanes that share a channel, channels of a thread.
void expect_forward(const ScanShape& shape, int lanes, int channels) {
  const Plan<ForwardVariant> plan = plan_forward(shape, kMultiprocessors);
  expect(is_whole(plan, shape) && plan.variant.lanes == lanes && plan.variant.channels == channels,
         "the plan of a known shape", shape);
}

int64_t filled_warps(const ScanShape& shape, const ForwardVariant& variant, int64_t steps) {
  return blocks_of(variant, shape) * divide_up(shape.length, steps) * kBlockWarps;
}

void check_known_shapes() {
  expect_forward(shape_of(8, 4096, 2048), 2, 2);
  expect_forward(shape_of(64, 2048, 512), 2, 2);
  expect_forward(shape_of(8, 2048, 2048), 2, 1);
  expect_forward(shape_of(1, 4096, 65536), 8, 1);
  expect_forward(shape_of(1, 1536, 100), 8, 1);  // too short to be cut

  for (const ScanShape& shape : {shape_of(1, 1536, 2048), shape_of(1, 768, 1024), shape_of(2, 768, 4096)}) {
    const Plan<ForwardVariant> plan = plan_forward(shape, kMultiprocessors);
    expect(!is_whole(plan, shape) && filled_warps(shape, plan.variant, plan.steps) >= 500, "few channels are split",
           shape);
    const Plan<BackwardVariant> back = plan_backward(shape, kMultiprocessors);
    expect(!is_whole(back, shape), "few channels are split on the way back", shape);
  }
  // Packed sequences that are enough together are not cut, one is.
  ScanShape packed = shape_of(64, 1536, 64 * 512);
  packed.is_packed = true;
  expect(is_whole(plan_forward(packed, kMultiprocessors), packed), "many packed sequences stay whole", packed);
  packed.sequences = 1;
  expect(!is_whole(plan_forward(packed, kMultiprocessors), packed), "one packed sequence is split", packed);

  expect(plan_backward(shape_of(8, 4096, 2048), kMultiprocessors).variant.channels == 4, "many channels",
         shape_of(8, 4096, 2048));
  expect(plan_backward(shape_of(8, 2048, 2048), kMultiprocessors).variant.channels == 2, "fewer channels",
         shape_of(8, 2048, 2048));
  expect(is_whole(plan_backward(shape_of(8, 2048, 2048), kMultiprocessors), shape_of(8, 2048, 2048)),
         "which need no split", shape_of(8, 2048, 2048));

  // One kind of sums, whatever the batch, if results must not depend on it.
  for (int64_t batch : {1, 8, 64}) {
    ScanShape strict = shape_of(batch, 1024, 2048);
    strict.time_chunks = 1;
    expect(plan_backward(strict, kMultiprocessors).variant.channels == 4, "the batch makes no difference", strict);
  }
}

// More work is never cheaper, and a larger chip never slower. How finely time can be cut grows with its length, so
// length is compared for time in one piece and for double the length.
void check_costs() {
  const auto costs = [](const ScanShape& shape, int multiprocessors) {
    return std::pair(plan_forward(shape, multiprocessors).cycles, plan_backward(shape, multiprocessors).cycles);
  };
  const auto expect_dearer = [&](const ScanShape& less, const ScanShape& more) {
    const auto [forward, backward] = costs(less, kMultiprocessors);
    const auto [more_forward, more_backward] = costs(more, kMultiprocessors);
    expect(more_forward >= forward && more_backward >= backward, "more work is not cheaper", more);
  };
  for (int64_t sequences : {1, 2, 3, 5, 8, 13, 64}) {
    for (int64_t dim : {1, 16, 100, 128, 768, 1536, 2048, 4096}) {
      for (int64_t length : {1, 100, 128, 300, 1024, 2048, 10000}) {
        for (int64_t states : {4, 16, 64}) {
          const ScanShape shape = shape_of(sequences, dim, length, states);
          expect_dearer(shape, shape_of(sequences + 1, dim, length, states));
          expect_dearer(shape, shape_of(sequences, dim + 37, length, states));
          expect_dearer(shape, shape_of(sequences, dim, 2 * length, states));
          ScanShape whole = shape, longer = shape_of(sequences, dim, length + 1, states);
          whole.time_chunks = longer.time_chunks = 1;
          expect_dearer(whole, longer);
          expect_dearer(shape, whole);
          const auto [small_forward, small_backward] = costs(whole, 66);
          const auto [forward, backward] = costs(whole, kMultiprocessors);
          expect(forward <= small_forward && backward <= small_backward, "a larger chip is not slower", shape);
        }
      }
    }
  }
}

// What a block may use on compute capability 8.0, and the blocks that the plan counts on on 9.0.
template <class Tile>
void check_memory(int resident_blocks) {
  const bool holds = Tile::kSharedBytes <= 163 * 1024 && (Tile::kSharedBytes + 1024) * resident_blocks <= 228 * 1024;
  ++checks;
  if (!holds) ++failures, std::printf("FAILED shared memory: %d bytes\n", Tile::kSharedBytes);
}

template <typename T>
void check_memory_of() {
  const auto resident = [](int states, int lanes, int channels) {
    for (const ForwardVariant& v : kForwardVariants) {
      if (v.states == states && v.lanes == lanes && v.channels == channels && !v.is_fixed) return v.resident_blocks;
    }
    std::abort();
  };
  check_memory<ForwardTile<T, 8, 2, 2>>(resident(8, 2, 2)), check_memory<ForwardTile<T, 8, 4, 1>>(resident(8, 4, 1));
  check_memory<ForwardTile<T, 16, 2, 2>>(resident(16, 2, 2)),
      check_memory<ForwardTile<T, 16, 2, 1>>(resident(16, 2, 1));
  check_memory<ForwardTile<T, 16, 4, 1>>(resident(16, 4, 1)),
      check_memory<ForwardTile<T, 16, 8, 1>>(resident(16, 8, 1));
  check_memory<ForwardTile<T, 32, 2, 1>>(resident(32, 2, 1)),
      check_memory<ForwardTile<T, 32, 8, 1>>(resident(32, 8, 1));
  check_memory<ForwardTile<T, 64, 4, 1>>(resident(64, 4, 1)),
      check_memory<ForwardTile<T, 64, 8, 1>>(resident(64, 8, 1));
  for (const BackwardVariant& v : kBackwardVariants) {
    const size_t bytes =
        v.channels == 4 ? sizeof(typename BackwardTile<T, 4>::Shared) : sizeof(typename BackwardTile<T, 2>::Shared);
    ++checks;
    const bool holds = bytes <= 163 * 1024 && (bytes + 1024) * static_cast<size_t>(v.resident_blocks) <= 228 * 1024;
    if (!holds) ++failures, std::printf("FAILED shared memory on the way back: %zu bytes\n", bytes);
  }
}

int main_of_test() {
  check_many_shapes();
  check_known_shapes();
  check_costs();
  check_memory_of<float>();
  check_memory_of<bf16>();
  check_memory_of<f16>();
  std::printf("%d checks, %d failures\n", checks, failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace statespace::cuda::selective_scan

int main() { return statespace::cuda::selective_scan::main_of_test(); }
