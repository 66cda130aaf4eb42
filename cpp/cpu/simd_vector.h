// The vector of floats that the CPU kernels are written with: 16, 8 or 4 lanes, whatever this object is compiled for.
// Everything lives in the namespace of the instruction set, so that no copy can stand in for another one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpp/core/dtype.h"

#if defined(__x86_64__)
// GCC 12 warns of its own _mm512_undefined_ps.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#ifndef STATESPACE_ISA
#error "compile with -DSTATESPACE_ISA=portable, avx2 or avx512"
#endif
#define STATESPACE_INLINE inline __attribute__((always_inline))

namespace statespace::cpu::STATESPACE_ISA {

#if defined(__AVX512F__)
constexpr int kWidth = 16;
#elif defined(__AVX2__)
constexpr int kWidth = 8;
#else
constexpr int kWidth = 4;
#endif

// + - * / with vectors and scalars, [] and comparison come from the compiler; a cast between these keeps the bits.
typedef float Vec __attribute__((vector_size(4 * kWidth)));
typedef int32_t IVec __attribute__((vector_size(4 * kWidth)));
typedef uint32_t UVec __attribute__((vector_size(4 * kWidth)));
typedef uint16_t HalfVec __attribute__((vector_size(2 * kWidth)));

STATESPACE_INLINE Vec broadcast(float x) { return x - Vec{}; }
STATESPACE_INLINE IVec broadcast(int32_t x) { return x - IVec{}; }
STATESPACE_INLINE Vec lane_numbers() {
  Vec v{};
  for (int i = 0; i < kWidth; ++i) v[i] = static_cast<float>(i);
  return v;
}
STATESPACE_INLINE Vec to_vec(IVec v) { return __builtin_convertvector(v, Vec); }
// Toward zero; undefined outside the range of int32.
STATESPACE_INLINE IVec to_ivec(Vec v) { return __builtin_convertvector(v, IVec); }

// ~ & | combine masks. min and max return b where a or b is NaN.
#if defined(__AVX512F__)

using Mask = __mmask16;
STATESPACE_INLINE Mask less(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
STATESPACE_INLINE Mask less_equal(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
STATESPACE_INLINE Mask equal(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
STATESPACE_INLINE Mask is_nan(Vec a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
STATESPACE_INLINE Mask first_lanes(int64_t n) { return static_cast<Mask>((1u << n) - 1); }
STATESPACE_INLINE bool any(Mask m) { return m != 0; }
STATESPACE_INLINE Vec select(Mask m, Vec a, Vec b) { return _mm512_mask_blend_ps(m, b, a); }
STATESPACE_INLINE IVec select(Mask m, IVec a, IVec b) {
  return (IVec)_mm512_mask_blend_epi32(m, (__m512i)b, (__m512i)a);
}
STATESPACE_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
STATESPACE_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
STATESPACE_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
STATESPACE_INLINE Vec sqrt(Vec a) { return _mm512_sqrt_ps(a); }
STATESPACE_INLINE Vec round(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
STATESPACE_INLINE Vec floor(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
STATESPACE_INLINE Vec load_partial(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
STATESPACE_INLINE void store_partial(float* p, Vec v, int64_t n) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
STATESPACE_INLINE HalfVec load_bits_partial(const void* p, int64_t n) {
  return (HalfVec)_mm256_maskz_loadu_epi16(first_lanes(n), p);
}
STATESPACE_INLINE void store_bits_partial(void* p, HalfVec v, int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes(n), (__m256i)v);
}

#else

using Mask = IVec;
STATESPACE_INLINE Mask less(Vec a, Vec b) { return (Mask)(a < b); }
STATESPACE_INLINE Mask less_equal(Vec a, Vec b) { return (Mask)(a <= b); }
STATESPACE_INLINE Mask equal(Vec a, Vec b) { return (Mask)(a == b); }
STATESPACE_INLINE Mask is_nan(Vec a) { return ~(Mask)(a == a); }
STATESPACE_INLINE Mask first_lanes(int64_t n) { return (Mask)(lane_numbers() < broadcast(static_cast<float>(n))); }

#if defined(__AVX2__)
STATESPACE_INLINE bool any(Mask m) { return _mm256_movemask_ps((__m256)m) != 0; }
STATESPACE_INLINE Vec select(Mask m, Vec a, Vec b) { return _mm256_blendv_ps(b, a, (__m256)m); }
STATESPACE_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
STATESPACE_INLINE Vec min(Vec a, Vec b) { return _mm256_min_ps(a, b); }
STATESPACE_INLINE Vec max(Vec a, Vec b) { return _mm256_max_ps(a, b); }
STATESPACE_INLINE Vec sqrt(Vec a) { return _mm256_sqrt_ps(a); }
STATESPACE_INLINE Vec round(Vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
STATESPACE_INLINE Vec floor(Vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
STATESPACE_INLINE Vec load_partial(const float* p, int64_t n) { return _mm256_maskload_ps(p, (__m256i)first_lanes(n)); }
STATESPACE_INLINE void store_partial(float* p, Vec v, int64_t n) { _mm256_maskstore_ps(p, (__m256i)first_lanes(n), v); }
#else
STATESPACE_INLINE bool any(Mask m) {
  int32_t bits = 0;
  for (int i = 0; i < kWidth; ++i) bits |= m[i];
  return bits != 0;
}
STATESPACE_INLINE Vec select(Mask m, Vec a, Vec b) { return (Vec)((m & (IVec)a) | (~m & (IVec)b)); }
STATESPACE_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
STATESPACE_INLINE Vec min(Vec a, Vec b) { return select(less(a, b), a, b); }
STATESPACE_INLINE Vec max(Vec a, Vec b) { return select(less(b, a), a, b); }
STATESPACE_INLINE Vec sqrt(Vec a) {
  for (int i = 0; i < kWidth; ++i) a[i] = __builtin_sqrtf(a[i]);
  return a;
}
// Beyond 2^22 the trick with the constant fails, and nothing is left to round beyond 2^23.
STATESPACE_INLINE Vec round(Vec a) {
  const Vec magic = broadcast(12582912.0f), rounded = (a + magic) - magic;
  return select(less((Vec)((IVec)a & 0x7fffffff), broadcast(4194304.0f)), rounded, a);
}
STATESPACE_INLINE Vec floor(Vec a) {
  const Vec rounded = round(a);
  return select(less(a, rounded), rounded - 1.0f, rounded);
}
STATESPACE_INLINE Vec load_partial(const float* p, int64_t n) {
  Vec v{};
  for (int i = 0; i < kWidth - 1; ++i) {
    if (i < n) v[i] = p[i];
  }
  if (n == kWidth) v[kWidth - 1] = p[kWidth - 1];
  return v;
}
STATESPACE_INLINE void store_partial(float* p, Vec v, int64_t n) {
  for (int i = 0; i < kWidth; ++i) {
    if (i < n) p[i] = v[i];
  }
}
#endif

STATESPACE_INLINE IVec select(Mask m, IVec a, IVec b) { return (m & a) | (~m & b); }
STATESPACE_INLINE HalfVec load_bits_partial(const void* p, int64_t n) {
  HalfVec v{};
  for (int i = 0; i < kWidth; ++i) {
    if (i < n) v[i] = static_cast<const uint16_t*>(p)[i];
  }
  return v;
}
STATESPACE_INLINE void store_bits_partial(void* p, HalfVec v, int64_t n) {
  for (int i = 0; i < kWidth; ++i) {
    if (i < n) static_cast<uint16_t*>(p)[i] = v[i];
  }
}

#endif

STATESPACE_INLINE Vec abs(Vec a) { return (Vec)((IVec)a & 0x7fffffff); }
STATESPACE_INLINE Vec copysign(Vec magnitude, Vec sign) {
  return (Vec)(((IVec)magnitude & 0x7fffffff) | ((UVec)sign & 0x80000000u));
}

STATESPACE_INLINE HalfVec load_bits(const void* p) {
  HalfVec v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
STATESPACE_INLINE void store_bits(void* p, HalfVec v) { __builtin_memcpy(p, &v, sizeof(v)); }

STATESPACE_INLINE Vec widen(HalfVec v, bf16) { return (Vec)(__builtin_convertvector(v, UVec) << 16); }
// To nearest, ties to even, the bits of from_float.
STATESPACE_INLINE HalfVec narrow(Vec v, bf16) {
  const UVec bits = (UVec)v, rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const IVec nan = broadcast(int32_t{0x7fff});
  return __builtin_convertvector((UVec)select(is_nan(v), nan, (IVec)rounded), HalfVec);
}

#if defined(__AVX512F__)
STATESPACE_INLINE Vec widen(HalfVec v, f16) { return _mm512_cvtph_ps((__m256i)v); }
STATESPACE_INLINE HalfVec narrow(Vec v, f16) { return (HalfVec)_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
#elif defined(__F16C__)
STATESPACE_INLINE Vec widen(HalfVec v, f16) { return _mm256_cvtph_ps((__m128i)v); }
STATESPACE_INLINE HalfVec narrow(Vec v, f16) { return (HalfVec)_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }
#else
STATESPACE_INLINE Vec widen(HalfVec v, f16) {
  const UVec bits = __builtin_convertvector(v, UVec), magnitude = (bits & 0x7fffu) << 13;
  // Scaling by 2^112 moves the exponent and makes subnormals normal at once.
  const Vec finite = (Vec)magnitude * 5192296858534827628530496329220096.0f;
  const IVec special = (IVec)(magnitude | 0x7f800000u);
  return (Vec)(select((Mask)(magnitude >= 0x0f800000u), special, (IVec)finite) | (IVec)((bits & 0x8000u) << 16));
}
STATESPACE_INLINE HalfVec narrow(Vec v, f16) {
  const UVec bits = (UVec)v, sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  const UVec normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  // Adding 0.5 rounds a subnormal to the spacing 2^-24.
  const UVec small = (UVec)((Vec)magnitude + 0.5f) - 0x3f000000u;
  IVec result = select((Mask)(magnitude < 0x38800000u), (IVec)small, (IVec)normal);
  result = select((Mask)(magnitude >= 0x47800000u), broadcast(int32_t{0x7c00}), result);
  result = select(is_nan(v), broadcast(int32_t{0x7e00}), result);
  return __builtin_convertvector((UVec)result | sign, HalfVec);
}
#endif

// Addresses need no alignment. The partial forms touch n lanes, 0 <= n <= kWidth; the other lanes load as zero.
STATESPACE_INLINE Vec load(const float* p) {
  Vec v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
STATESPACE_INLINE void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof(v)); }
STATESPACE_INLINE Vec load(const bf16* p) { return widen(load_bits(p), bf16{}); }
STATESPACE_INLINE Vec load(const f16* p) { return widen(load_bits(p), f16{}); }
STATESPACE_INLINE void store(bf16* p, Vec v) { store_bits(p, narrow(v, bf16{})); }
STATESPACE_INLINE void store(f16* p, Vec v) { store_bits(p, narrow(v, f16{})); }
STATESPACE_INLINE Vec load_partial(const bf16* p, int64_t n) { return widen(load_bits_partial(p, n), bf16{}); }
STATESPACE_INLINE Vec load_partial(const f16* p, int64_t n) { return widen(load_bits_partial(p, n), f16{}); }
STATESPACE_INLINE void store_partial(bf16* p, Vec v, int64_t n) { store_bits_partial(p, narrow(v, bf16{}), n); }
STATESPACE_INLINE void store_partial(f16* p, Vec v, int64_t n) { store_bits_partial(p, narrow(v, f16{}), n); }

// n lanes, which are nearly always all of them.
template <typename T>
STATESPACE_INLINE Vec load_lanes(const T* p, int64_t n) {
  return __builtin_expect(n == kWidth, 1) ? load(p) : load_partial(p, n);
}
template <typename T>
STATESPACE_INLINE void store_lanes(T* p, Vec v, int64_t n) {
  if (__builtin_expect(n == kWidth, 1)) {
    store(p, v);
  } else {
    store_partial(p, v, n);
  }
}

// Up to whole vectors.
constexpr int64_t padded(int64_t n) { return (n + kWidth - 1) / kWidth * kWidth; }

// One element of any type; inlined here, since an out-of-line copy of the one in dtype.h would be shared by all
// objects.
template <typename T>
STATESPACE_INLINE float load_one(const T* p) {
  if constexpr (sizeof(T) == 4) {
    return static_cast<float>(*p);
  } else {
    HalfVec v{};
    v[0] = p->bits;
    return widen(v, T{})[0];
  }
}
template <typename T>
STATESPACE_INLINE void store_one(T* p, float x) {
  if constexpr (sizeof(T) == 4) {
    *p = static_cast<T>(x);
  } else {
    p->bits = narrow(broadcast(x), T{})[0];
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
