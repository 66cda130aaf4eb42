// A few steps of the causal convolution for decoding, the window of last inputs updated in place.
#include "cpp/ops/causal_conv1d_update.h"

#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

namespace {

constexpr int kTaps = static_cast<int>(kMaxConvWidth);

template <typename T>
struct UpdateArguments {
  const T* x;
  int64_t x_batch, x_step;  // strides
  T* conv_state;
  const float *weight, *bias;
  const int* cache_seqlens;
  T* out;
  int64_t batch, length, dim, window;
  int width;
  bool silu;
};

__device__ int64_t ring_index(int64_t step, int64_t window) {
  const int64_t index = step % window;
  return index < 0 ? index + window : index;
}

// One thread per (batch, channel). Without cache_seqlens the state moves up; with it the state is a ring.
template <typename T>
__global__ void __launch_bounds__(kElementwiseThreads, 1) causal_conv1d_update_kernel(UpdateArguments<T> arguments) {
  const int64_t channel = global_thread() % arguments.dim, batch = global_thread() / arguments.dim;
  if (batch >= arguments.batch) return;
  const int64_t window = arguments.window, length = arguments.length;
  const int width = arguments.width;
  T* state = arguments.conv_state + (batch * arguments.dim + channel) * window;
  const T* x = arguments.x + batch * arguments.x_batch + channel;
  const int64_t position = arguments.cache_seqlens ? arguments.cache_seqlens[batch] : 0;

  // The newest input is last; a width below kTaps uses the end.
  float inputs[kTaps] = {}, weights[kTaps];
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    const int tap = k - (kTaps - width);
    weights[k] = tap >= 0 ? arguments.weight[channel * width + tap] : 0.0f;
    if (tap < 1) continue;
    const int64_t age = tap - width;  // -1 is the newest of the state
    inputs[k] = to_float(state[arguments.cache_seqlens ? ring_index(position + age, window) : window + age]);
  }
  const float bias = arguments.bias ? arguments.bias[channel] : 0.0f;
  for (int64_t step = 0; step < length; ++step) {
#pragma unroll
    for (int k = 0; k + 1 < kTaps; ++k) inputs[k] = inputs[k + 1];
    const T newest = x[step * arguments.x_step];
    inputs[kTaps - 1] = to_float(newest);
    if (arguments.cache_seqlens && window > 0) state[ring_index(position + step, window)] = newest;
    float sum = bias;
#pragma unroll
    for (int k = 0; k < kTaps; ++k) {
      if (k >= kTaps - width) sum = fma_rn(weights[k], inputs[k], sum);
    }
    arguments.out[(batch * length + step) * arguments.dim + channel] = from_float<T>(arguments.silu ? silu(sum) : sum);
  }
  if (!arguments.cache_seqlens) {
    for (int64_t i = 0; i < window; ++i) {
      const int64_t source = i + length;
      state[i] = source < window ? state[source] : x[(source - window) * arguments.x_step];
    }
  }
}

}  // namespace

template <>
void run(const CausalConv1dUpdate& op, Context& context) {
  for_floating_type(op.x.dtype, [&]<typename T>(std::type_identity<T>) {
    const UpdateArguments<T> arguments = {op.x.as<T>(),
                                          op.x.stride(0),
                                          op.x.stride(1),
                                          op.conv_state.as<T>(),
                                          op.weight.as<float>(),
                                          op.bias.as<float>(),
                                          op.cache_seqlens.as<int>(),
                                          op.out.as<T>(),
                                          op.x.dim(0),
                                          op.x.dim(1),
                                          op.x.dim(2),
                                          op.conv_state.dim(2),
                                          static_cast<int>(op.weight.dim(1)),
                                          op.silu};
    launch_each(causal_conv1d_update_kernel<T>, arguments.batch * arguments.dim, context, arguments);
  });
}

}  // namespace statespace::cuda
