// One step of the selective scan with complex states, written once for the kernels that must agree bit for bit. Numbers
// 2i and 2i + 1 of a thread are re and im of its i-th state.
#pragma once

#include "cuda/device/complex.cuh"
#include "cuda/device/numeric.cuh"

namespace statespace::cuda::selective_scan {

constexpr float kTurnsToLog2E = 4.53236014f;  // pi log2(e): from half turns to the unit of the exponent

// Poles (re, im) become Re A log2(e) and Im A in half turns, with the digits that a float of these lacks in
// `turns_low`.
template <int kNumbers>
__device__ void scale_poles(float (&A)[kNumbers], float (&turns_low)[kNumbers / 2]) {
  constexpr float kHigh = 0.318309873f, kLow = 1.28412765e-8f;  // 1 / pi
#pragma unroll
  for (int i = 0; i < kNumbers / 2; ++i) {
    const float im = A[2 * i + 1], turns = mul_rn(im, kHigh);
    A[2 * i] = mul_rn(A[2 * i], kLog2E);
    A[2 * i + 1] = turns;
    turns_low[i] = fma_rn(im, kLow, fma_rn(im, kHigh, -turns));
  }
}

// exp(delta A). The whole half turns are taken off the product itself, not off its rounding to a float: an angle of
// 10000 would be off by 5e-4. Where an angle has no part of a turn left it counts as whole turns; NaN stays NaN.
__device__ inline Complex<float> decay_of(float delta, float scaled_re, float turns, float turns_low) {
  constexpr float kMagic = 12582912.0f;  // 1.5 2^23: the last bit is worth 1
  const float k = fma_rn(delta, turns, kMagic), whole = add_rn(k, -kMagic);
  const float rest = fma_rn(delta, turns_low, fma_rn(delta, turns, -whole));
  const Complex<float> unit = cis_within_half_turn(fabsf(rest) <= 0.75f ? rest : add_rn(rest, -rest));
  const float size = ex2(mul_rn(delta, scaled_re));
  const float signed_size = __uint_as_float(__float_as_uint(size) ^ (__float_as_uint(k) << 31));
  return {mul_rn(signed_size, unit.re), mul_rn(signed_size, unit.im)};
}

// decay h + delta u B.
__device__ inline Complex<float> advance_pair(Complex<float> h, Complex<float> decay, float delta_u, float B_re,
                                              float B_im) {
  return {fma_rn(decay.re, h.re, fma_rn(-decay.im, h.im, mul_rn(delta_u, B_re))),
          fma_rn(decay.re, h.im, fma_rn(decay.im, h.re, mul_rn(delta_u, B_im)))};
}

template <int kNumbers>
__device__ void advance_pairs(float (&h)[kNumbers], float delta, const float (&A)[kNumbers],
                              const float (&turns_low)[kNumbers / 2], float delta_u, const float (&B)[kNumbers]) {
#pragma unroll
  for (int i = 0; i < kNumbers; i += 2) {
    const Complex<float> decay = decay_of(delta, A[i], A[i + 1], turns_low[i / 2]);
    const Complex<float> next = advance_pair({h[i], h[i + 1]}, decay, delta_u, B[i], B[i + 1]);
    h[i] = next.re;
    h[i + 1] = next.im;
  }
}

// Re of the sum of C h over the states of one thread; lanes that share a channel go on in the same tree.
template <int kNumbers>
__device__ float output_of_pairs(const float (&h)[kNumbers], const float (&C)[kNumbers]) {
  constexpr int kStates = kNumbers / 2;
  static_assert((kStates & (kStates - 1)) == 0);
  float sum[kStates];
#pragma unroll
  for (int i = 0; i < kStates; ++i) sum[i] = fma_rn(-h[2 * i + 1], C[2 * i + 1], mul_rn(h[2 * i], C[2 * i]));
#pragma unroll
  for (int width = kStates / 2; width >= 1; width /= 2) {
#pragma unroll
    for (int i = 0; i < width; ++i) sum[i] = add_rn(sum[2 * i], sum[2 * i + 1]);
  }
  return sum[0];
}

}  // namespace statespace::cuda::selective_scan
