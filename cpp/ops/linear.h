// y = x weight^T + bias, and its two backward products. Weights are (out, in), as in PyTorch.
#pragma once
#include <string>

#include "cpp/core/error.h"
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

// A weight laid out once for many products. What lies in `packed` is the backend's affair; it has room for a multiple
// of 16 outputs.
struct LinearPack {
  Tensor weight;
  DType dtype;
  Tensor packed;

  static constexpr int64_t lanes(int64_t outputs) { return (outputs + 15) / 16 * 16; }

  static constexpr auto row =
      statespace::row("linearPack", input("weight", &LinearPack::weight, "[outputs, inputs]").rows().floating(),
                      attribute("dtype", &LinearPack::dtype, "float32 or bfloat16, as which the weight is kept"),
                      output("packed", &LinearPack::packed, "[lanes, inputs]").as(&LinearPack::dtype));

  static int64_t extent(const LinearPack& op, std::string_view) { return lanes(op.weight.dim(0)); }
};

struct LinearPackedForward {
  Tensor x, packed, bias;
  int64_t outputs;
  Tensor y;

  static constexpr auto row =
      statespace::row("linearPackedForward", input("x", &LinearPackedForward::x, "[..., inputs]").rows(),
                      input("packed", &LinearPackedForward::packed, "[lanes, inputs]").floating(),
                      maybe("bias", &LinearPackedForward::bias, "[outputs]").f32(),
                      attribute("outputs", &LinearPackedForward::outputs, "rows of the weight that was packed"),
                      output("y", &LinearPackedForward::y, "[..., outputs]").rows());

  static int64_t extent(const LinearPackedForward& op, std::string_view) { return op.outputs; }
};

inline void check(const LinearPack& op) {
  if (op.dtype != DType::float32 && op.dtype != DType::bfloat16) {
    throw Error("ERR_DTYPE",
                "linearPack: dtype is " + std::string(name_of(op.dtype)) + ", expected float32 or bfloat16");
  }
}

inline void check(const LinearPackedForward& op) {
  if (op.outputs < 0 || op.packed.dim(0) != LinearPack::lanes(op.outputs)) {
    throw Error("ERR_SHAPE", "linearPackedForward: packed has " + std::to_string(op.packed.dim(0)) +
                                 " lanes, expected " + std::to_string(LinearPack::lanes(op.outputs)) + " for " +
                                 std::to_string(op.outputs) + " outputs");
  }
}

}  // namespace statespace
