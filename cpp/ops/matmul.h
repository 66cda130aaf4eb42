// Batched matrix product y = a b over the last two axes; the leading axes are equal (a caller broadcasts by strides of
// 0).
#pragma once
#include "cpp/core/op.h"

namespace statespace {

struct Matmul {
  Tensor a, b;
  Tensor y;

  static constexpr auto row = statespace::row("matmul", input("a", &Matmul::a, "[..., rows, inner]").any_layout(),
                                              input("b", &Matmul::b, "[..., inner, columns]").any_layout(),
                                              output("y", &Matmul::y, "[..., rows, columns]"));
};

}  // namespace statespace
