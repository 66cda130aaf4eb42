// Chooses how the selective scan is laid over the chip: the only place with costs. They are counts of instructions and
// a model of how well schedulers overlap them; no time in here was measured on a GPU.
#pragma once

#include <algorithm>
#include <cstdint>

namespace statespace::cuda::selective_scan {

struct ScanShape {
  int64_t sequences, length;  // the length of packed sequences is that of all together
  int64_t dim, groups, states;
  int64_t checkpoint_every;                  // at most the length
  int64_t time_chunks = 0;                   // 0 lets the plan choose, 1 keeps time whole, more are wished for
  bool is_packed = false, is_fixed = false;  // B or C do not depend on time
};

// A way to lay channels and states over the 128 threads of a block. Slots are issue slots for one element and state on
// compute capability 9.0, docs/cuda-kernels.md.
struct ForwardVariant {
  int states;           // that the kernel has room for; fewer are padded, more take several launches
  int lanes, channels;  // lanes that share a channel, channels per thread
  double slots;
  int resident_blocks = 4;  // on a multiprocessor
  bool is_fixed = false;

  int block_channels() const { return 128 * channels / lanes; }
};

// clang-format off
constexpr ForwardVariant kForwardVariants[] = {
    {8, 2, 2, 13.1},  {8, 4, 1, 18.2},
    {16, 2, 2, 9.4},  {16, 2, 1, 10.4}, {16, 4, 1, 11.8}, {16, 8, 1, 15.2},
    {32, 2, 1, 8.3, 3},  {32, 8, 1, 10.6},
    {64, 4, 1, 8.1, 3},  {64, 8, 1, 9.0, 3},
    {64, 4, 1, 8.1, 2, true},
};
// clang-format on

struct BackwardVariant {
  int channels;  // per thread; 4 states each
  double slots;  // with a checkpoint every 32 steps
  int resident_blocks;
  static constexpr int states = 16;

  int block_channels() const { return 32 * channels; }
};
constexpr BackwardVariant kBackwardVariants[] = {{4, 27.1, 2}, {2, 31.3, 3}};

// The pass over a scan that is split along time which finds what enters each chunk.
struct SummaryVariant {
  int states;
  double slots;
  int resident_blocks = 4;

