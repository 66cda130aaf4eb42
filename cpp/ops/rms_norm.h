// sum = x + residual (float32);  y = sum / rms(sum) * weight, over the last axis (Zhang & Sennrich 2019).
#pragma once
#include "cpp/core/op.h"

namespace statespace {

struct RmsNormForward {
  Tensor x, weight, residual;
  double eps;
  DType dtype;
  Tensor y, sum, inverse_rms;

  static constexpr auto row = statespace::row(
      "rmsNormForward", input("x", &RmsNormForward::x, "[..., dim]").floating(),
      input("weight", &RmsNormForward::weight, "[dim]").f32(),
      maybe("residual", &RmsNormForward::residual, "[..., dim]").f32(),
      attribute("eps", &RmsNormForward::eps, "added to the mean square"),
      attribute("dtype", &RmsNormForward::dtype, "element type of y"),
      output("y", &RmsNormForward::y, "[..., dim]").as(&RmsNormForward::dtype),
      output("sum", &RmsNormForward::sum, "[..., dim]").f32().when([](const auto& op) { return bool(op.residual); }),
      output("inverseRms", &RmsNormForward::inverse_rms, "[...]").f32());
};

struct RmsNormBackward {
  Tensor dy, x, weight, inverse_rms, dsum;
  DType dtype;
  bool with_residual;
  Tensor dx, dresidual, dweight;

  static constexpr auto row = statespace::row(
      "rmsNormBackward", input("dy", &RmsNormBackward::dy, "[..., dim]").floating(),
      // What was normalised: `sum` where there was a residual, else x.
      input("x", &RmsNormBackward::x, "[..., dim]").floating(),
      input("weight", &RmsNormBackward::weight, "[dim]").f32(),
      input("inverseRms", &RmsNormBackward::inverse_rms, "[...]").f32(),
      maybe("dsum", &RmsNormBackward::dsum, "[..., dim]").f32(),
      attribute("dtype", &RmsNormBackward::dtype, "element type of dx"),
      attribute("withResidual", &RmsNormBackward::with_residual, "also return the gradient in float32 as dresidual"),
      output("dx", &RmsNormBackward::dx, "[..., dim]").as(&RmsNormBackward::dtype),
      output("dresidual", &RmsNormBackward::dresidual, "[..., dim]").f32().when([](const auto& op) {
        return op.with_residual;
      }),
      output("dweight", &RmsNormBackward::dweight, "[dim]").f32());
};

}  // namespace statespace
