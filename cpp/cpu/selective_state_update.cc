// One step of the selective scan.
#include "cpp/ops/selective_state_update.h"

#include "cpp/cpu/one_step.h"
#include "cpp/cpu/run.h"
#include "cpp/ops/selective_scan.h"

namespace statespace::cpu::STATESPACE_ISA {

template <>
void run(const SelectiveScanForward& op);

template <>
void run(const SelectiveStateUpdate& op) {
  run(scan_of_one_step<SelectiveScanForward>(op));
}

}  // namespace statespace::cpu::STATESPACE_ISA
