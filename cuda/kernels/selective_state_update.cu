// One step of Mamba's selective scan for decoding: h = exp(dt A) h + dt x B in place, out = (C h + D x) silu(z). The
// arithmetic and its order are those of the scan, so that decoding continues a prefill bit for bit.
#include "cpp/ops/selective_state_update.h"

#include "cuda/kernels/selective_state_update.cuh"

namespace statespace::cuda {
namespace selective_scan {

template <typename T>
__global__ void __launch_bounds__(kUpdateThreads)
    selective_state_update_kernel(const __grid_constant__ UpdateParams<T> p) {
  const UpdateThread me = update_thread(p);
  const float dt = add_rn(to_float(p.dt.row(me.batch, 0)[me.channel]), p.dt_bias ? p.dt_bias[me.channel] : 0.0f);
  update_channel<false>(p, me, step_size(dt, p.dt_softplus));
}

}  // namespace selective_scan

template <>
void run(const SelectiveStateUpdate& op, Context& context) {
  using namespace selective_scan;
  const int64_t batch = op.x.dim(0), dim = op.x.dim(1), states = op.A.dim(1);
  if (batch == 0 || dim == 0) return;
  for_element_type(op.x.dtype, [&](auto element) {
    using T = decltype(element);
    UpdateParams<T> p = {};
    p.state = op.state.as<float>();
    p.x = one_step<T>(op.x), p.dt = one_step<T>(op.dt), p.z = one_step<T>(op.z);
    p.B = one_group_step<T>(op.B), p.C = one_group_step<T>(op.C);
    p.A = op.A.as<float>(), p.D = op.D.as<float>(), p.dt_bias = op.dt_bias.as<float>();
    p.out = op.out.as<T>();
    p.dim = dim, p.states = states;
    p.dt_softplus = op.dt_softplus;
    const LaunchShape shape = plan_update(p, batch, op.B.dim(1));
    launch(selective_state_update_kernel<T>, shape, context.stream, p);
  });
}

}  // namespace statespace::cuda