  int block_channels() const { return 32; }
};
constexpr SummaryVariant kSummary = {16, 7.4}, kAdjointSummary = {16, 8.0};

constexpr double kPassSlots = 8;       // to take one state through one chunk by its summary
constexpr double kStartCycles = 2000;  // of a block, until its first tile is there
constexpr double kLaunchCycles = 6000;

constexpr int kBlockThreads = 128, kBlockWarps = kBlockThreads / 32;
constexpr int kSchedulers = 4;  // of a multiprocessor
constexpr int64_t kMinChunkSteps = 128;
constexpr int64_t kMaxChunks = 16;  // of a sequence; of packed ones, which may differ, on average

template <class Variant>
struct Plan {
  Variant variant;
  int64_t steps;  // of a chunk; all there are if time is not split
  double cycles;
};

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The share of issue slots that are used when a scheduler has this many warps to choose from.
inline double issue_efficiency(double warps_per_scheduler) {
  constexpr double kEfficiency[] = {0.0, 0.62, 0.86, 0.91, 0.93};
  const double warps = std::min(warps_per_scheduler, 4.0);
  const int below = static_cast<int>(warps);
  const double share = warps - below;
  return below == 4 ? kEfficiency[4] : kEfficiency[below] * (1 - share) + kEfficiency[below + 1] * share;
}

// Cycles of the busiest multiprocessor for `blocks` equal blocks of `slots` for each thread.
inline double cycles_of(int64_t blocks, double slots, int resident_blocks, int multiprocessors) {
  const int64_t most = divide_up(blocks, multiprocessors);
  const double resident = static_cast<double>(std::min<int64_t>(most, resident_blocks));
  const double warps = resident * kBlockWarps / kSchedulers;
  return static_cast<double>(most) *
         (slots * kBlockWarps / kSchedulers / issue_efficiency(warps) + kStartCycles / resident);
}

// Whether every scheduler gets two warps. A few short of that count, too: 1000 of 1056 on 132 multiprocessors.
inline bool is_filling(int64_t blocks, int multiprocessors) {
  return blocks * kBlockWarps * 1056 >= int64_t{2} * kSchedulers * multiprocessors * 1000;
}

// Of one chunk of all sequences; a block has channels of one group.
template <class Variant>
int64_t blocks_of(const Variant& variant, const ScanShape& shape) {
  return shape.sequences * shape.groups * divide_up(shape.dim / shape.groups, variant.block_channels());
}

// Slots of a thread for one step; the exponential unit takes eight for each exponential.
template <class Variant>
double slots_of_step(const Variant& variant, double elementwise_exponentials) {
  const double exponential_slots = 8 * (1 + elementwise_exponentials / variant.states);
  return std::max(variant.slots, exponential_slots) * variant.block_channels() * variant.states / kBlockThreads;
}

// Of packed sequences only the mean is known here.
inline int64_t mean_length(const ScanShape& shape) {
  return std::max<int64_t>(1, shape.is_packed ? divide_up(shape.length, shape.sequences) : shape.length);
}

// Steps of a chunk if `length` is cut into `chunks`. Chunks begin where a state is kept for the backward pass.
inline int64_t chunk_steps(const ScanShape& shape, int64_t length, int64_t chunks) {
  return divide_up(divide_up(length, chunks), shape.checkpoint_every) * shape.checkpoint_every;
}

// Calls f(steps of a chunk, chunks of a sequence) for the ways to cut time that may be chosen.
template <typename Function>
void for_cuts(const ScanShape& shape, bool is_filling_whole, Function f) {
  const int64_t length = mean_length(shape), whole = std::max<int64_t>(shape.length, 1);
  if (shape.time_chunks > 1) {
    const int64_t steps = std::min(chunk_steps(shape, whole, shape.time_chunks), whole);
    return f(steps, divide_up(length, steps));
  }
  f(whole, 1);
  if (shape.time_chunks == 1 || is_filling_whole) return;
  for (int64_t chunks = 2, before = length; chunks <= kMaxChunks; ++chunks) {
    const int64_t steps = chunk_steps(shape, length, chunks);
    if (steps < kMinChunkSteps) return;
    if (steps < before) f(steps, divide_up(length, steps));
    before = steps;
  }
}

// The cheapest of the variants, and of the ways to cut time. `states` are those of one launch.
template <class Variant, size_t kVariants, typename Candidate>
Plan<Variant> cheapest(const ScanShape& shape, const Variant (&variants)[kVariants], const SummaryVariant& summary,
                       int states, double elementwise_exponentials, int multiprocessors, Candidate is_candidate) {
  bool is_filling_whole = false;
  for (const Variant& variant : variants) {
    is_filling_whole |= is_candidate(variant) && is_filling(blocks_of(variant, shape), multiprocessors);
  }
  const double launches = static_cast<double>(divide_up(shape.states, states));
  const int64_t summary_parts = divide_up(shape.states, summary.states), length = mean_length(shape);
  Plan<Variant> best = {};
  for_cuts(shape, is_filling_whole, [&](int64_t steps, int64_t chunks) {
    const double chunk = static_cast<double>(std::min(steps, length));
    double first_pass = 0;
    if (chunks > 1) {
      const int64_t blocks = blocks_of(summary, shape) * (chunks - 1) * summary_parts;
      first_pass = kLaunchCycles +
                   cycles_of(blocks, slots_of_step(summary, 1) * chunk, summary.resident_blocks, multiprocessors);
    }
    for (const Variant& variant : variants) {
      if (!is_candidate(variant)) continue;
      const double passes =
          kPassSlots * static_cast<double>(chunks - 1) / 2 * variant.block_channels() * states / kBlockThreads;
      const double slots = slots_of_step(variant, elementwise_exponentials) * chunk + passes;
      const double cycles = first_pass + launches * cycles_of(blocks_of(variant, shape) * chunks, slots,
                                                              variant.resident_blocks, multiprocessors);
      if (best.steps == 0 || cycles < best.cycles) best = {variant, steps, cycles};
    }
  });
  return best;
}

// All variants give the same bits, only the cut of time does not.
inline Plan<ForwardVariant> plan_forward(const ScanShape& shape, int multiprocessors) {
  int room = shape.is_fixed ? 64 : 8;  // the smallest that holds all states, or the largest
  while (room < shape.states && room < 64) room *= 2;
  return cheapest(shape, kForwardVariants, kSummary, room, 3, multiprocessors, [&](const ForwardVariant& variant) {
    return variant.states == room && variant.is_fixed == shape.is_fixed;
  });
}

// Which kernels there are: four channels a thread take more states than one launch works on, two take a fixed B or C.
// The variants add up in different orders, so that only one will do where the batch may not make a difference.
inline Plan<BackwardVariant> plan_backward(const ScanShape& shape, int multiprocessors) {
  const bool is_free = !shape.is_fixed && shape.states <= BackwardVariant::states && shape.time_chunks != 1;
  return cheapest(
      shape, kBackwardVariants, kAdjointSummary, BackwardVariant::states, 0, multiprocessors,
      [&](const BackwardVariant& variant) { return is_free || variant.channels == (shape.is_fixed ? 2 : 4); });
}

}  // namespace statespace::cuda::selective_scan
