// The selective scan with complex A, B, C and states, one of each conjugate pair stored (math.md 5.7):
//   h[t] = exp(Delta A) h[t-1] + Delta u B[t];  y[t] = 2 Re sum over n of C[t] h[t] + D u[t];  out = y silu(z).
// A complex number is (re, im), and a complex gradient dL/dRe + i dL/dIm. In B and C, whose element type is that of u,
// the pairs of a step lie one after the other as `numbers` = 2 states; so do the rows of a checkpoint.
#pragma once
#include <utility>

#include "cpp/ops/s4d_kernel.h"
#include "cpp/ops/selective_scan.h"
#include "cpp/ops/selective_state_update.h"

namespace statespace {

struct SelectiveScanComplexForward {
  Tensor u, delta, A, B, C, B_fixed, C_fixed, D, z, delta_bias, initial_state, cu_seqlens;
  bool delta_softplus, save;
  int64_t checkpoint_every;
  Tensor out, y, last_state, checkpoints;

  using Op = SelectiveScanComplexForward;
  static constexpr auto row = statespace::row(
      "selectiveScanComplexForward", input("u", &Op::u, "[batch, length, dim]").strided(),
      input("delta", &Op::delta, "[batch, length, dim]").strided(), input("A", &Op::A, "[dim, states, pair]").f32(),
      maybe("B", &Op::B, "[batch, length, groups, numbers]").strided(),
      maybe("C", &Op::C, "[batch, length, groups, numbers]").strided(),
      maybe("fixedB", &Op::B_fixed, "[dim, states, pair]").f32(),
      maybe("fixedC", &Op::C_fixed, "[dim, states, pair]").f32(), maybe("D", &Op::D, "[dim]").f32(),
      maybe("z", &Op::z, "[batch, length, dim]").strided(), maybe("deltaBias", &Op::delta_bias, "[dim]").f32(),
      maybe("initialState", &Op::initial_state, "[sequences, dim, states, pair]").f32(),
      maybe("cuSeqlens", &Op::cu_seqlens, "[boundaries]").i32(),
      attribute("deltaSoftplus", &Op::delta_softplus, "apply softplus to delta + deltaBias"),
      attribute("save", &Op::save, "write what the backward pass needs: y and checkpoints"),
      attribute("checkpointEvery", &Op::checkpoint_every, "steps from one kept state to the next"),
      output("out", &Op::out, "[batch, length, dim]").strided(),
      output("y", &Op::y, "[batch, length, dim]").when([](const Op& op) { return op.save && op.z; }),
      output("lastState", &Op::last_state, "[sequences, dim, states, pair]").f32(),
      // The state before step t for every t that is a multiple of checkpointEvery, channels innermost.
      output("checkpoints", &Op::checkpoints, "[batch, chunks, numbers, dim]").f32().when([](const Op& op) {
        return op.save;
      }));

  static int64_t extent(const Op& op, std::string_view symbol) {
    if (symbol == "numbers") return 2 * op.A.dim(1);
    if (symbol == "sequences") return op.cu_seqlens ? op.cu_seqlens.dim(0) - 1 : op.u.dim(0);
    return (op.u.dim(1) + op.checkpoint_every - 1) / op.checkpoint_every;  // chunks
  }
};

struct SelectiveScanComplexBackward {
  Tensor dout, u, delta, A, B, C, B_fixed, C_fixed, D, z, delta_bias, initial_state, cu_seqlens, y, checkpoints,
      dlast_state;
  bool delta_softplus;
  int64_t checkpoint_every;
  Tensor du, ddelta, dA, dB, dC, dB_fixed, dC_fixed, dD, dz, ddelta_bias, dinitial_state;

