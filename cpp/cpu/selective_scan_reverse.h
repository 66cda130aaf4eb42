// The recurrence of the backward pass of the selective scan, of a block of states of one vector of channels: forward
// once more through a window of steps, keeping everything, and back.
#pragma once
#include "cpp/cpu/selective_scan_block.h"

namespace statespace::cpu::STATESPACE_ISA {

constexpr int kBlock = kWidth / 2;  // numbers of states: dB and dC of a block fill one vector

// The trace of a block of states: h before the window, then (a, h) of every step.
template <int kStates>
constexpr int64_t kTraceStep = 2 * kStates* kWidth;

// Forward through `s.count` steps from `state`, keeping all of it; `last` receives the state after them.
template <int kStates, bool kFixedB>
void retrace(const Steps& s, const float* state, float* trace, float* last) {
  const Exponential exponential;
  Vec h[kStates];
#pragma GCC unroll 8
  for (int n = 0; n < kStates; ++n) {
    h[n] = load(state + n * kWidth);
    store(trace + (2 * n + 1) * kWidth, h[n]);
  }
  const float* B = s.B;
  for (int64_t t = 0; t < s.count; ++t) {
    trace += kTraceStep<kStates>;
    fetch_ahead(s, t);
    const Vec delta = load(s.delta + t * kWidth), input = load(s.input + t * kWidth);
    const auto step = [&](auto decay) __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (int n = 0; n < kStates; ++n) {
        const Vec a = decay(n);
        h[n] = fma(a, h[n], input * coefficient<kFixedB>(B, n));
        store(trace + 2 * n * kWidth, a);
        store(trace + (2 * n + 1) * kWidth, h[n]);
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
    if constexpr (!kFixedB) B += s.stride_B;
  }
#pragma GCC unroll 8
  for (int n = 0; n < kStates; ++n) store(last + n * kWidth, h[n]);
}

// What `reverse` adds to, of one vector of channels; those of states point at the block.
struct Gradients {
  const float* dy;      // [step][kWidth]
  float *by_B, *by_A;   // [step][kWidth]: sums over the states of S B, and of q A log2(e)
  float* carry;         // [states][kWidth]: S, on the way back
  float *dA, *dB, *dC;  // [states][kWidth]; dB and dC of fixed ones
  float* sums;          // [step][sums_stride]: over the lanes, dB in the first half of kWidth and dC in the second
  int64_t sums_stride;
};

// Pairs of rows come as low_pairs + high_pairs; lane i of the result is the sum of row i.
STATESPACE_INLINE Vec reduce_pairs(Vec (&v)[kWidth / 2]) {
  for (int i = 0; i < kWidth / 4; ++i) v[i] = low_quads(v[2 * i], v[2 * i + 1]) + high_quads(v[2 * i], v[2 * i + 1]);
#if defined(__AVX2__)
  for (int n = kWidth / 8; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) v[i] = even_blocks(v[2 * i], v[2 * i + 1]) + odd_blocks(v[2 * i], v[2 * i + 1]);
  }
#endif
  return v[0];
}

template <int kStates, bool kFixedB, bool kFixedC>
void reverse(const Steps& s, const Gradients& g, const float* trace) {
  Vec carry[kStates], dA[kStates], dB[kStates], dC[kStates];
#pragma GCC unroll 8
  for (int n = 0; n < kStates; ++n) {
    carry[n] = load(g.carry + n * kWidth);
    dA[n] = dB[n] = dC[n] = Vec{};
  }
  for (int64_t t = s.count - 1; t >= 0; --t) {
    fetch_ahead(s, t);
    const float *before = trace + t * kTraceStep<kStates>, *after = before + kTraceStep<kStates>;
    const float *B = s.B + t * s.stride_B, *C = s.C + t * s.stride_C;
    const Vec delta = load(s.delta + t * kWidth), input = load(s.input + t * kWidth), dy = load(g.dy + t * kWidth);
    Vec by_B = load(g.by_B + t * kWidth), by_A = load(g.by_A + t * kWidth);
    Vec pairs[kWidth / 2]{}, even_B{}, even_C{};
#pragma GCC unroll 8
    for (int n = 0; n < kStates; ++n) {
      const Vec gradient = fma(dy, coefficient<kFixedC>(C, n), carry[n]);
      const Vec row_C = dy * load(after + (2 * n + 1) * kWidth), row_B = gradient * input;
      by_B = fma(gradient, coefficient<kFixedB>(B, n), by_B);
      carry[n] = gradient * load(after + 2 * n * kWidth);
      const Vec q = carry[n] * load(before + (2 * n + 1) * kWidth);
      by_A = fma(q, load(s.A + n * kWidth), by_A);
      dA[n] = fma(q, delta, dA[n]);
      if constexpr (kFixedB) dB[n] += row_B;
      if constexpr (kFixedC) dC[n] += row_C;
      if (n % 2 == 0) {
        even_B = row_B;
        even_C = row_C;
      }
      if (n % 2 == 1 || n == kStates - 1) {
        const Vec odd_B = n % 2 == 1 ? row_B : Vec{}, odd_C = n % 2 == 1 ? row_C : Vec{};
        if constexpr (!kFixedB) pairs[n / 2] = low_pairs(even_B, odd_B) + high_pairs(even_B, odd_B);
        if constexpr (!kFixedC) pairs[kWidth / 4 + n / 2] = low_pairs(even_C, odd_C) + high_pairs(even_C, odd_C);
      }
    }
    store(g.by_B + t * kWidth, by_B);
    store(g.by_A + t * kWidth, by_A);
    if constexpr (!kFixedB || !kFixedC) {
      float* sums = g.sums + t * g.sums_stride;
      store(sums, load(sums) + reduce_pairs(pairs));
    }
  }
#pragma GCC unroll 8
  for (int n = 0; n < kStates; ++n) {
    store(g.carry + n * kWidth, carry[n]);
    store(g.dA + n * kWidth, load(g.dA + n * kWidth) + dA[n]);
    if constexpr (kFixedB) store(g.dB + n * kWidth, load(g.dB + n * kWidth) + dB[n]);
    if constexpr (kFixedC) store(g.dC + n * kWidth, load(g.dC + n * kWidth) + dC[n]);
  }
}

// Calls f(first number, constant count of numbers) for the blocks of states of `kNumbers` floats each.
template <int kNumbers, typename F>
STATESPACE_INLINE void for_blocks(int64_t numbers, F f) {
  int64_t n = 0;
  for (; n + kBlock <= numbers; n += kBlock) f(n, std::integral_constant<int, kBlock>());
  if constexpr (kBlock > 4) {
    for (; n + 4 <= numbers; n += 4) f(n, std::integral_constant<int, 4>());
  }
  for (; n < numbers; n += kNumbers) f(n, std::integral_constant<int, kNumbers>());
}
template <int kNumbers>
int64_t block_count(int64_t numbers) {
  int64_t count = 0;
  for_blocks<kNumbers>(numbers, [&](int64_t, auto) { ++count; });
  return count;
}

}  // namespace statespace::cpu::STATESPACE_ISA
