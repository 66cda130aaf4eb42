// One step of the selective scan, for decoding: the state is updated in place.
#pragma once
#include "cpp/core/error.h"
#include "cpp/core/op.h"

namespace statespace {

struct SelectiveStateUpdate {
  Tensor state, x, dt, A, B, C, D, z, dt_bias;
  bool dt_softplus;
  Tensor out;

  static constexpr auto row = statespace::row(
      "selectiveStateUpdate", inout("state", &SelectiveStateUpdate::state, "[batch, dim, states]").f32(),
      input("x", &SelectiveStateUpdate::x, "[batch, dim]").strided(),
      input("dt", &SelectiveStateUpdate::dt, "[batch, dim]").strided(),
      input("A", &SelectiveStateUpdate::A, "[dim, states]").f32(),
      input("B", &SelectiveStateUpdate::B, "[batch, groups, states]").strided(),
      input("C", &SelectiveStateUpdate::C, "[batch, groups, states]").strided(),
      maybe("D", &SelectiveStateUpdate::D, "[dim]").f32(),
      maybe("z", &SelectiveStateUpdate::z, "[batch, dim]").strided(),
      maybe("dtBias", &SelectiveStateUpdate::dt_bias, "[dim]").f32(),
      attribute("dtSoftplus", &SelectiveStateUpdate::dt_softplus, "apply softplus to dt + dtBias"),
      output("out", &SelectiveStateUpdate::out, "[batch, dim]"));
};

template <typename Op>
void check_state_update(const Op& op) {
  if (op.B.dim(1) < 1 || op.x.dim(1) % op.B.dim(1) != 0) {
    throw Error("ERR_SHAPE", std::string(Op::row.name) + ": dim = " + std::to_string(op.x.dim(1)) +
                                 " is not a multiple of groups = " + std::to_string(op.B.dim(1)));
  }
}
inline void check(const SelectiveStateUpdate& op) { check_state_update(op); }

}  // namespace statespace
