// The second half of every reduction of the selective scan's backward pass: blocks write partial sums, these kernels
// add them up, always in the same order. Nothing is atomic, so that two runs give the same bits.
#pragma once

#include "cuda/kernels/selective_scan_rows.cuh"

namespace statespace::cuda::selective_scan {

constexpr int kBackwardStates = 16;  // that one launch works on
constexpr int kSumThreads = 256;

// Sums over the blocks of a group's channels, which become dB and dC.
template <typename T>
struct ChannelSums {
  const float* partial;  // [blocks_per_group, batch * length, groups, 2, kBackwardStates]
  GroupRows<T> dB, dC;
  int64_t rows, length, groups, states, first_state;
  int blocks_per_group;
};

// One thread per sum.
template <typename T>
__global__ void __launch_bounds__(kSumThreads) sum_over_channels_kernel(const __grid_constant__ ChannelSums<T> p) {
  constexpr int kWidth = 2 * kBackwardStates;
  const int64_t count = p.rows * p.groups * kWidth;
  const int64_t at = int64_t{blockIdx.x} * kSumThreads + threadIdx.x;
  if (at >= count) return;
  const int n = static_cast<int>(at % kWidth);
  const int64_t group = at / kWidth % p.groups, row = at / kWidth / p.groups;
  const int64_t state = p.first_state + n % kBackwardStates;
  const GroupRows<T>& to = n < kBackwardStates ? p.dB : p.dC;
  if (!to || state >= p.states) return;
  float sum = 0.0f;
  for (int block = 0; block < p.blocks_per_group; ++block) sum += p.partial[block * count + at];
  to.row(row / p.length, row % p.length, group)[state] = from_float<T>(sum);
}

// One thread per channel and state; `width` of them lie side by side in a partial result, `states` in `to`.
[[maybe_unused]] static __global__ void __launch_bounds__(kSumThreads)
    sum_over_units_kernel(const float* partial, float* to, int64_t units, int64_t dim, int64_t width, int64_t states,
                          int64_t first_state) {
  const int64_t at = int64_t{blockIdx.x} * kSumThreads + threadIdx.x;
  const int64_t state = first_state + at % width;
  if (at >= dim * width || state >= states) return;
  float sum = 0.0f;
  for (int64_t unit = 0; unit < units; ++unit) sum += partial[unit * dim * width + at];
  to[at / width * states + state] = sum;
}

}  // namespace statespace::cuda::selective_scan
