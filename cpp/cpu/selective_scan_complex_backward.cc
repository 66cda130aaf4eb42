// Gradients of the complex selective scan. Per step, from the last to the first, with S starting at dlast_state:
//   S += 2 dy conj(C);  dC += 2 dy conj(h[t]);  dB += S Delta u;  S = conj(a) S with a = exp(Delta A);
//   q = S conj(h[t-1]);  dA += Delta q;  du = Delta Re(S conj(B)) + D dy;  dDelta = u Re(S conj(B)) + Re(q conj(A)).
#include "cpp/cpu/selective_scan_backward.h"
#include "cpp/cpu/selective_scan_complex_block.h"
#include "cpp/ops/selective_scan_complex.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// The trace of a number is (a, h) as for real states; the numbers of a state lie side by side.
STATESPACE_INLINE ComplexVec load_traced(const float* p) { return {load(p), load(p + 2 * kWidth)}; }
STATESPACE_INLINE void store_traced(float* p, ComplexVec v) {
  store(p, v.re);
  store(p + 2 * kWidth, v.im);
}

struct ComplexBackward : ComplexDecays {
  using Op = SelectiveScanComplexBackward;

  // Forward through `s.count` steps from `state`, keeping all of it; `last` receives the state after them.
  template <int kBlockNumbers, bool kFixedB>
  static void retrace(const Steps& s, const float* state, float* trace, float* last) {
    constexpr int kStates = kBlockNumbers / kNumbers;
    const ComplexExponential exponential;
    ComplexVec h[kStates];
#pragma GCC unroll 8
    for (int n = 0; n < kStates; ++n) {
      h[n] = load_complex(state + 2 * n * kWidth);
      store_traced(trace + (4 * n + 1) * kWidth, h[n]);
    }
    const float* B = s.B;
    for (int64_t t = 0; t < s.count; ++t) {
      trace += kTraceStep<kBlockNumbers>;
      fetch_ahead(s, t);
      const Vec delta = load(s.delta + t * kWidth), input = load(s.input + t * kWidth);
      with_decays<kStates>(
          exponential, s, delta, [&](auto decay) __attribute__((always_inline)) {
#pragma GCC unroll 8
            for (int n = 0; n < kStates; ++n) {
              const ComplexVec a = decay(n);
              h[n] = advance_state<kFixedB>(a, h[n], input, B, n);
              store_traced(trace + 4 * n * kWidth, a);
              store_traced(trace + (4 * n + 1) * kWidth, h[n]);
            }
          });
      if constexpr (!kFixedB) B += s.stride_B;
    }
#pragma GCC unroll 8
    for (int n = 0; n < kStates; ++n) store_complex(last + 2 * n * kWidth, h[n]);
  }

  template <int kBlockNumbers, bool kFixedB, bool kFixedC>
  static void reverse(const Steps& s, const Gradients& g, const float* trace) {
    constexpr int kStates = kBlockNumbers / kNumbers;
    ComplexVec carry[kStates], dA[kStates], dB[kStates], dC[kStates];
#pragma GCC unroll 8
    for (int n = 0; n < kStates; ++n) {
      carry[n] = load_complex(g.carry + 2 * n * kWidth);
      dA[n] = dB[n] = dC[n] = ComplexVec{};
    }
    for (int64_t t = s.count - 1; t >= 0; --t) {
      fetch_ahead(s, t);
      const float *before = trace + t * kTraceStep<kBlockNumbers>, *after = before + kTraceStep<kBlockNumbers>;
      const float *B = s.B + t * s.stride_B, *C = s.C + t * s.stride_C;
      const Vec delta = load(s.delta + t * kWidth), input = load(s.input + t * kWidth);
      const Vec dy = load(g.dy + t * kWidth), twice_dy = dy + dy;
      Vec by_B = load(g.by_B + t * kWidth), by_A = load(g.by_A + t * kWidth);
      Vec pairs[kWidth / 2]{};
#pragma GCC unroll 8
      for (int n = 0; n < kStates; ++n) {
        const ComplexVec a = load_traced(after + 4 * n * kWidth), h = load_traced(after + (4 * n + 1) * kWidth);
        const ComplexVec earlier = load_traced(before + (4 * n + 1) * kWidth);
        const float* decay = s.A + n * kDecayVectors * kWidth;
        const ComplexVec gradient = {fma(twice_dy, coefficient<kFixedC>(C, 2 * n), carry[n].re),
                                     fma(-twice_dy, coefficient<kFixedC>(C, 2 * n + 1), carry[n].im)};
        const ComplexVec row_C = {twice_dy * h.re, -twice_dy * h.im};
        const ComplexVec row_B = {gradient.re * input, gradient.im * input};
        by_B = fma(gradient.re, coefficient<kFixedB>(B, 2 * n), by_B);
        by_B = fma(gradient.im, coefficient<kFixedB>(B, 2 * n + 1), by_B);
        carry[n] = {fma(a.re, gradient.re, a.im * gradient.im), fma(a.re, gradient.im, -a.im * gradient.re)};
        const ComplexVec q = {fma(carry[n].re, earlier.re, carry[n].im * earlier.im),
                              fma(carry[n].im, earlier.re, -carry[n].re * earlier.im)};
        by_A = fma(q.re, load(decay + kSize * kWidth), by_A);
        by_A = fma(q.im, load(decay + kScaledIm * kWidth), by_A);
        dA[n] = {fma(q.re, delta, dA[n].re), fma(q.im, delta, dA[n].im)};
        if constexpr (kFixedB) {
          dB[n] = {dB[n].re + row_B.re, dB[n].im + row_B.im};
        } else {
          pairs[n] = low_pairs(row_B.re, row_B.im) + high_pairs(row_B.re, row_B.im);
        }
        if constexpr (kFixedC) {
          dC[n] = {dC[n].re + row_C.re, dC[n].im + row_C.im};
        } else {
          pairs[kWidth / 4 + n] = low_pairs(row_C.re, row_C.im) + high_pairs(row_C.re, row_C.im);
        }
      }
      store(g.by_B + t * kWidth, by_B);
      store(g.by_A + t * kWidth, by_A);
      if constexpr (!kFixedB || !kFixedC) {
        float* sums = g.sums + t * g.sums_stride;
        store(sums, load(sums) + reduce_pairs(pairs));
      }
    }
    const auto add = [](float* total, ComplexVec v) {
      const ComplexVec earlier = load_complex(total);
      store_complex(total, {earlier.re + v.re, earlier.im + v.im});
    };
#pragma GCC unroll 8
    for (int n = 0; n < kStates; ++n) {
      store_complex(g.carry + 2 * n * kWidth, carry[n]);
      add(g.dA + 2 * n * kWidth, dA[n]);
      if constexpr (kFixedB) add(g.dB + 2 * n * kWidth, dB[n]);
      if constexpr (kFixedC) add(g.dC + 2 * n * kWidth, dC[n]);
    }
  }
};

}  // namespace

template <>
void run(const SelectiveScanComplexBackward& op) {
  run_backward<ComplexBackward>(op);
}

}  // namespace statespace::cpu::STATESPACE_ISA
