// The systems of s4_kernel.h stepped through a sequence, with a state that goes in and comes out:
//   (1 - dt M / 2) h[t] = (1 + dt M / 2) h[t - 1] + dt B u[t],  y[t] = 2 Re(C h[t]) + D u[t].
#pragma once
#include "cpp/core/op.h"
#include "cpp/ops/s4_kernel.h"

namespace statespace {

// Stored ones; a GPU holds a state in the registers of a warp.
constexpr int64_t kMaxRecurrenceStates = 128;

struct S4Recurrence {
  Tensor u, dt, A, P, B, C, D, initial_state;
  bool return_last_state;
  Tensor y, last_state;

  static constexpr auto row = statespace::row(
      "s4Recurrence", input("u", &S4Recurrence::u, "[batch, length, dim]").strided(),
      input("dt", &S4Recurrence::dt, "[dim]").f32(), input("A", &S4Recurrence::A, "[dim, states, pair]").f32(),
      input("P", &S4Recurrence::P, "[rank, dim, states, pair]").f32(),
      input("B", &S4Recurrence::B, "[dim, states, pair]").f32(),
      input("C", &S4Recurrence::C, "[dim, states, pair]").f32(), maybe("D", &S4Recurrence::D, "[dim]").f32(),
      maybe("initialState", &S4Recurrence::initial_state, "[batch, dim, states, pair]").f32(),
      attribute("returnLastState", &S4Recurrence::return_last_state, "make lastState"),
      output("y", &S4Recurrence::y, "[batch, length, dim]"),
      output("lastState", &S4Recurrence::last_state, "[batch, dim, states, pair]")
          .f32()
          .when([](const S4Recurrence& op) { return op.return_last_state; }));
};

inline void check(const S4Recurrence& op) {
  check_low_rank_system(op);
  if (op.A.dim(1) > kMaxRecurrenceStates) {
    throw Error("ERR_SHAPE", "s4Recurrence: A has " + std::to_string(op.A.dim(1)) +
                                 " states (one of each pair), expected at most " +
                                 std::to_string(kMaxRecurrenceStates));
  }
}

}  // namespace statespace
