// Conversions, fast functions and activations. Kernels compute in float and store in T.
#pragma once

#include <cfloat>

#include "cuda/device/platform.cuh"

namespace statespace::cuda {

constexpr float kLog2E = 1.44269504088896341f;
constexpr float kLn2 = 0.693147180559945309f;

template <typename T>
__host__ __device__ constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }
__device__ inline float to_float(f16 x) { return __half2float(x); }

// To nearest, ties to even.
template <typename T>
__device__ T from_float(float x);
template <>
__device__ inline float from_float<float>(float x) {
  return x;
}
template <>
__device__ inline bf16 from_float<bf16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
__device__ inline f16 from_float<f16>(float x) {
  return __float2half_rn(x);
}

// Rounded to nearest, and never contracted: kernels that must agree bit for bit are written with these.
__device__ inline float fma_rn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline float mul_rn(float a, float b) { return __fmul_rn(a, b); }
__device__ inline float add_rn(float a, float b) { return __fadd_rn(a, b); }

#if !defined(__CUDACC__)
inline float flush_subnormal(float x) { return std::fabs(x) < FLT_MIN ? std::copysign(0.0f, x) : x; }
#endif

// 2^x in one instruction, relative error 2^-22; subnormal results are zero.
__device__ inline float ex2(float x) {
#if defined(__CUDACC__)
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return flush_subnormal(std::exp2(x));
#endif
}

// log2(x); absolute error 2^-22 near 1, relative elsewhere.
__device__ inline float lg2(float x) {
#if defined(__CUDACC__)
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return std::log2(flush_subnormal(x));
#endif
}

// 1 / x, relative error 2^-23; zero for |x| above 2^126.
__device__ inline float rcp(float x) {
#if defined(__CUDACC__)
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#else
  return flush_subnormal(1.0f / flush_subnormal(x));
#endif
}

// log(1 + w) for w in [0, 1], relative error below 1.8e-7 in float; exact for tiny w, as the constant term is 1.
// Minimax (Remez, relative) with the constant fixed.
__device__ inline float log1p_unit(float w) {
  float p = 0.00536482641f;
  p = fma_rn(p, w, -0.030065801f);
  p = fma_rn(p, w, 0.0792045519f);
  p = fma_rn(p, w, -0.137538031f);
  p = fma_rn(p, w, 0.191536561f);
  p = fma_rn(p, w, -0.248571634f);
  p = fma_rn(p, w, 0.33321324f);
  p = fma_rn(p, w, -0.499996483f);
  p = fma_rn(p, w, 1.0f);
  return mul_rn(w, p);
}

// log(1 + exp(x)), without the branch and without the cancellation of log(1 + w). Relative error 2e-7 + 9e-8 |x|, plus
// that of ex2; the part with x is the rounding of x * log2(e), and is there for negative x only.
__device__ inline float softplus(float x) {
  const float w = ex2(mul_rn(-fabsf(x), kLog2E));
  return add_rn(fmaxf(x, 0.0f), log1p_unit(w));
}

// 1 / (1 + exp(-x)), accurate relative to itself on both sides.
__device__ inline float sigmoid(float x) { return rcp(add_rn(1.0f, ex2(mul_rn(-kLog2E, x)))); }

struct ValueAndSlope {
  float value;
  float slope;
};

// softplus and its derivative from one exponential. 1 - exp(-softplus) would lose the digits of a small slope.
__device__ inline ValueAndSlope softplus_with_slope(float x) {
  const float w = ex2(mul_rn(-fabsf(x), kLog2E));
  const float r = rcp(add_rn(1.0f, w));
  return {add_rn(fmaxf(x, 0.0f), log1p_unit(w)), x >= 0.0f ? r : mul_rn(w, r)};
}

__device__ inline float silu(float x) { return mul_rn(x, sigmoid(x)); }

__device__ inline ValueAndSlope silu_with_slope(float x) {
  const float s = sigmoid(x);
  const float value = mul_rn(x, s);
  return {value, fma_rn(value, add_rn(1.0f, -s), s)};
}
__device__ inline float dsilu(float x) { return silu_with_slope(x).slope; }

}  // namespace statespace::cuda
