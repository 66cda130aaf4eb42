// Chooses how the selective scan is laid over the chip: the only place with costs. They are counts of instructions and
// a model of how well schedulers overlap them; no time in here was measured on a GPU.
#pragma once

#include <algorithm>
#include <cstdint>

namespace statespace::cuda::selective_scan {

struct ScanShape {
  int64_t sequences, length, dim, states;
};

struct ForwardVariant {
  int states;           // that the kernel has room for; fewer are padded, more take several launches
  int lanes, channels;  // lanes that share a channel, channels per thread
  double slots;         // issue slots per element and state, sm_90
};

// clang-format off
constexpr ForwardVariant kForwardVariants[] = {
    {8, 2, 2, 12.5},  {8, 4, 1, 17.5},
    {16, 2, 2, 9.4},  {16, 2, 1, 10.5}, {16, 4, 1, 11.8}, {16, 8, 1, 13.5},
    {32, 2, 1, 8.5},  {32, 8, 1, 9.7},
    {64, 4, 1, 8.2},  {64, 8, 1, 8.5},
};
// clang-format on
constexpr double kExponentialSlots = 9.5;  // what the exponential unit needs for one element and state

struct BackwardVariant {
  int channels;  // per thread; 4 states each
  double slots;
};
constexpr BackwardVariant kBackwardVariants[] = {{4, 28.4}, {2, 33.3}};

constexpr int kBlockThreads = 128;
constexpr int kSchedulers = 4;  // of a multiprocessor

// The share of issue slots that are used when a scheduler has this many warps to choose from.
inline double issue_efficiency(double warps_per_scheduler) {
  constexpr double kEfficiency[] = {0.0, 0.62, 0.86, 0.91, 0.93};
  const double warps = std::min(warps_per_scheduler, 4.0);
  const int below = static_cast<int>(warps);
  const double share = warps - below;
  return below == 4 ? kEfficiency[4] : kEfficiency[below] * (1 - share) + kEfficiency[below + 1] * share;
}

// Issue cycles of the busiest multiprocessor for `blocks` equal blocks of `block_slots` per warp.
inline double cost(int64_t blocks, double block_slots, int resident_blocks, int multiprocessors) {
  const int64_t most = (blocks + multiprocessors - 1) / multiprocessors;
  const double resident = static_cast<double>(std::min<int64_t>(most, resident_blocks));
  return most * block_slots / issue_efficiency(resident * (kBlockThreads / 32) / kSchedulers);
}

inline int64_t blocks_over_channels(int64_t dim, int block_channels) {
  return (dim + block_channels - 1) / block_channels;
}

// The smallest room among the variants that holds all states, or the largest.
inline int room_for(int64_t states) {
  int room = 8;
  while (room < states && room < 64) room *= 2;
  return room;
}

inline ForwardVariant plan_forward(const ScanShape& shape, int multiprocessors) {
  const int room = room_for(shape.states);
  const ForwardVariant* best = nullptr;
  double best_cost = 0;
  for (const ForwardVariant& variant : kForwardVariants) {
    if (variant.states != room) continue;
    const int block_channels = kBlockThreads * variant.channels / variant.lanes;
    const int64_t blocks = shape.sequences * blocks_over_channels(shape.dim, block_channels);
    const double slots = std::max(variant.slots, kExponentialSlots) * block_channels * room;
    const double total = cost(blocks, slots, 4, multiprocessors);
    if (!best || total < best_cost) best = &variant, best_cost = total;
  }
  return *best;
}

inline BackwardVariant plan_backward(const ScanShape& shape, int multiprocessors) {
  const BackwardVariant* best = nullptr;
  double best_cost = 0;
  for (const BackwardVariant& variant : kBackwardVariants) {
    const int block_channels = 32 * variant.channels;
    const int64_t blocks = shape.sequences * blocks_over_channels(shape.dim, block_channels);
    const double total = cost(blocks, variant.slots * block_channels, variant.channels == 4 ? 2 : 3, multiprocessors);
    if (!best || total < best_cost) best = &variant, best_cost = total;
  }
  return *best;
}

}  // namespace statespace::cuda::selective_scan
