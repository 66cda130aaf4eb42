// What the passes of the selective scan share: how the work is cut, and the recurrence of one vector of channels over a
// tile of steps. Channels lie across the lanes; a block of states stays in registers while time runs.
#pragma once
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/sequences.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

// Neighbouring channels of one group. Wide, so that what is read of a row is long; tiles of it lie in the second cache.
struct Slab {
  int64_t group, first, count;
  int vectors;
};
inline Slab slab_at(int64_t group, int64_t channels_per_group, int64_t offset, int64_t width) {
  const int64_t count = std::min(width, channels_per_group - offset);
  return {group, group * channels_per_group + offset, count, static_cast<int>((count + kWidth - 1) / kWidth)};
}
STATESPACE_INLINE int64_t lanes_of(const Slab& slab, int vector) {
  return std::min<int64_t>(kWidth, slab.count - vector * kWidth);
}

// [lanes, states] in memory to [states][kWidth], missing lanes zero, and back.
inline void load_states(float* target, const float* source, int64_t lanes, int64_t states, float scale = 1.0f) {
  for (int64_t n = 0; n < states; n += kWidth) {
    const int64_t count = std::min<int64_t>(kWidth, states - n);
    Vec rows[kWidth];
    for (int i = 0; i < kWidth; ++i) rows[i] = i < lanes ? load_lanes(source + i * states + n, count) : Vec{};
    transpose(rows);
    for (int i = 0; i < kWidth; ++i) {
      if (i < count) store(target + (n + i) * kWidth, rows[i] * scale);
    }
  }
}
inline void store_states(float* target, const float* source, int64_t lanes, int64_t states) {
  for (int64_t n = 0; n < states; n += kWidth) {
    const int64_t count = std::min<int64_t>(kWidth, states - n);
    Vec rows[kWidth];
    for (int i = 0; i < kWidth; ++i) rows[i] = i < count ? load(source + (n + i) * kWidth) : Vec{};
    transpose(rows);
    for (int i = 0; i < kWidth; ++i) {
      if (i < lanes) store_lanes(target + i * states + n, rows[i], count);
    }
  }
}

// Hands out pieces of one piece of scratch, each aligned to 64 bytes. The first pass, without memory, adds up the size.
class Pieces {
 public:
  explicit Pieces(float* memory) : memory_(memory) {}
  float* take(int64_t floats) {
    float* piece = memory_ ? memory_ + used_ : nullptr;
    used_ += (floats + 15) / 16 * 16;
    return piece;
  }
  size_t bytes() const { return static_cast<size_t>(used_) * sizeof(float); }

 private:
  float* memory_;
  int64_t used_ = 0;
};

// 2^(delta a) where |delta a| <= kRegularExponent.
constexpr float kRegularExponent = 125.0f;
#if defined(__AVX512F__)
// 2^(i/32) from a table in two registers; the bits of i itself are taken off, since adding k puts them on.
struct Exponential {
  Vec low, high;