  using Op = SelectiveScanComplexBackward;
  static constexpr auto row = statespace::row(
      "selectiveScanComplexBackward", input("dout", &Op::dout, "[batch, length, dim]").strided(),
      input("u", &Op::u, "[batch, length, dim]").strided(),
      input("delta", &Op::delta, "[batch, length, dim]").strided(), input("A", &Op::A, "[dim, states, pair]").f32(),
      maybe("B", &Op::B, "[batch, length, groups, numbers]").strided(),
      maybe("C", &Op::C, "[batch, length, groups, numbers]").strided(),
      maybe("fixedB", &Op::B_fixed, "[dim, states, pair]").f32(),
      maybe("fixedC", &Op::C_fixed, "[dim, states, pair]").f32(), maybe("D", &Op::D, "[dim]").f32(),
      maybe("z", &Op::z, "[batch, length, dim]").strided(), maybe("deltaBias", &Op::delta_bias, "[dim]").f32(),
      maybe("initialState", &Op::initial_state, "[sequences, dim, states, pair]").f32(),
      maybe("cuSeqlens", &Op::cu_seqlens, "[boundaries]").i32(), maybe("y", &Op::y, "[batch, length, dim]"),
      input("checkpoints", &Op::checkpoints, "[batch, chunks, numbers, dim]").f32(),
      maybe("dlastState", &Op::dlast_state, "[sequences, dim, states, pair]").f32(),
      attribute("deltaSoftplus", &Op::delta_softplus, "as in forward"),
      attribute("checkpointEvery", &Op::checkpoint_every, "as in forward"),
      output("du", &Op::du, "[batch, length, dim]").strided(),
      output("ddelta", &Op::ddelta, "[batch, length, dim]").strided(),
      output("dA", &Op::dA, "[dim, states, pair]").f32(),
      output("dB", &Op::dB, "[batch, length, groups, numbers]").strided().when([](const Op& op) { return bool(op.B); }),
      output("dC", &Op::dC, "[batch, length, groups, numbers]").strided().when([](const Op& op) { return bool(op.C); }),
      output("dfixedB", &Op::dB_fixed, "[dim, states, pair]").f32().when([](const Op& op) { return bool(op.B_fixed); }),
      output("dfixedC", &Op::dC_fixed, "[dim, states, pair]").f32().when([](const Op& op) { return bool(op.C_fixed); }),
      output("dD", &Op::dD, "[dim]").f32().when([](const Op& op) { return bool(op.D); }),
      output("dz", &Op::dz, "[batch, length, dim]").strided().when([](const Op& op) { return bool(op.z); }),
      output("ddeltaBias", &Op::ddelta_bias, "[dim]").f32().when([](const Op& op) { return bool(op.delta_bias); }),
      output("dinitialState", &Op::dinitial_state, "[sequences, dim, states, pair]").f32().when([](const Op& op) {
        return bool(op.initial_state);
      }));
};

// One step, for decoding: the state is updated in place.
struct SelectiveStateUpdateComplex {
  Tensor state, x, dt, A, B, C, D, z, dt_bias;
  bool dt_softplus;
  Tensor out;

  using Op = SelectiveStateUpdateComplex;
  static constexpr auto row = statespace::row(
      "selectiveStateUpdateComplex", inout("state", &Op::state, "[batch, dim, states, pair]").f32(),
      input("x", &Op::x, "[batch, dim]").strided(), input("dt", &Op::dt, "[batch, dim]").strided(),
      input("A", &Op::A, "[dim, states, pair]").f32(), input("B", &Op::B, "[batch, groups, numbers]").strided(),
      input("C", &Op::C, "[batch, groups, numbers]").strided(), maybe("D", &Op::D, "[dim]").f32(),
      maybe("z", &Op::z, "[batch, dim]").strided(), maybe("dtBias", &Op::dt_bias, "[dim]").f32(),
      attribute("dtSoftplus", &Op::dt_softplus, "apply softplus to dt + dtBias"),
      output("out", &Op::out, "[batch, dim]"));
};

// That complex numbers are pairs, and that B and C have two numbers for each state.
template <typename Op>
void check_numbers(const Op& op) {
  check_pairs(op);
  const int64_t numbers = 2 * op.A.dim(1);
  for (const auto& [name, t] : {std::pair("B", &op.B), std::pair("C", &op.C)}) {
    if (*t && t->dim(-1) != numbers) {
      throw Error("ERR_SHAPE", std::string(Op::row.name) + ": " + name + " has " + std::to_string(t->dim(-1)) +
                                   " numbers a step, expected " + std::to_string(numbers) + " (re, im of each state)");
    }
  }
}
inline void check(const SelectiveScanComplexForward& op) {
  check_numbers(op);
  check_selective_scan(op);
}
inline void check(const SelectiveScanComplexBackward& op) {
  check_numbers(op);
  check_selective_scan_backward(op);
  if (op.checkpoints.dim(2) != 2 * op.A.dim(1)) {
    throw Error("ERR_SHAPE", "selectiveScanComplexBackward: checkpoints holds " +
                                 std::to_string(op.checkpoints.dim(2)) + " numbers a state, expected " +
                                 std::to_string(2 * op.A.dim(1)));
  }
}
inline void check(const SelectiveStateUpdateComplex& op) {
  check_numbers(op);
  check_state_update(op);
}

}  // namespace statespace
