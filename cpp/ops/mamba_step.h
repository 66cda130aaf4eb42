// One token through a Mamba block and its residual stream, for decoding. Four operations with few enough launches that
// a GPU waits for weights and not for the next launch; the second of them is linearForward:
//   u, z = split(norm(residual) weight^T + bias), u = silu(conv(u));  projected = u x_proj^T;
//   delta = softplus(dt dt_weight^T + dt_bias), out = scan step of (u, delta, B, C), gated by z;
//   residual += out weight^T + bias.
// Results are rounded to the element type of the weights where separate operations would round them.
#pragma once
#include "cpp/core/error.h"
#include "cpp/ops/causal_conv1d.h"

namespace statespace {

struct MambaStepInput {
  Tensor residual, norm_weight, weight, bias, conv_state, conv_weight, conv_bias;
  double eps;
  Tensor u, z;

  static constexpr auto row = statespace::row(
      "mambaStepInput", input("residual", &MambaStepInput::residual, "[batch, dim]").f32(),
      input("normWeight", &MambaStepInput::norm_weight, "[dim]").f32(),
      input("weight", &MambaStepInput::weight, "[both, dim]").rows(),
      maybe("bias", &MambaStepInput::bias, "[both]").floating(),
      // The last inputs of the convolution, the oldest first.
      inout("convState", &MambaStepInput::conv_state, "[batch, inner, history]"),
      input("convWeight", &MambaStepInput::conv_weight, "[inner, width]").floating(),
      maybe("convBias", &MambaStepInput::conv_bias, "[inner]").floating(),
      attribute("eps", &MambaStepInput::eps, "added to the mean square"),
      output("u", &MambaStepInput::u, "[batch, inner]"), output("z", &MambaStepInput::z, "[batch, inner]"));
};

inline void check(const MambaStepInput& op) {
  const int64_t inner = op.conv_weight.dim(0), width = op.conv_weight.dim(1);
  if (op.weight.dim(0) != 2 * inner) {
    throw Error("ERR_SHAPE", "mambaStepInput: weight has " + std::to_string(op.weight.dim(0)) +
                                 " rows, expected 2 inner = " + std::to_string(2 * inner));
  }
  if (width < 1 || width > kMaxConvWidth) {
    throw Error("ERR_SHAPE", "mambaStepInput: convWeight has width " + std::to_string(width) + ", expected 1 to " +
                                 std::to_string(kMaxConvWidth));
  }
  if (op.conv_state.dim(2) != width - 1) {
    throw Error("ERR_SHAPE", "mambaStepInput: convState holds " + std::to_string(op.conv_state.dim(2)) +
                                 " inputs, expected width - 1 = " + std::to_string(width - 1));
  }
}

// A_log is the logarithm of -A, as models store it.
struct MambaStepScan {
  Tensor scan_state, u, z, projected, dt_weight, dt_bias, A_log, D;
  Tensor out;

  static constexpr auto row = statespace::row(
      "mambaStepScan", inout("scanState", &MambaStepScan::scan_state, "[batch, inner, states]").f32(),
      input("u", &MambaStepScan::u, "[batch, inner]"), input("z", &MambaStepScan::z, "[batch, inner]"),
      // The low-rank form of delta, then B and C.
      input("projected", &MambaStepScan::projected, "[batch, parts]").rows(),
      input("dtWeight", &MambaStepScan::dt_weight, "[inner, rank]").rows(),
      input("dtBias", &MambaStepScan::dt_bias, "[inner]").floating(),
      input("ALog", &MambaStepScan::A_log, "[inner, states]").f32(), input("D", &MambaStepScan::D, "[inner]").f32(),
      output("out", &MambaStepScan::out, "[batch, inner]"));
};

inline void check(const MambaStepScan& op) {
  const int64_t wanted = op.dt_weight.dim(1) + 2 * op.A_log.dim(1);
  if (op.projected.dim(1) != wanted) {
    throw Error("ERR_SHAPE", "mambaStepScan: projected has " + std::to_string(op.projected.dim(1)) +
                                 " columns, expected rank + 2 states = " + std::to_string(wanted));
  }
}

struct MambaStepOutput {
  Tensor residual, x, weight, bias;

  static constexpr auto row =
      statespace::row("mambaStepOutput", inout("residual", &MambaStepOutput::residual, "[batch, dim]").f32(),
                      input("x", &MambaStepOutput::x, "[batch, inner]").rows(),
                      input("weight", &MambaStepOutput::weight, "[dim, inner]").rows(),
                      maybe("bias", &MambaStepOutput::bias, "[dim]").floating());
};

}  // namespace statespace
