// Elementwise functions of two tensors of one shape; a caller broadcasts by strides of 0.
#pragma once
#include "cpp/core/op.h"

namespace statespace {

enum class BinaryKind { add, sub, mul, div };

template <BinaryKind kKind>
struct Binary {
  static constexpr BinaryKind kind = kKind;
  static constexpr const char* kNames[] = {"add", "sub", "mul", "div"};
  Tensor a, b;
  Tensor y;

  static constexpr auto row =
      statespace::row(kNames[static_cast<int>(kKind)], input("a", &Binary::a, "[...]").any_layout(),
                      input("b", &Binary::b, "[...]").any_layout(), output("y", &Binary::y, "[...]"));
};

// y = alpha x + beta.
struct Scale {
  Tensor x;
  double alpha, beta;
  Tensor y;

  static constexpr auto row =
      statespace::row("scale", input("x", &Scale::x, "[...]"), attribute("alpha", &Scale::alpha, "factor"),
                      attribute("beta", &Scale::beta, "added"), output("y", &Scale::y, "[...]"));
};

// target += x, for gradients that meet.
struct Accumulate {
  Tensor target, x;

  static constexpr auto row = statespace::row("accumulate", inout("target", &Accumulate::target, "[...]").floating(),
                                              input("x", &Accumulate::x, "[...]").floating());
};

}  // namespace statespace
