// The discrete systems of diagonal state space models, by the rules of s4d_kernel.h: Ā and B̄ = f B.
#pragma once
#include "cpp/core/op.h"
#include "cpp/ops/s4d_kernel.h"

namespace statespace {

struct S4dDiscretizeForward {
  Tensor dt, A, B;
  bool bilinear;
  Tensor discrete_A, discrete_B;

  static constexpr auto row = statespace::row(
      "s4dDiscretizeForward", input("dt", &S4dDiscretizeForward::dt, "[dim]").f32(),
      input("A", &S4dDiscretizeForward::A, "[dim, states, pair]").f32(),
      maybe("B", &S4dDiscretizeForward::B, "[dim, states, pair]").f32(),
      attribute("bilinear", &S4dDiscretizeForward::bilinear, "the bilinear rule instead of zero-order hold"),
      output("discreteA", &S4dDiscretizeForward::discrete_A, "[dim, states, pair]").f32(),
      output("discreteB", &S4dDiscretizeForward::discrete_B, "[dim, states, pair]").f32());
};

struct S4dDiscretizeBackward {
  Tensor ddiscrete_A, ddiscrete_B, dt, A, B;
  bool bilinear;
  Tensor ddt, dA, dB;

  static constexpr auto row = statespace::row(
      "s4dDiscretizeBackward", maybe("ddiscreteA", &S4dDiscretizeBackward::ddiscrete_A, "[dim, states, pair]").f32(),
      maybe("ddiscreteB", &S4dDiscretizeBackward::ddiscrete_B, "[dim, states, pair]").f32(),
      input("dt", &S4dDiscretizeBackward::dt, "[dim]").f32(),
      input("A", &S4dDiscretizeBackward::A, "[dim, states, pair]").f32(),
      maybe("B", &S4dDiscretizeBackward::B, "[dim, states, pair]").f32(),
      attribute("bilinear", &S4dDiscretizeBackward::bilinear, "as in forward"),
      output("ddt", &S4dDiscretizeBackward::ddt, "[dim]").f32(),
      output("dA", &S4dDiscretizeBackward::dA, "[dim, states, pair]").f32(),
      output("dB", &S4dDiscretizeBackward::dB, "[dim, states, pair]").f32().when([](const S4dDiscretizeBackward& op) {
        return bool(op.B);
      }));
};

inline void check(const S4dDiscretizeForward& op) { check_pairs(op); }
inline void check(const S4dDiscretizeBackward& op) { check_pairs(op); }

}  // namespace statespace
