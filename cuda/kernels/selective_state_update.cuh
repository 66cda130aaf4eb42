// One step of the selective scan for decoding, for the kernels that share it: the arithmetic and its order are those of
// the scan, so that decoding continues a prefill bit for bit.
#pragma once

#include <algorithm>

#include "cuda/kernels/selective_scan_rows.cuh"
#include "cuda/kernels/selective_scan_step.cuh"
#include "cuda/runtime/context.h"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda::selective_scan {

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

// Where a thread is: four states of every part of a channel's states. Threads without a channel stay for the shuffles.
struct UpdateThread {
  int64_t batch, channel;  // of the channel 0, where there is none
  int first_state;
  bool is_channel;
};

template <typename T>
__device__ UpdateThread update_thread(const UpdateParams<T>& p) {
  const int64_t thread = blockIdx.x % p.blocks_per_row * kUpdateThreads + threadIdx.x;
  const int64_t channel = thread / p.lanes;
  const bool is_channel = channel < p.dim;
  return {blockIdx.x / p.blocks_per_row, is_channel ? channel : 0, static_cast<int>(thread % p.lanes) * kUpdateStates,
          is_channel};
}

// h = exp(dt A) h + dt x B in place, out = (C h + D x) silu(z). p.A holds A, or with kLogarithm log(-A).
template <bool kLogarithm, typename T>
__device__ void update_channel(const UpdateParams<T>& p, const UpdateThread& me, float dt) {
  const auto& [batch, own, first_state, is_channel] = me;
  const int64_t group = own / p.channels_per_group;
  const float x = to_float(p.x.row(batch, 0)[own]);
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
    for (int i = 0; i < kUpdateStates; ++i) {
      if constexpr (kLogarithm) A[i] = i < count ? -expf(A[i]) : 0.0f;
      h[i] = advance(h[i], dt, mul_rn(A[i], kLog2E), dt_x, B[i]);
    }
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

// The layout of the threads, once the tensors are set.
template <typename T>
LaunchShape plan_update(UpdateParams<T>& p, int64_t batch, int64_t groups) {
  p.channels_per_group = p.dim / groups;
  p.lanes = 1;
  while (p.lanes * kUpdateStates < std::min<int64_t>(p.states, kStatesPerPart)) p.lanes *= 2;
  p.blocks_per_row = ceil_div<int64_t>(p.dim * p.lanes, kUpdateThreads);
  p.vectorizable_state = p.states % kUpdateStates == 0 && is_aligned(p.state, 16) && is_aligned(p.A, 16);
  p.vectorizable_B_and_C = p.B.is_vectorizable() && p.C.is_vectorizable();
  return {dim3(static_cast<unsigned>(batch * p.blocks_per_row)), dim3(kUpdateThreads)};
}

}  // namespace statespace::cuda::selective_scan
