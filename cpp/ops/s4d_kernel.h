// The convolution kernel of diagonal state space models, one of each conjugate pair of states stored (S4D, Gu et al.
// 2022, sections 3.1 and 3.3; math.md 2.4):  K[d][l] = 2 Re sum over n of C f B Ā^l, with Ā and f = B̄ / B of
//   zoh:      Ā = exp(dt A),  f = (exp(dt A) - 1) / A;
//   bilinear: Ā = (1 + dt A / 2) / (1 - dt A / 2),  f = dt / (1 - dt A / 2).
// Complex numbers are (re, im) pairs, and a complex gradient is dL/dRe + i dL/dIm.
#pragma once
#include "cpp/core/error.h"
#include "cpp/core/op.h"

namespace statespace {

// Positions are exact in float32 up to here.
constexpr int64_t kMaxKernelLength = int64_t{1} << 24;

struct S4dKernelForward {
  Tensor dt, A, B, C;
  bool bilinear;
  int64_t length;
  Tensor K;

  static constexpr auto row = statespace::row(
      "s4dKernelForward", input("dt", &S4dKernelForward::dt, "[dim]").f32(),
      input("A", &S4dKernelForward::A, "[dim, states, pair]").f32(),
      maybe("B", &S4dKernelForward::B, "[dim, states, pair]").f32(),
      input("C", &S4dKernelForward::C, "[dim, states, pair]").f32(),
      attribute("bilinear", &S4dKernelForward::bilinear, "the bilinear rule instead of zero-order hold"),
      attribute("length", &S4dKernelForward::length, "positions of the kernel"),
      output("K", &S4dKernelForward::K, "[dim, length]").f32());

  static int64_t extent(const S4dKernelForward& op, std::string_view) { return op.length; }
};

struct S4dKernelBackward {
  Tensor dK, dt, A, B, C;
  bool bilinear;
  Tensor ddt, dA, dB, dC;

  static constexpr auto row = statespace::row(
      "s4dKernelBackward", input("dK", &S4dKernelBackward::dK, "[dim, length]").f32(),
      input("dt", &S4dKernelBackward::dt, "[dim]").f32(),
      input("A", &S4dKernelBackward::A, "[dim, states, pair]").f32(),
      maybe("B", &S4dKernelBackward::B, "[dim, states, pair]").f32(),
      input("C", &S4dKernelBackward::C, "[dim, states, pair]").f32(),
      attribute("bilinear", &S4dKernelBackward::bilinear, "as in forward"),
      output("ddt", &S4dKernelBackward::ddt, "[dim]").f32(),
      output("dA", &S4dKernelBackward::dA, "[dim, states, pair]").f32(),
      output("dB", &S4dKernelBackward::dB, "[dim, states, pair]").f32().when([](const S4dKernelBackward& op) {
        return bool(op.B);
      }),
      output("dC", &S4dKernelBackward::dC, "[dim, states, pair]").f32());
};

// What every op on a diagonal system needs of A.
template <typename Op>
void check_pairs(const Op& op) {
  if (op.A.dim(2) == 2) return;
  throw Error("ERR_SHAPE", std::string(Op::row.name) + ": the last axis of A has " + std::to_string(op.A.dim(2)) +
                               " numbers, expected 2 (re, im)");
}

template <typename Op>
void check_s4d_kernel(const Op& op, int64_t length) {
  const std::string name = Op::row.name;
  check_pairs(op);
  if (length < 1 || length > kMaxKernelLength) {
    throw Error("ERR_ARGUMENT",
                name + ": length is " + std::to_string(length) + ", expected 1 to " + std::to_string(kMaxKernelLength));
  }
}
inline void check(const S4dKernelForward& op) { check_s4d_kernel(op, op.length); }
inline void check(const S4dKernelBackward& op) { check_s4d_kernel(op, op.dK.dim(1)); }

}  // namespace statespace
