// y = x / (1 - p) where a uniform number of (seed, offset, index) is at least p, else 0. The mask is never stored:
// backward is the same op on dy.
#pragma once
#include "cpp/core/op.h"

namespace statespace {

struct Dropout {
  Tensor x;
  double p;
  int64_t seed, offset;
  Tensor y;

  static constexpr auto row =
      statespace::row("dropout", input("x", &Dropout::x, "[...]"), attribute("p", &Dropout::p, "probability of a zero"),
                      attribute("seed", &Dropout::seed, "key of the generator"),
                      attribute("offset", &Dropout::offset, "number of the draw"), output("y", &Dropout::y, "[...]"));
};

}  // namespace statespace
