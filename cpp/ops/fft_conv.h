// Long convolution along the length, a kernel for each channel (math.md 2.6 and 2.8):
//   y[t] = sum over j of k0[j] u[t - j] + sum over j of k1[j] u[t + 1 + j] + D u[t],
// k1 in the second direction only. Taps that reach over the whole length do not count.
#pragma once
#include "cpp/core/error.h"
#include "cpp/core/op.h"

namespace statespace {

struct FftConvForward {
  Tensor u, k, D;
  Tensor y;

  static constexpr auto row = statespace::row(
      "fftConvForward", input("u", &FftConvForward::u, "[batch, length, dim]").strided(),
      input("k", &FftConvForward::k, "[directions, dim, taps]").f32(), maybe("D", &FftConvForward::D, "[dim]").f32(),
      output("y", &FftConvForward::y, "[batch, length, dim]"));
};

struct FftConvBackward {
  Tensor dy, u, k, D;
  Tensor du, dk, dD;

  static constexpr auto row = statespace::row(
      "fftConvBackward", input("dy", &FftConvBackward::dy, "[batch, length, dim]").strided(),
      input("u", &FftConvBackward::u, "[batch, length, dim]").strided(),
      input("k", &FftConvBackward::k, "[directions, dim, taps]").f32(), maybe("D", &FftConvBackward::D, "[dim]").f32(),
      output("du", &FftConvBackward::du, "[batch, length, dim]"),
      output("dk", &FftConvBackward::dk, "[directions, dim, taps]").f32(),
      output("dD", &FftConvBackward::dD, "[dim]").f32().when([](const FftConvBackward& op) { return bool(op.D); }));
};

template <typename Op>
void check_fft_conv(const Op& op) {
  const std::string name = Op::row.name;
  if (op.k.dim(0) != 1 && op.k.dim(0) != 2) {
    throw Error("ERR_SHAPE", name + ": k has " + std::to_string(op.k.dim(0)) + " directions, expected 1 or 2");
  }
  if (op.k.dim(2) < 1) throw Error("ERR_SHAPE", name + ": k has no taps, expected at least 1");
  if (op.u.dim(1) > int64_t{1} << 23) {
    throw Error("ERR_SHAPE", name + ": length = " + std::to_string(op.u.dim(1)) + ", expected at most " +
                                 std::to_string(int64_t{1} << 23));
  }
}
inline void check(const FftConvForward& op) { check_fft_conv(op); }
inline void check(const FftConvBackward& op) { check_fft_conv(op); }

}  // namespace statespace
