// Gradients of Mamba's selective scan.
#include "cpp/cpu/selective_scan_backward.h"

#include "cpp/ops/selective_scan.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

struct RealBackward : RealDecays {
  using Op = SelectiveScanBackward;

  template <int kStates, bool kFixedB>
  static void retrace(const Steps& steps, const float* state, float* trace, float* last) {
    STATESPACE_ISA::retrace<kStates, kFixedB>(steps, state, trace, last);
  }
  template <int kStates, bool kFixedB, bool kFixedC>
  static void reverse(const Steps& steps, const Gradients& gradients, const float* trace) {
    STATESPACE_ISA::reverse<kStates, kFixedB, kFixedC>(steps, gradients, trace);
  }
};

}  // namespace

template <>
void run(const SelectiveScanBackward& op) {
  run_backward<RealBackward>(op);
}

}  // namespace statespace::cpu::STATESPACE_ISA
