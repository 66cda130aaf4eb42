// y = x in another memory order or element type. Given a target view, it writes there: that is concat and slice
// backward.
#pragma once
#include "cpp/core/op.h"

namespace statespace {

struct Copy {
  Tensor x;
  DType dtype;
  Tensor y;

  static constexpr auto row = statespace::row("copy", input("x", &Copy::x, "[...]").any_dtype().any_layout(),
                                              attribute("dtype", &Copy::dtype, "element type of y"),
                                              output("y", &Copy::y, "[...]").as(&Copy::dtype).any_layout());
};

}  // namespace statespace
