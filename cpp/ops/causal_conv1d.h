// Depthwise causal convolution along the length, with an optional SiLU:
//   out[t, d] = act(bias[d] + sum over k < width of weight[d, k] x[t - width + 1 + k, d]).
#pragma once
#include "cpp/core/error.h"
#include "cpp/core/op.h"

namespace statespace {

struct CausalConv1dForward {
  Tensor x, weight, bias, initial_state, cu_seqlens;
  bool silu, return_final_state;
  Tensor out, final_state;

  static constexpr auto row = statespace::row(
      "causalConv1dForward", input("x", &CausalConv1dForward::x, "[batch, length, dim]").strided(),
      input("weight", &CausalConv1dForward::weight, "[dim, width]").f32(),
      maybe("bias", &CausalConv1dForward::bias, "[dim]").f32(),
      // The inputs before the first step, oldest first.
      maybe("initialState", &CausalConv1dForward::initial_state, "[sequences, dim, window]"),
      maybe("cuSeqlens", &CausalConv1dForward::cu_seqlens, "[boundaries]").i32(),
      attribute("silu", &CausalConv1dForward::silu, "apply SiLU to the result"),
      attribute("returnFinalState", &CausalConv1dForward::return_final_state, "return the last width - 1 inputs"),
      output("out", &CausalConv1dForward::out, "[batch, length, dim]").strided(),
      output("finalState", &CausalConv1dForward::final_state, "[sequences, dim, window]")
          .when([](const CausalConv1dForward& op) { return op.return_final_state; }));

  static int64_t extent(const CausalConv1dForward& op, std::string_view symbol) {
    if (symbol == "sequences") return op.cu_seqlens ? op.cu_seqlens.dim(0) - 1 : op.x.dim(0);
    return op.weight.dim(1) - 1;  // window
  }
};

struct CausalConv1dBackward {
  Tensor dout, x, weight, bias, initial_state, cu_seqlens, dfinal_state;
  bool silu;
  Tensor dx, dweight, dbias, dinitial_state;

  static constexpr auto row = statespace::row(
      "causalConv1dBackward", input("dout", &CausalConv1dBackward::dout, "[batch, length, dim]").strided(),
      input("x", &CausalConv1dBackward::x, "[batch, length, dim]").strided(),
      input("weight", &CausalConv1dBackward::weight, "[dim, width]").f32(),
      maybe("bias", &CausalConv1dBackward::bias, "[dim]").f32(),
      maybe("initialState", &CausalConv1dBackward::initial_state, "[sequences, dim, window]"),
      maybe("cuSeqlens", &CausalConv1dBackward::cu_seqlens, "[boundaries]").i32(),
      maybe("dfinalState", &CausalConv1dBackward::dfinal_state, "[sequences, dim, window]"),
      attribute("silu", &CausalConv1dBackward::silu, "as in forward"),
      output("dx", &CausalConv1dBackward::dx, "[batch, length, dim]").strided(),
      output("dweight", &CausalConv1dBackward::dweight, "[dim, width]").f32(),
      output("dbias", &CausalConv1dBackward::dbias, "[dim]").f32().when([](const CausalConv1dBackward& op) {
        return bool(op.bias);
      }),
      output("dinitialState", &CausalConv1dBackward::dinitial_state, "[sequences, dim, window]")
          .when([](const CausalConv1dBackward& op) { return bool(op.initial_state); }));
};

constexpr int64_t kMaxConvWidth = 8;

template <typename Op>
void check_causal_conv1d(const Op& op, const Tensor& state, const char* state_name) {
  auto fail = [](const std::string& what) { throw Error("ERR_SHAPE", std::string(Op::row.name) + ": " + what); };
  const int64_t width = op.weight.dim(1);
  if (width < 1 || width > kMaxConvWidth) {
    fail("weight has width " + std::to_string(width) + ", expected 1 to " + std::to_string(kMaxConvWidth));
  }
  if (op.cu_seqlens && op.x.dim(0) != 1) {
    fail("cuSeqlens packs sequences along a batch of 1, found a batch of " + std::to_string(op.x.dim(0)));
  }
  if (op.cu_seqlens && op.cu_seqlens.dim(0) < 2) fail("cuSeqlens needs at least 2 entries (sequences + 1)");
  const int64_t sequences = op.cu_seqlens ? op.cu_seqlens.dim(0) - 1 : op.x.dim(0);
  if (state && (state.dim(0) != sequences || state.dim(2) != width - 1)) {
    fail(std::string(state_name) + " is [" + std::to_string(state.dim(0)) + ", " + std::to_string(state.dim(1)) + ", " +
         std::to_string(state.dim(2)) + "], expected [sequences = " + std::to_string(sequences) +
         ", dim, width - 1 = " + std::to_string(width - 1) + "]");
  }
}
inline void check(const CausalConv1dForward& op) { check_causal_conv1d(op, op.initial_state, "initialState"); }
inline void check(const CausalConv1dBackward& op) {
  check_causal_conv1d(op, op.initial_state, "initialState");
  check_causal_conv1d(op, op.dfinal_state, "dfinalState");
}

}  // namespace statespace
