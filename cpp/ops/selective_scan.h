// Mamba's selective state space recurrence, per batch b, step t, channel d and state n (Mamba, section 3; math.md 5.2):
//   Delta = softplus(delta + delta_bias);  h[t] = exp(Delta A) h[t-1] + Delta u B[t];
//   y[t] = sum over n of C[t] h[t] + D u[t];  out = y silu(z).
#pragma once
#include "cpp/core/error.h"
#include "cpp/core/op.h"

namespace statespace {

struct SelectiveScanForward {
  Tensor u, delta, A, B, C, B_fixed, C_fixed, D, z, delta_bias, initial_state, cu_seqlens;
  bool delta_softplus, save;
  int64_t checkpoint_every, time_chunks;
  Tensor out, y, last_state, checkpoints;

  static constexpr auto row = statespace::row(
      "selectiveScanForward", input("u", &SelectiveScanForward::u, "[batch, length, dim]").strided(),
      input("delta", &SelectiveScanForward::delta, "[batch, length, dim]").strided(),
      input("A", &SelectiveScanForward::A, "[dim, states]").f32(),
      maybe("B", &SelectiveScanForward::B, "[batch, length, groups, states]").strided(),
      maybe("C", &SelectiveScanForward::C, "[batch, length, groups, states]").strided(),
      maybe("fixedB", &SelectiveScanForward::B_fixed, "[dim, states]").f32(),
      maybe("fixedC", &SelectiveScanForward::C_fixed, "[dim, states]").f32(),
      maybe("D", &SelectiveScanForward::D, "[dim]").f32(),
      maybe("z", &SelectiveScanForward::z, "[batch, length, dim]").strided(),
      maybe("deltaBias", &SelectiveScanForward::delta_bias, "[dim]").f32(),
      maybe("initialState", &SelectiveScanForward::initial_state, "[sequences, dim, states]").f32(),
      maybe("cuSeqlens", &SelectiveScanForward::cu_seqlens, "[boundaries]").i32(),
      attribute("deltaSoftplus", &SelectiveScanForward::delta_softplus, "apply softplus to delta + deltaBias"),
      attribute("save", &SelectiveScanForward::save, "write what the backward pass needs: y and checkpoints"),
      attribute("checkpointEvery", &SelectiveScanForward::checkpoint_every, "steps from one kept state to the next"),
      attribute("timeChunks", &SelectiveScanForward::time_chunks,
                "parts of the time that a GPU may scan at once: 1 for the bits of step by step, 0 lets it choose"),
      output("out", &SelectiveScanForward::out, "[batch, length, dim]").strided(),
      output("y", &SelectiveScanForward::y, "[batch, length, dim]").when([](const SelectiveScanForward& op) {
        return op.save && op.z;
      }),
      output("lastState", &SelectiveScanForward::last_state, "[sequences, dim, states]").f32(),
      // The state before step t for every t that is a multiple of checkpointEvery, channels innermost.
      output("checkpoints", &SelectiveScanForward::checkpoints, "[batch, chunks, states, dim]")
          .f32()
          .when([](const SelectiveScanForward& op) { return op.save; }));

  static int64_t extent(const SelectiveScanForward& op, std::string_view symbol) {
    if (symbol == "sequences") return op.cu_seqlens ? op.cu_seqlens.dim(0) - 1 : op.u.dim(0);
    return (op.u.dim(1) + op.checkpoint_every - 1) / op.checkpoint_every;  // chunks
  }
};

struct SelectiveScanBackward {
  Tensor dout, u, delta, A, B, C, B_fixed, C_fixed, D, z, delta_bias, initial_state, cu_seqlens, y, checkpoints,
      dlast_state;
  bool delta_softplus;
  int64_t checkpoint_every, time_chunks;
  Tensor du, ddelta, dA, dB, dC, dB_fixed, dC_fixed, dD, dz, ddelta_bias, dinitial_state;

