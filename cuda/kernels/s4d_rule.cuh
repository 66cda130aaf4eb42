// From a mode of a diagonal system, A and dt, to its discrete one in double; the rules of cpp/ops/s4d_kernel.h.
#pragma once

#include "cuda/device/complex.cuh"
#include "cuda/device/platform.cuh"

namespace statespace::cuda {

struct DiagonalSystem {
  const float *dt, *A, *B, *C;  // B and C may be null
  int64_t modes, states;
  bool bilinear;
};

// (e^z - 1) / z and (e^z - 1 - z) / z^2, by their series where the quotients cancel.
__device__ inline Complex<double> phi(int k, Complex<double> z, Complex<double> exp_z) {
  const Complex<double> one = {1, 0};
  if (z.re * z.re + z.im * z.im > 1) {
    const Complex<double> inverse = reciprocal(z), first = (exp_z - one) * inverse;
    return k == 1 ? first : (first - one) * inverse;
  }
  Complex<double> sum = one;
  for (int j = 20; j >= 1; --j) sum = one + scaled(1.0 / (k + j), z * sum);
  return scaled(1.0 / k, sum);
}

// Ā and f with their derivatives by A and by dt.
struct Rule {
  Complex<double> decay, f, decay_by_a, decay_by_dt, f_by_a, f_by_dt;
};

constexpr double kPi = 3.14159265358979323846;

__device__ inline Rule discretize(Complex<double> a, double dt, bool bilinear) {
  const Complex<double> z = scaled(dt, a), one = {1, 0};
  if (bilinear) {
    const Complex<double> s = reciprocal(one - scaled(0.5, z)), s2 = s * s;
    return {(one + scaled(0.5, z)) * s, scaled(dt, s), scaled(dt, s2), a * s2, scaled(dt * dt / 2, s2), s2};
  }
  const Complex<double> decay = scaled(exp(z.re), cispi(z.im / kPi));
  const Complex<double> phi1 = phi(1, z, decay);
  return {decay, scaled(dt, phi1), scaled(dt, decay), a * decay, scaled(dt * dt, phi1 - phi(2, z, decay)), decay};
}

__device__ inline Rule rule_of(const DiagonalSystem& system, int64_t mode) {
  return discretize(load_complex(system.A, mode), static_cast<double>(system.dt[mode / system.states]),
                    system.bilinear);
}

__device__ inline Complex<double> input_of(const DiagonalSystem& system, int64_t mode) {
  return system.B ? load_complex(system.B, mode) : Complex<double>{1, 0};
}

template <typename Op>
DiagonalSystem system_of(const Op& op) {
  DiagonalSystem system = {op.dt.template as<float>(),
                           op.A.template as<float>(),
                           op.B.template as<float>(),
                           nullptr,
                           op.A.dim(0) * op.A.dim(1),
                           op.A.dim(1),
                           op.bilinear};
  if constexpr (requires { op.C; }) system.C = op.C.template as<float>();
  return system;
}

}  // namespace statespace::cuda