  STATESPACE_INLINE Exponential() {
    alignas(64) static constexpr uint32_t kTable[32] = {
        0x3f800000, 0x3f7ecd87, 0x3f7daac3, 0x3f7c980f, 0x3f7b95c2, 0x3f7aa43a, 0x3f79c3d3, 0x3f78f4f0,
        0x3f7837f0, 0x3f778d3a, 0x3f76f532, 0x3f767043, 0x3f75fed7, 0x3f75a15b, 0x3f75583f, 0x3f7523f6,
        0x3f7504f3, 0x3f74fbaf, 0x3f7508a4, 0x3f752c4d, 0x3f75672a, 0x3f75b9be, 0x3f76248c, 0x3f76a81e,
        0x3f7744fd, 0x3f77fbb8, 0x3f78ccdf, 0x3f79b907, 0x3f7ac0c7, 0x3f7be4ba, 0x3f7d257d, 0x3f7e83b3};
    low = load(reinterpret_cast<const float*>(kTable));
    high = load(reinterpret_cast<const float*>(kTable + 16));
  }
  STATESPACE_INLINE Vec operator()(Vec delta, Vec a) const {
    const Vec magic = broadcast(393216.0f);  // 1.5 2^18: the last bit is worth 1/32
    const Vec k = fma(delta, a, magic), r = fma(delta, a, magic - k);
    const Vec v = (Vec)((UVec)_mm512_permutex2var_ps(low, (__m512i)k, high) + ((UVec)k << 18));
    return fma(v * r, fma(r, fma(r, broadcast(0.0555041087f), broadcast(0.240226507f)), broadcast(0.693147181f)), v);
  }
};
#else
struct Exponential {
  STATESPACE_INLINE Vec operator()(Vec delta, Vec a) const {
    const Vec magic = broadcast(12582912.0f);
#if defined(__AVX2__)
    const Vec k = fma(delta, a, magic), r = fma(delta, a, magic - k);
#else
    const Vec x = delta * a, k = x + magic, r = x + (magic - k);
#endif
    constexpr float kTerms[] = {1.0f, 0.693147004f, 0.240222424f, 0.0555073358f, 0.00967151299f, 0.00132647273f};
    return (Vec)((UVec)polynomial(r, kTerms) + ((UVec)k << 23));
  }
};
#endif

// Which lanes of a step Exponential is good for, given the largest |a| of each.
STATESPACE_INLINE Mask regular_lanes(Vec delta, Vec largest) {
  return less_equal(abs(delta) * largest, broadcast(kRegularExponent));
}
STATESPACE_INLINE bool all(Mask m) { return !any(static_cast<Mask>(~m)); }

// One vector of channels over `count` steps: Delta, Delta u and y are [step][kWidth]. A, B and C point at the block of
// states: A [states][kWidth], and B and C [step][states] or, where fixed, [states][kWidth].
struct Steps {
  int64_t count;
  const float *delta, *input;
  float* y;
  const float *A, *B, *C;
  int64_t stride_B, stride_C;
  Vec largest;  // of largest_decay
  // Rows of the next tile, fetched while this one is computed: a slab is too narrow for the processor to foresee.
  struct Ahead {
    const char* row;
    int64_t stride;  // bytes
  } ahead[4];
};

// The part of the rows from `step` on that belongs to a vector, `channel` elements into them.
STATESPACE_INLINE Steps::Ahead rows_ahead(const Tensor& t, int64_t batch, int64_t step, int64_t channel) {
  const int64_t size = t.dtype == DType::float32 ? 4 : 2;
  return {static_cast<const char*>(t.data) + (batch * t.strides[0] + step * t.strides[1] + channel) * size,
          t.strides[1] * size};
}
STATESPACE_INLINE void fetch_ahead(const Steps& s, int64_t t) {
#pragma GCC unroll 4
  for (const auto& rows : s.ahead) __builtin_prefetch(rows.row + t * rows.stride);
}

template <bool kFixed>
STATESPACE_INLINE Vec coefficient(const float* p, int n) {
  if constexpr (kFixed) {
    return load(p + n * kWidth);
  } else {
    return broadcast(p[n]);
  }
}

// The decays exp(delta A) of a step that has a lane beyond the range of Exponential. Rolled, as it is rare.
template <int kStates>
STATESPACE_INLINE void rare_decays(float* decays, Vec delta, const float* A, Mask regular) {
#pragma GCC unroll 1
  for (int n = 0; n < kStates; ++n) {
    const Vec a = load(A + n * kWidth);
    store(decays + n * kWidth, select(regular, Exponential()(delta, a), exp2(delta * a)));
  }
}