  using Op = SelectiveScanBackward;
  static constexpr auto row = statespace::row(
      "selectiveScanBackward", input("dout", &SelectiveScanBackward::dout, "[batch, length, dim]").strided(),
      input("u", &SelectiveScanBackward::u, "[batch, length, dim]").strided(),
      input("delta", &SelectiveScanBackward::delta, "[batch, length, dim]").strided(),
      input("A", &SelectiveScanBackward::A, "[dim, states]").f32(),
      maybe("B", &SelectiveScanBackward::B, "[batch, length, groups, states]").strided(),
      maybe("C", &SelectiveScanBackward::C, "[batch, length, groups, states]").strided(),
      maybe("fixedB", &SelectiveScanBackward::B_fixed, "[dim, states]").f32(),
      maybe("fixedC", &SelectiveScanBackward::C_fixed, "[dim, states]").f32(),
      maybe("D", &SelectiveScanBackward::D, "[dim]").f32(),
      maybe("z", &SelectiveScanBackward::z, "[batch, length, dim]").strided(),
      maybe("deltaBias", &SelectiveScanBackward::delta_bias, "[dim]").f32(),
      maybe("initialState", &SelectiveScanBackward::initial_state, "[sequences, dim, states]").f32(),
      maybe("cuSeqlens", &SelectiveScanBackward::cu_seqlens, "[boundaries]").i32(),
      maybe("y", &SelectiveScanBackward::y, "[batch, length, dim]"),
      input("checkpoints", &SelectiveScanBackward::checkpoints, "[batch, chunks, states, dim]").f32(),
      maybe("dlastState", &SelectiveScanBackward::dlast_state, "[sequences, dim, states]").f32(),
      attribute("deltaSoftplus", &SelectiveScanBackward::delta_softplus, "as in forward"),
      attribute("checkpointEvery", &SelectiveScanBackward::checkpoint_every, "as in forward"),
      attribute("timeChunks", &SelectiveScanBackward::time_chunks, "as in forward"),
      output("du", &SelectiveScanBackward::du, "[batch, length, dim]").strided(),
      output("ddelta", &SelectiveScanBackward::ddelta, "[batch, length, dim]").strided(),
      output("dA", &SelectiveScanBackward::dA, "[dim, states]").f32(),
      output("dB", &SelectiveScanBackward::dB, "[batch, length, groups, states]").strided().when([](const Op& op) {
        return bool(op.B);
      }),
      output("dC", &SelectiveScanBackward::dC, "[batch, length, groups, states]").strided().when([](const Op& op) {
        return bool(op.C);
      }),
      output("dfixedB", &SelectiveScanBackward::dB_fixed, "[dim, states]").f32().when([](const Op& op) {
        return bool(op.B_fixed);
      }),
      output("dfixedC", &SelectiveScanBackward::dC_fixed, "[dim, states]").f32().when([](const Op& op) {
        return bool(op.C_fixed);
      }),
      output("dD", &SelectiveScanBackward::dD, "[dim]").f32().when([](const Op& op) { return bool(op.D); }),
      output("dz", &SelectiveScanBackward::dz, "[batch, length, dim]").strided().when([](const Op& op) {
        return bool(op.z);
      }),
      output("ddeltaBias", &SelectiveScanBackward::ddelta_bias, "[dim]").f32().when([](const Op& op) {
        return bool(op.delta_bias);
      }),
      output("dinitialState", &SelectiveScanBackward::dinitial_state, "[sequences, dim, states]")
          .f32()
          .when([](const Op& op) { return bool(op.initial_state); }));
};

// What a shape pattern cannot say, of real and complex scans; called by the binding.
template <typename Op>
void check_selective_scan(const Op& op) {
  auto fail = [](const std::string& what) { throw Error("ERR_SHAPE", std::string(Op::row.name) + ": " + what); };
  if (bool(op.B) == bool(op.B_fixed)) fail("exactly one of B and fixedB is needed");
  if (bool(op.C) == bool(op.C_fixed)) fail("exactly one of C and fixedC is needed");
  for (const Tensor* t : {&op.B, &op.C}) {
    if (*t && (t->dim(2) < 1 || op.u.dim(2) % t->dim(2) != 0)) {
      fail("dim = " + std::to_string(op.u.dim(2)) + " is not a multiple of groups = " + std::to_string(t->dim(2)));
    }
  }
  if (op.cu_seqlens && op.u.dim(0) != 1) {
    fail("cuSeqlens packs sequences along a batch of 1, found a batch of " + std::to_string(op.u.dim(0)));
  }
  if (op.cu_seqlens && op.cu_seqlens.dim(0) < 2) fail("cuSeqlens needs at least 2 entries (sequences + 1)");
  const int64_t sequences = op.cu_seqlens ? op.cu_seqlens.dim(0) - 1 : op.u.dim(0);
  if (op.initial_state && op.initial_state.dim(0) != sequences) {
    fail("initialState holds " + std::to_string(op.initial_state.dim(0)) + " sequences, expected " +
         std::to_string(sequences));
  }
  if constexpr (requires { op.time_chunks; }) {
    if (op.time_chunks < 0) fail("timeChunks is " + std::to_string(op.time_chunks) + ", expected at least 0");
  }
  if (op.checkpoint_every < 1)
    fail("checkpointEvery is " + std::to_string(op.checkpoint_every) + ", expected at least 1");
}
template <typename Op>
void check_selective_scan_backward(const Op& op) {
  check_selective_scan(op);
  const std::string name = Op::row.name;
  if (bool(op.z) != bool(op.y)) throw Error("ERR_SHAPE", name + ": y is needed exactly when z is given");
  const int64_t chunks = (op.u.dim(1) + op.checkpoint_every - 1) / op.checkpoint_every;
  if (op.checkpoints.dim(1) != chunks) {
    throw Error("ERR_SHAPE", name + ": checkpoints holds " + std::to_string(op.checkpoints.dim(1)) +
                                 " states, expected " + std::to_string(chunks));
  }
}
inline void check(const SelectiveScanForward& op) { check_selective_scan(op); }
inline void check(const SelectiveScanBackward& op) { check_selective_scan_backward(op); }

}  // namespace statespace
