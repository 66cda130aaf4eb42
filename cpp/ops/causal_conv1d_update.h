// A few steps of the causal convolution for decoding; the state, the last inputs with the oldest first, is updated in
// place. With cache_seqlens the state is a ring: the next input goes to index cache_seqlens % window.
#pragma once
#include "cpp/core/error.h"
#include "cpp/ops/causal_conv1d.h"

namespace statespace {

struct CausalConv1dUpdate {
  Tensor x, conv_state, weight, bias, cache_seqlens;
  bool silu;
  Tensor out;

  static constexpr auto row =
      statespace::row("causalConv1dUpdate", input("x", &CausalConv1dUpdate::x, "[batch, length, dim]").strided(),
                      inout("convState", &CausalConv1dUpdate::conv_state, "[batch, dim, window]"),
                      input("weight", &CausalConv1dUpdate::weight, "[dim, width]").f32(),
                      maybe("bias", &CausalConv1dUpdate::bias, "[dim]").f32(),
                      maybe("cacheSeqlens", &CausalConv1dUpdate::cache_seqlens, "[batch]").i32(),
                      attribute("silu", &CausalConv1dUpdate::silu, "apply SiLU to the result"),
                      output("out", &CausalConv1dUpdate::out, "[batch, length, dim]"));
};

inline void check(const CausalConv1dUpdate& op) {
  const int64_t width = op.weight.dim(1), window = op.conv_state.dim(2);
  if (width < 1 || width > kMaxConvWidth) {
    throw Error("ERR_SHAPE", "causalConv1dUpdate: weight has width " + std::to_string(width) + ", expected 1 to " +
                                 std::to_string(kMaxConvWidth));
  }
  if (window < width - 1) {
    throw Error("ERR_SHAPE", "causalConv1dUpdate: convState holds " + std::to_string(window) +
                                 " inputs, expected at least width - 1 = " + std::to_string(width - 1));
  }
}

}  // namespace statespace
