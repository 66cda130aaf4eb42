// Writes a whole tensor: a constant, a ramp, or random numbers that depend only on (seed, offset, index).
#pragma once
#include "cpp/core/op.h"

namespace statespace {

struct Fill {
  Tensor target;
  double value;

  static constexpr auto row = statespace::row("fill", inout("target", &Fill::target, "[...]").any_dtype().any_layout(),
                                              attribute("value", &Fill::value, "written everywhere"));
};

struct Arange {
  Tensor target;
  double start, step;

  static constexpr auto row = statespace::row("arange", inout("target", &Arange::target, "[...]").any_dtype(),
                                              attribute("start", &Arange::start, "first value"),
                                              attribute("step", &Arange::step, "from one value to the next"));
};

// Philox 4x32-10 (Salmon et al. 2011), the same numbers on every device: element i takes word i % 4 of counter i / 4.
struct RandomUniform {
  Tensor target;
  double low, high;
  int64_t seed, offset;

  static constexpr auto row = statespace::row(
      "randomUniform", inout("target", &RandomUniform::target, "[...]").floating(),
      attribute("low", &RandomUniform::low, "least value"), attribute("high", &RandomUniform::high, "upper bound"),
      attribute("seed", &RandomUniform::seed, "key of the generator"),
      attribute("offset", &RandomUniform::offset, "number of the draw"));
};

struct RandomNormal {
  Tensor target;
  double mean, std;
  int64_t seed, offset;

  static constexpr auto row = statespace::row(
      "randomNormal", inout("target", &RandomNormal::target, "[...]").floating(),
      attribute("mean", &RandomNormal::mean, "mean"), attribute("std", &RandomNormal::std, "standard deviation"),
      attribute("seed", &RandomNormal::seed, "key of the generator"),
      attribute("offset", &RandomNormal::offset, "number of the draw"));
};

}  // namespace statespace
