// One step of Mamba's selective scan for decoding: h = exp(dt A) h + dt x B in place, out = (C h + D x) silu(z). The
// arithmetic and its order are those of the scan, so that decoding continues a prefill bit for bit.
#include "cpp/ops/selective_state_update.h"

#include <algorithm>

#include "cuda/kernels/selective_scan_rows.cuh"
#include "cuda/kernels/selective_scan_step.cuh"
#include "cuda/runtime/context.h"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda {
namespace selective_scan {

constexpr int kUpdateThreads = 128;
constexpr int kUpdateStates = 4;  // of a thread: 16 bytes of the state

template <typename T>
struct UpdateParams {
  float* state;            // [batch, dim, states]
  Rows<const T> x, dt, z;  // [batch, dim] as one step each
  GroupRows<const T> B, C;
  const float *A, *D, *dt_bias;
  T* out;  // [batch, dim]
  int64_t dim, states, channels_per_group, blocks_per_row;
  int lanes;  // that share a channel; each has four states of every part
  bool dt_softplus, vectorizable_state, vectorizable_B_and_C;
};

template <typename T>
__device__ void load_four(float (&values)[kUpdateStates], const T* from, int count, bool vectorizable) {
  if (vectorizable && count >= kUpdateStates) {
    load_floats(values, from);
  } else {
    load_floats_or_zero(values, from, count);
  }
}

template <typename T>
__global__ void __launch_bounds__(kUpdateThreads)
    selective_state_update_kernel(const __grid_constant__ UpdateParams<T> p) {
  const int64_t batch = blockIdx.x / p.blocks_per_row;
  const int64_t thread = blockIdx.x % p.blocks_per_row * kUpdateThreads + threadIdx.x;
  const int64_t channel = thread / p.lanes;
  const int first_state = static_cast<int>(thread % p.lanes) * kUpdateStates;
  const bool is_channel = channel < p.dim;
  const int64_t own = is_channel ? channel : 0, group = own / p.channels_per_group;

  const float x = to_float(p.x.row(batch, 0)[own]);
  const float dt =
      step_size(add_rn(to_float(p.dt.row(batch, 0)[own]), p.dt_bias ? p.dt_bias[own] : 0.0f), p.dt_softplus);
  const float dt_x = mul_rn(dt, x);
  float whole_sum = 0.0f;
  for (int64_t part = 0; part < p.states; part += kStatesPerPart) {
    const int64_t state = part + first_state;
    const int count = is_channel ? static_cast<int>(max(int64_t{0}, min(int64_t{kUpdateStates}, p.states - state))) : 0;
    float h[kUpdateStates] = {}, A[kUpdateStates] = {}, B[kUpdateStates] = {}, C[kUpdateStates] = {};
    float* kept = p.state + (batch * p.dim + own) * p.states + state;
    if (count > 0) {
      load_four(h, kept, count, p.vectorizable_state);
      load_four(A, p.A + own * p.states + state, count, p.vectorizable_state);
      load_four(B, p.B.row(batch, 0, group) + state, count, p.vectorizable_B_and_C);
      load_four(C, p.C.row(batch, 0, group) + state, count, p.vectorizable_B_and_C);
    }
#pragma unroll
    for (int i = 0; i < kUpdateStates; ++i) h[i] = advance(h[i], dt, mul_rn(A[i], kLog2E), dt_x, B[i]);
    if (p.vectorizable_state && count == kUpdateStates) {
      store_floats(kept, h);
    } else {
      store_first_floats(kept, h, count);
    }
    float sum = output_of(h, C);
    for (int bit = 1; bit < p.lanes; bit *= 2) sum = add_rn(sum, __shfl_xor_sync(kFullWarp, sum, bit));
    whole_sum = part == 0 ? sum : add_rn(whole_sum, sum);
  }
  if (!is_channel || first_state != 0) return;
  const float y = fma_rn(p.D ? p.D[own] : 0.0f, x, whole_sum);
  const float out = p.z ? mul_rn(y, silu(to_float(p.z.row(batch, 0)[own]))) : y;
  p.out[batch * p.dim + own] = from_float<T>(out);
}

template <typename T>
Rows<const T> one_step(const Tensor& t) {
  return t ? Rows<const T>(t.as<const T>(), t.stride(0), 0) : Rows<const T>();
}
template <typename T>
GroupRows<const T> one_group_step(const Tensor& t) {
  return GroupRows<const T>(t.as<const T>(), t.stride(0), 0, t.stride(1));
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
    p.dim = dim, p.states = states, p.channels_per_group = dim / op.B.dim(1);
    p.lanes = 1;
    while (p.lanes * kUpdateStates < std::min<int64_t>(states, kStatesPerPart)) p.lanes *= 2;
    p.blocks_per_row = ceil_div<int64_t>(dim * p.lanes, kUpdateThreads);
    p.dt_softplus = op.dt_softplus;
    p.vectorizable_state = states % kUpdateStates == 0 && is_aligned(p.state, 16) && is_aligned(p.A, 16);
    p.vectorizable_B_and_C = p.B.is_vectorizable() && p.C.is_vectorizable();
    const LaunchShape shape{dim3(static_cast<unsigned>(batch * p.blocks_per_row)), dim3(kUpdateThreads)};
    launch(selective_state_update_kernel<T>, shape, context.stream, p);
  });
}

}  // namespace statespace::cuda
