// y = x weight^T + bias, and its two backward products. Weights are (out, in), as in PyTorch.
#pragma once
#include "cpp/core/op.h"

namespace statespace {

struct LinearForward {
  Tensor x, weight, bias;
  Tensor y;

  static constexpr auto row = statespace::row("linearForward", input("x", &LinearForward::x, "[..., inputs]").rows(),
                                              input("weight", &LinearForward::weight, "[outputs, inputs]").rows(),
                                              maybe("bias", &LinearForward::bias, "[outputs]").f32(),
                                              output("y", &LinearForward::y, "[..., outputs]").rows());
};

struct LinearBackwardInput {
  Tensor dy, weight;
  Tensor dx;

  static constexpr auto row =
      statespace::row("linearBackwardInput", input("dy", &LinearBackwardInput::dy, "[..., outputs]").rows(),
                      input("weight", &LinearBackwardInput::weight, "[outputs, inputs]").rows(),
                      output("dx", &LinearBackwardInput::dx, "[..., inputs]").rows());
};

// Gradients of parameters are float32 whatever the activations are.
struct LinearBackwardWeight {
  Tensor dy, x;
  bool with_bias;
  Tensor dweight, dbias;

  static constexpr auto row =
      statespace::row("linearBackwardWeight", input("dy", &LinearBackwardWeight::dy, "[..., outputs]").rows(),
                      input("x", &LinearBackwardWeight::x, "[..., inputs]").rows(),
                      attribute("withBias", &LinearBackwardWeight::with_bias, "also sum dy over the rows"),
                      output("dweight", &LinearBackwardWeight::dweight, "[outputs, inputs]").f32(),
                      output("dbias", &LinearBackwardWeight::dbias, "[outputs]").f32().when([](const auto& op) {
                        return op.with_bias;
                      }));
};

}  // namespace statespace
