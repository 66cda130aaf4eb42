// One thread for each mode, in double.
#include "cpp/ops/s4d_discretize.h"

#include "cuda/kernels/floats.cuh"
#include "cuda/kernels/s4d_rule.cuh"
#include "cuda/kernels/state_sums.cuh"

namespace statespace::cuda {
namespace {

__global__ void __launch_bounds__(kElementwiseThreads)
    s4d_discretize_kernel(DiagonalSystem system, float* discrete_A, float* discrete_B) {
  const int64_t i = global_thread();
  if (i >= system.modes) return;
  const Rule rule = rule_of(system, i);
  store_complex(discrete_A, i, rule.decay);
  store_complex(discrete_B, i, rule.f * input_of(system, i));
}

// An output that nothing depended on has a null gradient.
__global__ void __launch_bounds__(kElementwiseThreads)
    s4d_discretize_backward_kernel(DiagonalSystem system, const float* ddiscrete_A, const float* ddiscrete_B,
                                   double* ddt, float* dA, float* dB) {
  const int64_t i = global_thread();
  if (i >= system.modes) return;
  const Rule rule = rule_of(system, i);
  const Complex<double> zero = {0, 0}, ddecay = ddiscrete_A ? load_complex(ddiscrete_A, i) : zero;
  const Complex<double> df_b = ddiscrete_B ? load_complex(ddiscrete_B, i) : zero, df = df_b * conj(input_of(system, i));
  store_complex(dA, i, ddecay * conj(rule.decay_by_a) + df * conj(rule.f_by_a));
  if (dB) store_complex(dB, i, df_b * conj(rule.f));
  ddt[i] = (ddecay * conj(rule.decay_by_dt) + df * conj(rule.f_by_dt)).re;
}

}  // namespace

template <>
void run(const S4dDiscretizeForward& op, Context& context) {
  const DiagonalSystem system = system_of(op);
  launch_each(s4d_discretize_kernel, system.modes, context, system, op.discrete_A.as<float>(),
              op.discrete_B.as<float>());
}

template <>
void run(const S4dDiscretizeBackward& op, Context& context) {
  const DiagonalSystem system = system_of(op);
  double* ddt = context.scratch<double>(static_cast<size_t>(system.modes));
  launch_each(s4d_discretize_backward_kernel, system.modes, context, system, op.ddiscrete_A.as<float>(),
              op.ddiscrete_B.as<float>(), ddt, op.dA.as<float>(), op.B ? op.dB.as<float>() : nullptr);
  sum_states(ddt, op.A.dim(0), system.states, op.ddt.as<float>(), context);
}

}  // namespace statespace::cuda
