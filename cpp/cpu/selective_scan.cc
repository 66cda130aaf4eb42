// Selective scan, forward: h[t] = exp(Delta A) h[t-1] + Delta u B[t], y[t] = C[t] h[t] + D u[t], out = y silu(z).
#include "cpp/ops/selective_scan.h"

#include "cpp/cpu/selective_scan_forward.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// A block of states of one vector of channels over the tile; the first one also fetches what comes next.
template <int kStates>
void advance_block(const Steps& steps, float* state, bool fixed_B, bool fixed_C, bool first) {
  if (fixed_B || fixed_C) {
    (fixed_B ? fixed_C ? advance<kStates, true, true, false> : advance<kStates, true, false, false>
             : advance<kStates, false, true, false>)(steps, state);
  } else {
    (first ? advance<kStates, false, false, true> : advance<kStates, false, false, false>)(steps, state);
  }
}

struct RealForward : RealDecays {
  using Op = SelectiveScanForward;

  // All states; the blocks add to the same y.
  static void advance_all(Steps steps, float* state, const float* A, const Coefficients& B, const Coefficients& C,
                          int vector, int64_t states) {
    constexpr int kBlock = kWidth == 16 ? 16 : 8;
    for (int64_t n = 0; n < states;) {
      steps.A = A + n * kWidth;
      steps.B = B.at(vector, n);
      steps.C = C.at(vector, n);
      float* h = state + n * kWidth;
      const int64_t rest = states - n;
      if (rest >= kBlock) {
        advance_block<kBlock>(steps, h, B.fixed, C.fixed, n == 0);
        n += kBlock;
      } else if (kBlock > 8 && rest >= 8) {
        advance_block<8>(steps, h, B.fixed, C.fixed, n == 0);
        n += 8;
      } else if (rest >= 4) {
        advance_block<4>(steps, h, B.fixed, C.fixed, n == 0);
        n += 4;
      } else {
        advance_block<1>(steps, h, B.fixed, C.fixed, n == 0);
        n += 1;
      }
    }
  }
};

}  // namespace

template <>
void run(const SelectiveScanForward& op) {
  run_forward<RealForward>(op);
}

}  // namespace statespace::cpu::STATESPACE_ISA
