// Scans of the recurrence h = decay * h + input over a warp and a block, from the first thread or from the last.
#pragma once

#include "cuda/device/numeric.cuh"
#include "cuda/device/reduce.cuh"

namespace statespace::cuda {

// The map h -> decay * h + input. Composing two is associative, so that a sequence of them can be scanned.
struct Affine {
  float decay = 1.0f;
  float input = 0.0f;

  __device__ float operator()(float h) const { return fma_rn(decay, h, input); }
};

// First `before`, then `after`.
__device__ inline Affine then(Affine before, Affine after) {
  return {mul_rn(before.decay, after.decay), fma_rn(after.decay, before.input, after.input)};
}

// kBackward: the last thread comes first, as in the gradient of a recurrence.
enum class Direction { kForward, kBackward };

// The value `distance` lanes earlier in the direction; a lane that has none gets its own.
template <Direction kDirection>
__device__ float from_earlier_lane(float value, int distance) {
  if constexpr (kDirection == Direction::kForward) {
    return __shfl_up_sync(kFullWarp, value, distance);
  } else {
    return __shfl_down_sync(kFullWarp, value, distance);
  }
}

template <Direction kDirection>
__device__ Affine from_earlier_lane(Affine value, int distance) {
  return {from_earlier_lane<kDirection>(value.decay, distance), from_earlier_lane<kDirection>(value.input, distance)};
}

// How many lanes, and warps, come earlier.
template <Direction kDirection>
__device__ int earlier_lanes() {
  return kDirection == Direction::kForward ? lane_index() : kWarpSize - 1 - lane_index();
}
template <Direction kDirection>
__device__ int earlier_warps() {
  return kDirection == Direction::kForward ? warp_index() : warps_in_block() - 1 - warp_index();
}

// Each lane gets the composition of all earlier lanes and its own.
template <Direction kDirection = Direction::kForward>
__device__ Affine warp_scan(Affine value) {
#pragma unroll
  for (int distance = 1; distance < kWarpSize; distance *= 2) {
    const Affine earlier = from_earlier_lane<kDirection>(value, distance);
    if (earlier_lanes<kDirection>() >= distance) value = then(earlier, value);
  }
  return value;
}

// Each thread gets the composition of `prefix` and all earlier threads, without its own. `prefix`, the same in all
// threads, becomes that of the whole block. All threads of the block must call it.
template <Direction kDirection = Direction::kForward>
__device__ Affine block_scan_exclusive(Affine value, Affine& prefix) {
  auto& warp_totals = block_shared<Affine[kMaxWarps], struct BlockScanWarpTotals>();
  const Affine inclusive = warp_scan<kDirection>(value);
  const int my_warp = earlier_warps<kDirection>();
  if (earlier_lanes<kDirection>() == kWarpSize - 1) warp_totals[my_warp] = inclusive;
  __syncthreads();

  Affine before = prefix;
  for (int warp = 0; warp < warps_in_block(); ++warp) {
    if (warp == my_warp) before = prefix;
    prefix = then(prefix, warp_totals[warp]);
  }
  __syncthreads();  // the next call may write `warp_totals`

  const Affine earlier = from_earlier_lane<kDirection>(inclusive, 1);
  return earlier_lanes<kDirection>() == 0 ? before : then(before, earlier);
}

}  // namespace statespace::cuda
