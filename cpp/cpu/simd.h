// Functions of vectors of floats: sums over lanes, transposes, and the elementary functions.
// Errors are the largest seen against double over the stated range, on all three instruction sets.
#pragma once
#include "cpp/cpu/simd_vector.h"

namespace statespace::cpu::STATESPACE_ISA {

#if defined(__AVX512F__)

STATESPACE_INLINE Vec low_pairs(Vec a, Vec b) { return _mm512_unpacklo_ps(a, b); }
STATESPACE_INLINE Vec high_pairs(Vec a, Vec b) { return _mm512_unpackhi_ps(a, b); }
STATESPACE_INLINE Vec low_quads(Vec a, Vec b) { return (Vec)_mm512_unpacklo_pd((__m512d)a, (__m512d)b); }
STATESPACE_INLINE Vec high_quads(Vec a, Vec b) { return (Vec)_mm512_unpackhi_pd((__m512d)a, (__m512d)b); }
// Blocks of four lanes: those at even, or odd, places of a and then of b.
STATESPACE_INLINE Vec even_blocks(Vec a, Vec b) { return _mm512_shuffle_f32x4(a, b, 0x88); }
STATESPACE_INLINE Vec odd_blocks(Vec a, Vec b) { return _mm512_shuffle_f32x4(a, b, 0xdd); }

#elif defined(__AVX2__)

STATESPACE_INLINE Vec low_pairs(Vec a, Vec b) { return _mm256_unpacklo_ps(a, b); }
STATESPACE_INLINE Vec high_pairs(Vec a, Vec b) { return _mm256_unpackhi_ps(a, b); }
STATESPACE_INLINE Vec low_quads(Vec a, Vec b) { return (Vec)_mm256_unpacklo_pd((__m256d)a, (__m256d)b); }
STATESPACE_INLINE Vec high_quads(Vec a, Vec b) { return (Vec)_mm256_unpackhi_pd((__m256d)a, (__m256d)b); }
STATESPACE_INLINE Vec even_blocks(Vec a, Vec b) { return _mm256_permute2f128_ps(a, b, 0x20); }
STATESPACE_INLINE Vec odd_blocks(Vec a, Vec b) { return _mm256_permute2f128_ps(a, b, 0x31); }

#else

STATESPACE_INLINE Vec low_pairs(Vec a, Vec b) { return __builtin_shufflevector(a, b, 0, 4, 1, 5); }
STATESPACE_INLINE Vec high_pairs(Vec a, Vec b) { return __builtin_shufflevector(a, b, 2, 6, 3, 7); }
STATESPACE_INLINE Vec low_quads(Vec a, Vec b) { return __builtin_shufflevector(a, b, 0, 1, 4, 5); }
STATESPACE_INLINE Vec high_quads(Vec a, Vec b) { return __builtin_shufflevector(a, b, 2, 3, 6, 7); }

#endif

// Lane i of the result is the sum of the lanes of rows[i].
STATESPACE_INLINE Vec reduce_rows(const Vec (&rows)[kWidth]) {
  Vec v[kWidth / 2];
  for (int i = 0; i < kWidth / 2; ++i) {
    v[i] = low_pairs(rows[2 * i], rows[2 * i + 1]) + high_pairs(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < kWidth / 4; ++i) v[i] = low_quads(v[2 * i], v[2 * i + 1]) + high_quads(v[2 * i], v[2 * i + 1]);
#if defined(__AVX2__)
  for (int n = kWidth / 8; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) v[i] = even_blocks(v[2 * i], v[2 * i + 1]) + odd_blocks(v[2 * i], v[2 * i + 1]);
  }
#endif
  return v[0];
}

// The sum of all lanes, halves upon halves.
STATESPACE_INLINE float reduce_add(Vec v) {
#if defined(__AVX2__)
#if defined(__AVX512F__)
  const __m256 w = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
#else
  const __m256 w = v;
#endif
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(w), _mm256_extractf128_ps(w, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
#else
  return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}
STATESPACE_INLINE float reduce_max(Vec v) {
  float result = v[0];
  for (int i = 1; i < kWidth; ++i) result = v[i] > result ? v[i] : result;
  return result;
}

// Lane j of row i goes to lane i of row j.
STATESPACE_INLINE void transpose(Vec (&rows)[kWidth]) {
  Vec v[kWidth];
  for (int i = 0; i < kWidth; i += 4) {
    const Vec a = low_pairs(rows[i], rows[i + 1]), b = low_pairs(rows[i + 2], rows[i + 3]);
    const Vec c = high_pairs(rows[i], rows[i + 1]), d = high_pairs(rows[i + 2], rows[i + 3]);
    v[i] = low_quads(a, b);
    v[i + 1] = high_quads(a, b);
    v[i + 2] = low_quads(c, d);
    v[i + 3] = high_quads(c, d);
  }
#if defined(__AVX512F__)
  for (int j = 0; j < 4; ++j) {
    const Vec a = even_blocks(v[j], v[4 + j]), b = even_blocks(v[8 + j], v[12 + j]);
    const Vec c = odd_blocks(v[j], v[4 + j]), d = odd_blocks(v[8 + j], v[12 + j]);
    rows[j] = even_blocks(a, b);
    rows[8 + j] = odd_blocks(a, b);
    rows[4 + j] = even_blocks(c, d);
    rows[12 + j] = odd_blocks(c, d);
  }
#elif defined(__AVX2__)
  for (int j = 0; j < 4; ++j) {
    rows[j] = even_blocks(v[j], v[4 + j]);
    rows[4 + j] = odd_blocks(v[j], v[4 + j]);
  }
#else
  for (int j = 0; j < 4; ++j) rows[j] = v[j];
#endif
}

// c[0] + x (c[1] + x (c[2] + ...))
template <int kTerms>
STATESPACE_INLINE Vec polynomial(Vec x, const float (&c)[kTerms]) {
  Vec p = broadcast(c[kTerms - 1]);
#pragma GCC unroll 16
  for (int i = kTerms - 2; i >= 0; --i) p = fma(p, x, broadcast(c[i]));
  return p;
}

// p 2^k for whole k; in two steps, since 2^k alone may leave the range of floats.
STATESPACE_INLINE Vec scale_by_power(Vec p, Vec k) {
#if defined(__AVX512F__)
  return _mm512_scalef_ps(p, k);
#else
  const IVec n = to_ivec(k), half = n >> 1;
  return p * (Vec)((half + 127) << 23) * (Vec)((n - half + 127) << 23);
#endif
}

// 1.2 units in the last place, [-149, 128)
STATESPACE_INLINE Vec exp2(Vec x) {
  x = min(broadcast(130.0f), max(broadcast(-151.0f), x));
  const Vec k = round(x);
  constexpr float kTerms[] = {1.0f,           0.693147182f,  0.240226477f,  0.0555033237f,
                              0.00961843692f, 0.0013398875f, 0.00015353362f};
  return scale_by_power(polynomial(x - k, kTerms), k);
}

// 1.2 units, [-103, 88.7]
STATESPACE_INLINE Vec exp(Vec x) {
  x = min(broadcast(90.0f), max(broadcast(-105.0f), x));
  const Vec k = round(x * 1.44269504f);
  // ln 2 in two parts; k times the first is exact.
  Vec r = fma(k, broadcast(-0.693359375f), x);
  r = fma(k, broadcast(2.12194440e-4f), r);
  constexpr float kTerms[] = {1.0f, 1.0f, 0.49999994f, 0.166665211f, 0.041668389f, 0.00836871006f, 0.00138146128f};
  return scale_by_power(polynomial(r, kTerms), k);
}

// 2^x for x <= 0, for loops that do little else; at most 1.9e-7 off and nearest close to 0, where slow decays live.
// Below -126 the result is 0 or 2^-126. A table in two registers was 2 % faster with AVX-512, and not worth them.
STATESPACE_INLINE Vec exp2_fast(Vec x) {
  constexpr float kTerms[] = {1.0f, 0.693147004f, 0.240222424f, 0.0555073358f, 0.00967151299f, 0.00132647273f};
#if defined(__AVX512F__)
  const Vec k = round(x);
  return _mm512_scalef_ps(polynomial(x - k, kTerms), k);
#else
  x = max(broadcast(-126.0f), x);
  // Adding 1.5 2^23 leaves the rounded value in the low bits.
  const Vec magic = broadcast(12582912.0f), k = x + magic;
  const Vec p = polynomial(x - (k - magic), kTerms);
  return (Vec)((IVec)p + ((IVec)k << 23));
#endif
}

struct CosSin {
  Vec cos, sin;
};

// cos and sin of pi r, |r| <= 0.5; at most 1.4e-7 off.
STATESPACE_INLINE CosSin cos_sin_half_turns(Vec r) {
  constexpr float kCos[] = {1.0f, -4.93480206f, 4.05870533f, -1.33516157f, 0.234683722f, -0.0239636544f};
  constexpr float kSin[] = {3.1415925f, -5.1677022f, 2.54995775f, -0.597625196f, 0.0764328912f};
  const Vec z = r * r;
  return {polynomial(z, kCos), r * polynomial(z, kSin)};
}

// log(1 + m) for m in [-0.3, 0.5]
STATESPACE_INLINE Vec log1p_reduced(Vec m) {
  constexpr float kTerms[] = {-0.5f,        0.333334535f,  -0.250000536f, 0.199906066f,  -0.166477665f,
                              0.144820616f, -0.131622329f, 0.104483329f,  -0.0449096188f};
  return fma(m * m, polynomial(m, kTerms), m);
}

// 0.9 units, all positive floats
STATESPACE_INLINE Vec log(Vec x) {
  const Vec infinity = broadcast(__builtin_inff());
  const Mask subnormal = less(x, broadcast(1.17549435e-38f));
  const Vec scaled = select(subnormal, x * 8388608.0f, x);
  // The exponent counts from 0.75, so that the mantissa lies in [0.75, 1.5).
  const IVec offset = (IVec)scaled - 0x3f400000;
  const Vec exponent = to_vec(offset >> 23) - select(subnormal, broadcast(23.0f), broadcast(0.0f));
  const Vec m = (Vec)((offset & 0x7fffff) + 0x3f400000) - 1.0f;
  Vec result = fma(exponent, broadcast(-2.12194440e-4f), log1p_reduced(m));
  result = fma(exponent, broadcast(0.693359375f), result);
  result = select(less(x, infinity), result, x);
  result = select(less(x, Vec{}), broadcast(__builtin_nanf("")), result);
  return select(equal(x, Vec{}), -infinity, result);
}

// 1 unit, all floats above -1
STATESPACE_INLINE Vec log1p(Vec x) {
  const Vec infinity = broadcast(__builtin_inff());
  // 1 + x = 2^k (1 + m), with m computed from x itself so that small x keep their bits.
  const IVec exponent = (IVec)(((UVec)(x + 1.0f) - 0x3f400000u) & 0xff800000u);
  const Vec s = (Vec)(0x40800000 - exponent);
  const Vec m = fma(x * s, broadcast(0.25f), fma(s, broadcast(0.25f), broadcast(-1.0f)));
  const Vec k = to_vec(exponent >> 23);
  Vec result = fma(k, broadcast(-2.12194440e-4f), log1p_reduced(m));
  result = fma(k, broadcast(0.693359375f), result);
  result = select(less(x, infinity), result, x);
  result = select(less(x, broadcast(-1.0f)), broadcast(__builtin_nanf("")), result);
  return select(equal(x, broadcast(-1.0f)), -infinity, result);
}

// Relative errors 1.5e-7 and 1.8e-7, x > -87; smaller results become 0
STATESPACE_INLINE Vec sigmoid(Vec x) { return 1.0f / (1.0f + exp(-x)); }

STATESPACE_INLINE Vec silu(Vec x) { return x / (1.0f + exp(-x)); }

// log(1 + exp(x)), and x itself beyond 20 as in PyTorch; relative error 1.4e-7, also of tiny results
STATESPACE_INLINE Vec softplus(Vec x) {
  const Vec e = exp(-abs(x));
  const Mask large = less_equal(broadcast(0.5f), e);
  const Vec m = select(large, fma(e, broadcast(0.5f), broadcast(-0.5f)), e);
  const Vec l = log1p_reduced(m) + select(large, broadcast(0.693147182f), Vec{});
  return select(less(broadcast(20.0f), x), x, max(x, Vec{}) + l);
}

// Relative error 1.5e-7
STATESPACE_INLINE Vec tanh(Vec x) {
  const Vec a = abs(x), z = x * x;
  constexpr float kTerms[] = {-0.333332807f, 0.133314416f, -0.0537397154f, 0.0206390861f, -0.0057049864f};
  const Vec small = fma(x * z, polynomial(z, kTerms), x);
  const Vec large = copysign(1.0f - 2.0f / (exp(a + a) + 1.0f), x);
  return select(less(a, broadcast(0.625f)), small, large);
}

// Relative error 1.8e-7
STATESPACE_INLINE Vec erf(Vec x) {
  const Vec a = abs(x), z = x * x;
  constexpr float kSmall[] = {1.12837911f,    -0.37612626f,     0.112835854f,   -0.0268538129f,
                              0.00518832775f, -0.000801019371f, 7.85386146e-05f};
  // log2(1 - erf(a)) for a in [0.92, 4]
  constexpr float kLarge[] = {0.000252014579f, -1.62954557f,    -0.913726449f,   -0.156215131f,
                              0.0362396576f,   -0.00601756573f, 0.000626795692f, -3.04336008e-05f};
  const Vec large = copysign(1.0f - exp2(polynomial(min(broadcast(4.0f), a), kLarge)), x);
  return select(less(a, broadcast(1.0f)), x * polynomial(z, kSmall), large);
}

}  // namespace statespace::cpu::STATESPACE_ISA
