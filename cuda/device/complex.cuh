// Complex numbers in float and in double, and points of the unit circle.
#pragma once

#include "cuda/device/numeric.cuh"

namespace statespace::cuda {

template <typename T>
struct Complex {
  T re, im;
};

template <typename T>
__device__ Complex<T> operator+(Complex<T> a, Complex<T> b) {
  return {a.re + b.re, a.im + b.im};
}
template <typename T>
__device__ Complex<T> operator-(Complex<T> a, Complex<T> b) {
  return {a.re - b.re, a.im - b.im};
}
template <typename T>
__device__ Complex<T> operator*(Complex<T> a, Complex<T> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
template <typename T>
__device__ Complex<T> scaled(T k, Complex<T> a) {
  return {k * a.re, k * a.im};
}
template <typename T>
__device__ Complex<T> conj(Complex<T> a) {
  return {a.re, -a.im};
}
template <typename T>
__device__ Complex<T> reciprocal(Complex<T> a) {
  const T scale = T{1} / (a.re * a.re + a.im * a.im);
  return {a.re * scale, -a.im * scale};
}

// Pair i of (re, im) floats.
__device__ inline Complex<double> load_complex(const float* from, int64_t i) {
  return {static_cast<double>(from[2 * i]), static_cast<double>(from[2 * i + 1])};
}
__device__ inline void store_complex(float* to, int64_t i, Complex<double> z) {
  to[2 * i] = static_cast<float>(z.re);
  to[2 * i + 1] = static_cast<float>(z.im);
}

// a^k by squaring, k >= 0.
template <typename T>
__device__ Complex<T> power(Complex<T> a, int k) {
  Complex<T> result = {1, 0};
  for (; k > 0; k >>= 1) {
    if (k & 1) result = result * a;
    a = a * a;
  }
  return result;
}

// x, unknown to the compiler: what follows from it inside a loop is computed there, and not kept in registers across
// it.
__device__ inline int recomputed(int x) {
#if defined(__CUDACC__)
  asm volatile("" : "+r"(x));
#endif
  return x;
}

// exp(i pi x); unlike sin and cos of radians it needs no memory for the reduction of large x.
__device__ inline Complex<float> cispi(float x) {
  Complex<float> z;
#if defined(__CUDACC__)
  sincospif(x, &z.im, &z.re);
#else
  const double angle = 3.14159265358979323846 * std::remainder(static_cast<double>(x), 2.0);
  z = {static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))};
#endif
  return z;
}
__device__ inline Complex<double> cispi(double x) {
  Complex<double> z;
#if defined(__CUDACC__)
  sincospi(x, &z.im, &z.re);
#else
  const double angle = 3.14159265358979323846 * std::remainder(x, 2.0);
  z = {std::cos(angle), std::sin(angle)};
#endif
  return z;
}

// exp(i pi x) for |x| <= 0.75 without any reduction: at most 1.4e-7 off up to 0.5. The same bits on every device.
__device__ inline Complex<float> cis_within_half_turn(float x) {
  const float z = mul_rn(x, x);
  float cos = -0.0239636544f;
  cos = fma_rn(cos, z, 0.234683722f);
  cos = fma_rn(cos, z, -1.33516157f);
  cos = fma_rn(cos, z, 4.05870533f);
  cos = fma_rn(cos, z, -4.93480206f);
  float sin = 0.0764328912f;
  sin = fma_rn(sin, z, -0.597625196f);
  sin = fma_rn(sin, z, 2.54995775f);
  sin = fma_rn(sin, z, -5.1677022f);
  sin = fma_rn(sin, z, 3.1415925f);
  return {fma_rn(cos, z, 1.0f), mul_rn(x, sin)};
}

}  // namespace statespace::cuda
