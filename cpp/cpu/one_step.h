// One step of a selective scan as the scan of a sequence of length 1 from the state to the state, so that decoding
// gives the bits of the whole sequence.
#pragma once
#include "cpp/core/tensor.h"
#include "cpp/cpu/simd_vector.h"

namespace statespace::cpu::STATESPACE_ISA {

// [batch, rest...] as [batch, 1, rest...].
inline Tensor with_step(const Tensor& t) {
  Tensor result = t;
  if (!t) return result;
  for (int i = t.rank; i > 1; --i) {
    result.shape[i] = t.shape[i - 1];
    result.strides[i] = t.strides[i - 1];
  }
  result.shape[1] = 1;
  result.strides[1] = 0;
  ++result.rank;
  return result;
}

template <class Scan, class Update>
Scan scan_of_one_step(const Update& op) {
  Scan scan{};
  scan.u = with_step(op.x);
  scan.delta = with_step(op.dt);
  scan.A = op.A;
  scan.B = with_step(op.B);
  scan.C = with_step(op.C);
  scan.D = op.D;
  scan.z = with_step(op.z);
  scan.delta_bias = op.dt_bias;
  scan.initial_state = op.state;
  scan.delta_softplus = op.dt_softplus;
  scan.checkpoint_every = 1;
  scan.out = with_step(op.out);
  scan.last_state = op.state;
  return scan;
}

}  // namespace statespace::cpu::STATESPACE_ISA
