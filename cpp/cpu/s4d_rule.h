// From a mode of a diagonal system, A and dt, to its discrete one; the rules of cpp/ops/s4d_kernel.h.
#pragma once
#include "cpp/cpu/complex.h"

namespace statespace::cpu::STATESPACE_ISA {

// (e^z - 1) / z and (e^z - 1 - z) / z^2, by their series where the quotients cancel.
STATESPACE_INLINE Complex phi(int k, Complex z, Complex exp_z) {
  if (z.re * z.re + z.im * z.im > 1) {
    const Complex inverse = reciprocal(z), first = (exp_z - Complex{1, 0}) * inverse;
    return k == 1 ? first : (first - Complex{1, 0}) * inverse;
  }
  Complex sum = {1, 0};
  for (int j = 20; j >= 1; --j) sum = Complex{1, 0} + (1.0 / (k + j)) * (z * sum);
  return (1.0 / k) * sum;
}

// Ā and f with their derivatives by A and by dt.
struct Rule {
  Complex decay, f, decay_by_a, decay_by_dt, f_by_a, f_by_dt;
};
STATESPACE_INLINE Rule discretize(Complex a, double dt, bool bilinear) {
  const Complex z = dt * a, one = {1, 0};
  if (bilinear) {
    const Complex s = reciprocal(one - 0.5 * z), s2 = s * s;
    return {(one + 0.5 * z) * s, dt * s, dt * s2, a * s2, (dt * dt / 2) * s2, s2};
  }
  const Complex decay = exp(z), phi1 = phi(1, z, decay);
  return {decay, dt * phi1, dt * decay, a * decay, (dt * dt) * (phi1 - phi(2, z, decay)), decay};
}

template <typename Op>
STATESPACE_INLINE Rule rule_of(const Op& op, int64_t mode) {
  const float dt = static_cast<const float*>(op.dt.data)[mode / op.A.shape[1]];
  return discretize(load_pair(op.A, mode), dt, op.bilinear);
}

}  // namespace statespace::cpu::STATESPACE_ISA
