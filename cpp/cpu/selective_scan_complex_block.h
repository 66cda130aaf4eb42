// Complex states for the passes of the selective scan: a state is two vectors, re and im, in the place of two states.
#pragma once
#include <type_traits>

#include "cpp/cpu/selective_scan_block.h"

namespace statespace::cpu::STATESPACE_ISA {

struct ComplexVec {
  Vec re, im;
};
STATESPACE_INLINE ComplexVec load_complex(const float* p) { return {load(p), load(p + kWidth)}; }
STATESPACE_INLINE void store_complex(float* p, ComplexVec v) {
  store(p, v.re);
  store(p + kWidth, v.im);
}

// The vectors of A of a state: Re A log2(e); Im A / pi as two floats; Im A log2(e).
enum ComplexDecay { kSize, kTurnHigh, kTurnLow, kScaledIm, kDecayVectors };

// Angles of a regular step, in half turns: beyond, floats have no digits left for the part of a turn.
constexpr float kRegularTurns = 1048576.0f;

#if defined(__AVX2__)
constexpr uint32_t kTurnHighBits = 0xffffffffu;
#else
constexpr uint32_t kTurnHighBits = 0xfffff000u;  // products with half of a float's digits are exact
#endif

// The angle of exp(delta A) in half turns, rounded to a float.
STATESPACE_INLINE Vec angle_of(Vec delta, const float* decay) {
  const Vec high = load(decay + kTurnHigh * kWidth);
#if defined(__AVX2__)
  return delta * high;
#else
  return delta * (high + load(decay + kTurnLow * kWidth));
#endif
}

// What is left of that angle beyond `whole` half turns. It keeps the digits that the angle rounded to a float would
// lose: an angle of 10000 would be off by 5e-4.
STATESPACE_INLINE Vec angle_beyond(Vec delta, const float* decay, Vec whole) {
  const Vec high = load(decay + kTurnHigh * kWidth), low = load(decay + kTurnLow * kWidth);
#if defined(__AVX2__)
  return fma(delta, low, fma(delta, high, -whole));
#else
  const Vec first = (Vec)((UVec)delta & kTurnHighBits);
  return ((first * high - whole) + (delta - first) * high) + delta * low;
#endif
}

// exp(delta A), regular.
struct ComplexExponential {
  Exponential size;

  STATESPACE_INLINE ComplexVec operator()(Vec delta, const float* decay) const {
    const Vec magic = broadcast(12582912.0f);  // 1.5 2^23: the last bit is worth 1
    const Vec k = angle_of(delta, decay) + magic;
    const CosSin unit = cos_sin_half_turns(angle_beyond(delta, decay, k - magic));
    const Vec signed_size = (Vec)((UVec)size(delta, load(decay + kSize * kWidth)) ^ ((UVec)k << 31));
    return {signed_size * unit.cos, signed_size * unit.sin};
  }
};

// Any exp(delta A). Where the angle has no part of a turn, it counts as whole turns; NaN stays NaN.
inline ComplexVec any_exponential(Vec delta, const float* decay) {
  const Vec k = round(angle_of(delta, decay)), half = k * 0.5f;
  Vec r = angle_beyond(delta, decay, k);
  r = select(less_equal(abs(r), broadcast(0.75f)), r, r - r);
  const CosSin unit = cos_sin_half_turns(r);
  const Vec size = exp2(delta * load(decay + kSize * kWidth));
  const Vec signed_size = select(equal(half, floor(half)), size, -size);
  return {signed_size * unit.cos, signed_size * unit.sin};
}

// Calls step(decay) with a function that gives exp(delta A) of the n-th state of the block.
template <int kStates, typename Step>
STATESPACE_INLINE void with_decays(const ComplexExponential& exponential, const Steps& s, Vec delta, Step step) {
  const Mask regular = regular_lanes(delta, s.largest);
  if (__builtin_expect(all(regular), 1)) {
    step([&](int n) __attribute__((always_inline)) { return exponential(delta, s.A + n * kDecayVectors * kWidth); });
  } else {
    alignas(64) float decays[2 * kStates * kWidth];
#pragma GCC unroll 1
    for (int n = 0; n < kStates; ++n) {
      const float* decay = s.A + n * kDecayVectors * kWidth;
      const ComplexVec usual = exponential(delta, decay), any = any_exponential(delta, decay);
      store_complex(decays + 2 * n * kWidth, {select(regular, usual.re, any.re), select(regular, usual.im, any.im)});
    }
    step([&](int n) __attribute__((always_inline)) { return load_complex(decays + 2 * n * kWidth); });
  }
}

// a h + Delta u B of the n-th state of a block.
template <bool kFixedB>
STATESPACE_INLINE ComplexVec advance_state(ComplexVec a, ComplexVec h, Vec input, const float* B, int n) {
  return {fma(a.re, h.re, fma(-a.im, h.im, input * coefficient<kFixedB>(B, 2 * n))),
          fma(a.re, h.im, fma(a.im, h.re, input * coefficient<kFixedB>(B, 2 * n + 1)))};
}

// As RealDecays.
struct ComplexDecays {
  static constexpr int kNumbers = 2, kDecays = kDecayVectors / kNumbers, kWork = 5;

  static void load_decays(float* target, const float* A, int64_t lanes, int64_t states) {
    constexpr double kPi = 3.14159265358979323846;
    load_states(target, A, lanes, kNumbers * states);
    for (int64_t n = states - 1; n >= 0; --n) {  // from the last: a state grows from two vectors to four
      const auto [re, im] = load_complex(target + n * kNumbers * kWidth);
      Vec high, low;
      for (int i = 0; i < kWidth; ++i) {
        const double turns = static_cast<double>(im[i]) / kPi;
        const float rounded = static_cast<float>(turns);
        uint32_t bits;
        std::memcpy(&bits, &rounded, sizeof(bits));
        bits &= kTurnHighBits;
        float kept;
        std::memcpy(&kept, &bits, sizeof(kept));
        high[i] = kept;
        low[i] = static_cast<float>(turns - static_cast<double>(kept));
      }
      float* decay = target + n * kDecayVectors * kWidth;
      store(decay + kSize * kWidth, re * kLog2E);
      store(decay + kTurnHigh * kWidth, high);
      store(decay + kTurnLow * kWidth, low);
      store(decay + kScaledIm * kWidth, im * kLog2E);
    }
  }

  // In the unit of the exponent: so large that an angle is regular where this times |delta| is.
  static Vec largest_decay(const float* decays, int64_t states) {
    Vec largest{};
    for (int64_t n = 0; n < states; ++n) {
      const float* decay = decays + n * kDecayVectors * kWidth;
      const Vec size = abs(load(decay + kSize * kWidth));
      const Vec turns = abs(load(decay + kTurnHigh * kWidth)) * (kRegularExponent / kRegularTurns);
      largest = larger(largest, larger(size, turns));
    }
    return largest;
  }
};

}  // namespace statespace::cpu::STATESPACE_ISA
