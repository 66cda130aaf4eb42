// The table of this instruction set's kernels: entry i runs the op with number i in AllOps.
#include "cpp/cpu/instruction_set.h"
#include "cpp/cpu/run.h"
#include "cpp/ops/all.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

template <typename Op>
void call(const void* op) {
  run(*static_cast<const Op*>(op));
}

template <typename... Ops>
const RunFunction* table_of(OpList<Ops...>) {
  static constexpr RunFunction kTable[] = {&call<Ops>...};
  return kTable;
}

}  // namespace

const RunFunction* op_table() { return table_of(AllOps{}); }

}  // namespace statespace::cpu::STATESPACE_ISA