// y += sum over the block of C h; `state` [states][kWidth] moves on.
template <int kStates, bool kFixedB, bool kFixedC, bool kAhead>
void advance(const Steps& s, float* state) {
  const Exponential exponential;
  Vec h[kStates];
#pragma GCC unroll 16
  for (int n = 0; n < kStates; ++n) h[n] = load(state + n * kWidth);
  const float *B = s.B, *C = s.C;
  for (int64_t t = 0; t < s.count; ++t) {
    if constexpr (kAhead) fetch_ahead(s, t);
    const Vec delta = load(s.delta + t * kWidth), input = load(s.input + t * kWidth);
    Vec y[2] = {load(s.y + t * kWidth), Vec{}};
    const auto step = [&](auto decay) __attribute__((always_inline)) {
#pragma GCC unroll 16
      for (int n = 0; n < kStates; ++n) {
        h[n] = fma(decay(n), h[n], input * coefficient<kFixedB>(B, n));
        y[n % 2] = fma(h[n], coefficient<kFixedC>(C, n), y[n % 2]);
      }
    };
    const Mask regular = regular_lanes(delta, s.largest);
    if (__builtin_expect(all(regular), 1)) {
      step([&](int n) __attribute__((always_inline)) { return exponential(delta, load(s.A + n * kWidth)); });
    } else {
      alignas(64) float decays[kStates * kWidth];
      rare_decays<kStates>(decays, delta, s.A, regular);
      step([&](int n) __attribute__((always_inline)) { return load(decays + n * kWidth); });
    }
    store(s.y + t * kWidth, y[0] + y[1]);
    if constexpr (!kFixedB) B += s.stride_B;
    if constexpr (!kFixedC) C += s.stride_C;
  }
#pragma GCC unroll 16
  for (int n = 0; n < kStates; ++n) store(state + n * kWidth, h[n]);
}

// The larger of two, NaN if one is.
STATESPACE_INLINE Vec larger(Vec a, Vec b) { return select(is_nan(a), a, select(less_equal(b, a), a, b)); }

// What A is to the passes that real and complex scans share: kNumbers floats a state, kDecays vectors for each of them;
// kWork is that of a state relative to a real one.
struct RealDecays {
  static constexpr int kNumbers = 1, kDecays = 1, kWork = 1;

  static void load_decays(float* target, const float* A, int64_t lanes, int64_t states) {
    load_states(target, A, lanes, states, kLog2E);
  }
  static Vec largest_decay(const float* decays, int64_t states) {
    Vec largest{};
    for (int64_t n = 0; n < states; ++n) largest = larger(largest, abs(load(decays + n * kWidth)));
    return largest;
  }
};

// Where B or C of some steps lie as floats: rows [step][padded states], or for a fixed one [vector][states][kWidth].
struct Coefficients {
  float* data;
  bool fixed;
  int64_t states;

  static int64_t floats(bool fixed, int vectors, int64_t states, int64_t steps) {
    return fixed ? vectors * states * kWidth : steps * padded(states);
  }
  const float* at(int vector, int64_t state) const {
    return fixed ? data + (vector * states + state) * kWidth : data + state;
  }
  int64_t stride() const { return fixed ? 0 : padded(states); }

  template <typename T>
  void load_steps(const Tensor& t, int64_t batch, int64_t step, int64_t count, int64_t group) const {
    for (int64_t i = 0; i < count; ++i) {
      const T* source = row_of<T>(t, batch, step + i) + group * t.strides[2];
      float* target = data + i * padded(states);
      for (int64_t n = 0; n < states; n += kWidth) {
        store(target + n, load_lanes(source + n, std::min<int64_t>(kWidth, states - n)));
      }
    }
  }
  void load_fixed(const Tensor& t, const Slab& slab) const {
    for (int v = 0; v < slab.vectors; ++v) {
      load_states(data + v * states * kWidth, static_cast<const float*>(t.data) + (slab.first + v * kWidth) * states,
                  lanes_of(slab, v), states);
    }
  }
};

}  // namespace statespace::cpu::STATESPACE_ISA
