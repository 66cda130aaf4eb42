// Complex numbers in double, for what is computed once per parameter.
#pragma once
#include <cstdint>

#include "cpp/core/tensor.h"
#include "cpp/cpu/simd_vector.h"

namespace statespace::cpu::STATESPACE_ISA {

struct Complex {
  double re, im;
};

STATESPACE_INLINE Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
STATESPACE_INLINE Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
STATESPACE_INLINE Complex operator*(double k, Complex a) { return {k * a.re, k * a.im}; }
STATESPACE_INLINE Complex operator*(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
STATESPACE_INLINE Complex conj(Complex a) { return {a.re, -a.im}; }
STATESPACE_INLINE Complex reciprocal(Complex a) {
  const double scale = 1 / (a.re * a.re + a.im * a.im);
  return {a.re * scale, -a.im * scale};
}
STATESPACE_INLINE Complex exp(Complex a) {
  const double size = __builtin_exp(a.re);
  return {size * __builtin_cos(a.im), size * __builtin_sin(a.im)};
}

// a^k by squaring, k >= 0; relative error about k units in the last place.
STATESPACE_INLINE Complex power(Complex a, int64_t k) {
  Complex result = {1, 0};
  for (; k > 0; k >>= 1) {
    if (k & 1) result = result * a;
    a = a * a;
  }
  return result;
}

// Pair i of a dense float32 tensor (..., 2).
STATESPACE_INLINE Complex load_pair(const Tensor& t, int64_t i) {
  const float* p = static_cast<const float*>(t.data) + 2 * i;
  return {p[0], p[1]};
}
STATESPACE_INLINE void store_pair(const Tensor& t, int64_t i, Complex a) {
  float* p = static_cast<float*>(t.data) + 2 * i;
  p[0] = static_cast<float>(a.re);
  p[1] = static_cast<float>(a.im);
}

}  // namespace statespace::cpu::STATESPACE_ISA
