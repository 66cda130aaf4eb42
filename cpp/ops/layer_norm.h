// sum = x + residual (float32);  y = (sum - mean) / sqrt(var + eps) * weight + bias, over the last axis.
#pragma once
#include "cpp/core/op.h"

namespace statespace {

struct LayerNormForward {
  Tensor x, weight, bias, residual;
  double eps;
  DType dtype;
  Tensor y, sum, mean, inverse_std;

  static constexpr auto row = statespace::row(
      "layerNormForward", input("x", &LayerNormForward::x, "[..., dim]").floating(),
      input("weight", &LayerNormForward::weight, "[dim]").f32(), maybe("bias", &LayerNormForward::bias, "[dim]").f32(),
      maybe("residual", &LayerNormForward::residual, "[..., dim]").f32(),
      attribute("eps", &LayerNormForward::eps, "added to the variance"),
      attribute("dtype", &LayerNormForward::dtype, "element type of y"),
      output("y", &LayerNormForward::y, "[..., dim]").as(&LayerNormForward::dtype),
      output("sum", &LayerNormForward::sum, "[..., dim]").f32().when([](const auto& op) { return bool(op.residual); }),
      output("mean", &LayerNormForward::mean, "[...]").f32(),
      output("inverseStd", &LayerNormForward::inverse_std, "[...]").f32());
};

struct LayerNormBackward {
  Tensor dy, x, weight, mean, inverse_std, dsum;
  DType dtype;
  bool with_residual, with_bias;
  Tensor dx, dresidual, dweight, dbias;

  static constexpr auto row = statespace::row(
      "layerNormBackward", input("dy", &LayerNormBackward::dy, "[..., dim]").floating(),
      input("x", &LayerNormBackward::x, "[..., dim]").floating(),
      input("weight", &LayerNormBackward::weight, "[dim]").f32(),
      input("mean", &LayerNormBackward::mean, "[...]").f32(),
      input("inverseStd", &LayerNormBackward::inverse_std, "[...]").f32(),
      maybe("dsum", &LayerNormBackward::dsum, "[..., dim]").f32(),
      attribute("dtype", &LayerNormBackward::dtype, "element type of dx"),
      attribute("withResidual", &LayerNormBackward::with_residual, "also return the gradient in float32 as dresidual"),
      attribute("withBias", &LayerNormBackward::with_bias, "also return dbias"),
      output("dx", &LayerNormBackward::dx, "[..., dim]").as(&LayerNormBackward::dtype),
      output("dresidual", &LayerNormBackward::dresidual, "[..., dim]").f32().when([](const auto& op) {
        return op.with_residual;
      }),
      output("dweight", &LayerNormBackward::dweight, "[dim]").f32(),
      output("dbias", &LayerNormBackward::dbias, "[dim]").f32().when([](const auto& op) { return op.with_bias; }));
};

}  // namespace statespace
