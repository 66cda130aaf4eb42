// One mode at a time, in double.
#include "cpp/ops/s4d_discretize.h"

#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/s4d_rule.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

STATESPACE_INLINE Complex load_pair_or(const Tensor& t, int64_t i, Complex absent) {
  return t ? load_pair(t, i) : absent;
}

}  // namespace

template <>
void run(const S4dDiscretizeForward& op) {
  parallel_blocks(op.A.shape[0] * op.A.shape[1], 256, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      const Rule rule = rule_of(op, i);
      store_pair(op.discrete_A, i, rule.decay);
      store_pair(op.discrete_B, i, rule.f * load_pair_or(op.B, i, {1, 0}));
    }
  });
}

template <>
void run(const S4dDiscretizeBackward& op) {
  const int64_t states = op.A.shape[1];
  parallel_for(op.A.shape[0], 16, [&](int64_t d) {
    double ddt = 0;
    for (int64_t i = d * states; i < (d + 1) * states; ++i) {
      const Rule rule = rule_of(op, i);
      const Complex ddecay = load_pair_or(op.ddiscrete_A, i, {0, 0}), df_b = load_pair_or(op.ddiscrete_B, i, {0, 0});
      const Complex df = df_b * conj(load_pair_or(op.B, i, {1, 0}));
      store_pair(op.dA, i, ddecay * conj(rule.decay_by_a) + df * conj(rule.f_by_a));
      if (op.B) store_pair(op.dB, i, df_b * conj(rule.f));
      ddt += (ddecay * conj(rule.decay_by_dt) + df * conj(rule.f_by_dt)).re;
    }
    static_cast<float*>(op.ddt.data)[d] = static_cast<float>(ddt);
  });
}

}  // namespace statespace::cpu::STATESPACE_ISA
