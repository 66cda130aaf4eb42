// The convolution kernel of diagonal plus low rank state space models under the bilinear rule (S4, Gu et al. 2021;
// math.md 2.5), one of each conjugate pair of states stored: with M h = A h - sum over r of P_r 2 Re(P_r* h),
//   (1 - dt M / 2) h[l] = (1 + dt M / 2) h[l - 1],  (1 - dt M / 2) h[0] = dt B,  K[d][l] = 2 Re(C h[l]).
// Complex numbers are (re, im) pairs, and a complex gradient is dL/dRe + i dL/dIm.
#pragma once
#include "cpp/core/error.h"
#include "cpp/core/op.h"
#include "cpp/ops/s4d_kernel.h"

namespace statespace {

constexpr int64_t kMaxLowRank = 4;
constexpr int64_t kMaxS4KernelLength = int64_t{1} << 23;

struct S4KernelForward {
  Tensor dt, A, P, B, C;
  int64_t length;
  Tensor K;

  static constexpr auto row = statespace::row("s4KernelForward", input("dt", &S4KernelForward::dt, "[dim]").f32(),
                                              input("A", &S4KernelForward::A, "[dim, states, pair]").f32(),
                                              input("P", &S4KernelForward::P, "[rank, dim, states, pair]").f32(),
                                              input("B", &S4KernelForward::B, "[dim, states, pair]").f32(),
                                              input("C", &S4KernelForward::C, "[dim, states, pair]").f32(),
                                              attribute("length", &S4KernelForward::length, "positions of the kernel"),
                                              output("K", &S4KernelForward::K, "[dim, length]").f32());

  static int64_t extent(const S4KernelForward& op, std::string_view) { return op.length; }
};

struct S4KernelBackward {
  Tensor dK, dt, A, P, B, C;
  Tensor ddt, dA, dP, dB, dC;

  static constexpr auto row = statespace::row(
      "s4KernelBackward", input("dK", &S4KernelBackward::dK, "[dim, length]").f32(),
      input("dt", &S4KernelBackward::dt, "[dim]").f32(), input("A", &S4KernelBackward::A, "[dim, states, pair]").f32(),
      input("P", &S4KernelBackward::P, "[rank, dim, states, pair]").f32(),
      input("B", &S4KernelBackward::B, "[dim, states, pair]").f32(),
      input("C", &S4KernelBackward::C, "[dim, states, pair]").f32(),
      output("ddt", &S4KernelBackward::ddt, "[dim]").f32(),
      output("dA", &S4KernelBackward::dA, "[dim, states, pair]").f32(),
      output("dP", &S4KernelBackward::dP, "[rank, dim, states, pair]").f32(),
      output("dB", &S4KernelBackward::dB, "[dim, states, pair]").f32(),
      output("dC", &S4KernelBackward::dC, "[dim, states, pair]").f32());
};

// What every op on a diagonal plus low rank system needs of A and P.
template <typename Op>
void check_low_rank_system(const Op& op) {
  check_pairs(op);
  if (op.P.dim(0) >= 1 && op.P.dim(0) <= kMaxLowRank) return;
  throw Error("ERR_SHAPE", std::string(Op::row.name) + ": P has rank " + std::to_string(op.P.dim(0)) +
                               ", expected 1 to " + std::to_string(kMaxLowRank));
}

template <typename Op>
void check_s4_kernel(const Op& op, int64_t length) {
  check_low_rank_system(op);
  if (length < 1 || length > kMaxS4KernelLength) {
    throw Error("ERR_ARGUMENT", std::string(Op::row.name) + ": length is " + std::to_string(length) +
                                    ", expected 1 to " + std::to_string(kMaxS4KernelLength));
  }
}
inline void check(const S4KernelForward& op) { check_s4_kernel(op, op.length); }
inline void check(const S4KernelBackward& op) { check_s4_kernel(op, op.dK.dim(1)); }

}  // namespace statespace
