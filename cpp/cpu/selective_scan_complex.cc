// Complex selective scan, forward: h[t] = exp(Delta A) h[t-1] + Delta u B[t], y[t] = 2 Re sum of C[t] h[t] + D u[t],
// out = y silu(z); and one step of it, the scan of a sequence of length 1 from the state to the state.
#include "cpp/ops/selective_scan_complex.h"

#include "cpp/cpu/one_step.h"
#include "cpp/cpu/selective_scan_complex_block.h"
#include "cpp/cpu/selective_scan_forward.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// y += 2 Re sum over the block of C h; `state` [states][re, im][kWidth] moves on.
template <int kStates, bool kFixedB, bool kFixedC>
void advance_complex(const Steps& s, float* state) {
  const ComplexExponential exponential;
  ComplexVec h[kStates];
#pragma GCC unroll 8
  for (int n = 0; n < kStates; ++n) h[n] = load_complex(state + 2 * n * kWidth);
  const float *B = s.B, *C = s.C;
  for (int64_t t = 0; t < s.count; ++t) {
    fetch_ahead(s, t);
    const Vec delta = load(s.delta + t * kWidth), input = load(s.input + t * kWidth);
    Vec sum[2] = {};
    with_decays<kStates>(
        exponential, s, delta, [&](auto decay) __attribute__((always_inline)) {
#pragma GCC unroll 8
          for (int n = 0; n < kStates; ++n) {
            h[n] = advance_state<kFixedB>(decay(n), h[n], input, B, n);
            sum[0] = fma(h[n].re, coefficient<kFixedC>(C, 2 * n), sum[0]);
            sum[1] = fma(h[n].im, coefficient<kFixedC>(C, 2 * n + 1), sum[1]);
          }
        });
    store(s.y + t * kWidth, fma(broadcast(2.0f), sum[0] - sum[1], load(s.y + t * kWidth)));
    if constexpr (!kFixedB) B += s.stride_B;
    if constexpr (!kFixedC) C += s.stride_C;
  }
#pragma GCC unroll 8
  for (int n = 0; n < kStates; ++n) store_complex(state + 2 * n * kWidth, h[n]);
}

struct ComplexForward : ComplexDecays {
  using Op = SelectiveScanComplexForward;

  // All states; the blocks add to the same y.
  static void advance_all(Steps steps, float* state, const float* A, const Coefficients& B, const Coefficients& C,
                          int vector, int64_t numbers) {
    constexpr int kStates = kWidth == 16 ? 4 : 2;
    const auto advance_block = [&](int64_t n, auto states) {
      steps.A = A + n * kDecays * kWidth;
      steps.B = B.at(vector, n);
      steps.C = C.at(vector, n);
      (B.fixed   ? C.fixed ? advance_complex<states, true, true> : advance_complex<states, true, false>
         : C.fixed ? advance_complex<states, false, true>
                 : advance_complex<states, false, false>)(steps, state + n * kWidth);
      // Only the first block fetches what comes next.
      for (auto& rows : steps.ahead) rows = {reinterpret_cast<const char*>(state), 0};
    };
    int64_t n = 0;
    for (; n + 2 * kStates <= numbers; n += 2 * kStates) advance_block(n, std::integral_constant<int, kStates>());
    for (; n < numbers; n += 2) advance_block(n, std::integral_constant<int, 1>());
  }
};

}  // namespace

template <>
void run(const SelectiveScanComplexForward& op) {
  run_forward<ComplexForward>(op);
}

template <>
void run(const SelectiveStateUpdateComplex& op) {
  run(scan_of_one_step<SelectiveScanComplexForward>(op));
}

}  // namespace statespace::cpu::STATESPACE_ISA
