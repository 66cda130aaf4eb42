// One step of the selective scan, written once for the kernels that must agree bit for bit: prefill, prefill in chunks
// and decoding. Each product and sum is rounded as written here, in the order written here.
#pragma once

#include "cuda/device/numeric.cuh"
#include "cuda/device/reduce.cuh"

namespace statespace::cuda::selective_scan {

// Longer state vectors are summed in parts of this many states, the parts one after the other.
constexpr int kStatesPerPart = 64;

__device__ inline float step_size(float x, bool apply_softplus) {
  const float positive = softplus(x);
  return apply_softplus ? positive : x;
}

// exp(delta A) h + delta u B, with A in units of log2(e) so that the exponential is one instruction.
__device__ inline float advance(float h, float delta, float scaled_A, float delta_u, float B) {
  return fma_rn(ex2(mul_rn(delta, scaled_A)), h, mul_rn(delta_u, B));
}

// Sum of C h over the states of one thread: pairs, then neighbours of neighbours. Lanes that share a channel go on in
// the same tree, with masks 1, 2, 4: every way to lay states over lanes gives the same bits.
template <int kStates>
__device__ float output_of(const float (&h)[kStates], const float (&C)[kStates]) {
  static_assert(kStates >= 2 && (kStates & (kStates - 1)) == 0);
  float sum[kStates / 2];
#pragma unroll
  for (int i = 0; i < kStates / 2; ++i) sum[i] = fma_rn(h[2 * i + 1], C[2 * i + 1], mul_rn(h[2 * i], C[2 * i]));
#pragma unroll
  for (int width = kStates / 4; width >= 1; width /= 2) {
#pragma unroll
    for (int i = 0; i < width; ++i) sum[i] = add_rn(sum[2 * i], sum[2 * i + 1]);
  }
  return sum[0];
}

// All ones in the lanes whose number has the bit, else zero. The shuffle hides from the compiler that there are only
// two values: it would turn selections into branches, with a shuffle on either side.
__device__ inline unsigned lane_mask(int bit) {
  const unsigned mask = (lane_index() & bit) != 0 ? ~0u : 0u;
  return __shfl_sync(kFullWarp, mask, lane_index());
}

// `a` where `mask` is all ones, `b` where it is zero.
__device__ inline float choose(unsigned mask, float a, float b) {
  return __uint_as_float((mask & __float_as_uint(a)) | (~mask & __float_as_uint(b)));
}

}  // namespace statespace::cuda::selective_scan
