// AdamW on one flat bucket of parameters (Loshchilov & Hutter 2019):
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr (m / c1 / (sqrt(v / c2) + eps) + weight_decay p).
#pragma once
#include "cpp/core/op.h"

namespace statespace {

struct AdamW {
  Tensor parameter, gradient, m, v, hyperparameters, gradient_scale, copy;

  static constexpr auto row =
      statespace::row("adamw", inout("parameter", &AdamW::parameter, "[size]").f32(),
                      input("gradient", &AdamW::gradient, "[size]").f32(), inout("m", &AdamW::m, "[size]").f32(),
                      inout("v", &AdamW::v, "[size]").f32(),
                      // lr, b1, 1 - b1, b2, 1 - b2, eps, weight_decay, c1 = 1 - b1^step, c2 = 1 - b2^step: in memory,
                      // so that a recorded step can change. 1 - b is given, since 1 - 0.999f is off by 1.3e-5 of 0.001.
                      input("hyperparameters", &AdamW::hyperparameters, "[nine]").f32(),
                      // Multiplies the gradient; not finite means that this step is skipped.
                      maybe("gradientScale", &AdamW::gradient_scale, "[]").f32(),
                      // A 16-bit copy of the parameters, refreshed in the same pass.
                      maybe("copy", &AdamW::copy, "[size]").floating());
};

// Sum of squares of one bucket, in an order fixed by its size.
struct SumSquares {
  Tensor x;
  Tensor y;

  static constexpr auto row = statespace::row("sumSquares", input("x", &SumSquares::x, "[size]").f32(),
                                              output("y", &SumSquares::y, "[]").f32());
};

// norm = sqrt(sum of squares);  scale = min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_.
struct ClipScale {
  Tensor squares;
  double max_norm;
  Tensor norm, scale;

  static constexpr auto row =
      statespace::row("clipScale", input("squares", &ClipScale::squares, "[buckets]").f32(),
                      attribute("maxNorm", &ClipScale::max_norm, "largest norm that is left alone"),
                      output("norm", &ClipScale::norm, "[]").f32(), output("scale", &ClipScale::scale, "[]").f32());
};

}  // namespace statespace
