// y = scale * sum of x over the middle axis, accumulated in float32 in an order fixed by the shape.
#pragma once
#include "cpp/core/op.h"

namespace statespace {

struct Sum {
  Tensor x;
  double scale;
  Tensor y;

  static constexpr auto row =
      statespace::row("sum", input("x", &Sum::x, "[outer, length, inner]"),
                      attribute("scale", &Sum::scale, "factor of the sum"), output("y", &Sum::y, "[outer, inner]"));
};

}  // namespace statespace
