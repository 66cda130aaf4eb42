// out[t, d] = act(bias[d] + sum over k < width of weight[d, k] x[t - width + 1 + k, d]), the window sliding in
// registers.
#include "cuda/kernels/boundaries.h"
#include "cuda/kernels/causal_conv1d.cuh"

namespace statespace::cuda {

namespace {

constexpr int kTileSteps = 32;  // of one thread; the width - 1 steps before them are read again
constexpr int kChannels = 4;    // of one thread; eight leave room for half the threads

// Blocks on a multiprocessor: two, unless eight taps need the registers.
template <int kTaps>
constexpr int kBlocks = kTaps == kFewTaps ? 2 : 1;

template <typename T>
struct ForwardArguments {
  ConvShape shape;
  Steps<const T> x;
  const float *weight, *bias;
  const T* initial_state;
  Steps<T> out;
  bool silu;
  int64_t groups, tiles;  // of channels and of steps
};

// One thread per (batch, tile of steps, kChannels channels), neighbours along the channels.
// The loads of kUnroll steps are under way together.
template <typename T, int kTaps, int kUnroll>
__global__ void __launch_bounds__(kElementwiseThreads, kBlocks<kTaps>)
    causal_conv1d_kernel(ForwardArguments<T> arguments) {
  const ConvShape& shape = arguments.shape;
  const int64_t group = global_thread() % arguments.groups;
  const int64_t batch_tile = global_thread() / arguments.groups;
  const int64_t batch = batch_tile / arguments.tiles;
  if (batch >= shape.batch) return;
  const int64_t channel = group * kChannels;
  const int count = channel_count<kChannels>(shape, channel);

  float weights[kTaps][kChannels], biases[kChannels], window[kTaps - 1 + kUnroll][kChannels];
  load_weights(weights, arguments.weight, shape, channel, count);
  load_bias(biases, arguments.bias, channel, count);

  int64_t step = batch_tile % arguments.tiles * kTileSteps;
  const int64_t tile_end = min(shape.length, step + kTileSteps);
  while (step < tile_end) {
    const Sequence sequence = sequence_at(shape, batch, step);
    const int64_t end = min(tile_end, sequence.end);
    load_history<kTaps>(window, arguments.x, arguments.initial_state, shape, sequence, batch, step, channel, count);
    const T* from = arguments.x.at(batch, step, channel);
    T* to = arguments.out.at(batch, step, channel);
    for (; step < end; step += kUnroll) {
      Vector<T, kChannels> loaded[kUnroll];
#pragma unroll
      for (int i = 0; i < kUnroll; ++i) {
        loaded[i] = load_channels<kChannels>(from, step + i < end ? count : 0);
        from += arguments.x.step_stride;
      }
#pragma unroll
      for (int i = 0; i < kUnroll; ++i) {
#pragma unroll
        for (int c = 0; c < kChannels; ++c) window[kTaps - 1 + i][c] = to_float(loaded[i][c]);
        float acc[kChannels];
        convolve(acc, window, i, weights, biases, shape.width);
        if (arguments.silu) {
#pragma unroll
          for (int c = 0; c < kChannels; ++c) acc[c] = silu(acc[c]);
        }
        if (step + i < end) store_channels(to, acc, count);
        to += arguments.out.step_stride;
      }
#pragma unroll
      for (int i = 0; i < kTaps - 1; ++i) {
#pragma unroll
        for (int c = 0; c < kChannels; ++c) window[i][c] = window[kUnroll + i][c];
      }
    }
    step = end;
  }
}

// The last width - 1 inputs of each sequence; one thread each.
template <typename T>
__global__ void final_state_kernel(ForwardArguments<T> arguments, T* final_state) {
  const ConvShape& shape = arguments.shape;
  const int64_t index = global_thread(), window = shape.window();
  const int64_t age = index % window, channel = index / window % shape.dim, sequence = index / window / shape.dim;
  if (sequence >= shape.sequences) return;
  const int64_t start = shape.cu_seqlens ? shape.cu_seqlens[sequence] : 0;
  const int64_t end = shape.cu_seqlens ? shape.cu_seqlens[sequence + 1] : shape.length;
  const int64_t source = end - window + age;
  T value = from_float<T>(0.0f);
  if (source >= start) {
    if (source >= 0 && source < shape.length) {
      value = *arguments.x.at(shape.cu_seqlens ? 0 : sequence, source, channel);
    }
  } else if (arguments.initial_state && end >= start) {
    value = arguments.initial_state[shape.state_index(sequence, channel, source - start + window)];
  }
  final_state[index] = value;
}

template <typename T, int kTaps, int kUnroll>
void launch_forward(const CausalConv1dForward& op, Context& context) {
  ForwardArguments<T> arguments;
  arguments.shape = conv_shape(op);
  arguments.x = Steps<const T>(op.x);
  arguments.weight = op.weight.as<float>();
  arguments.bias = op.bias.as<float>();
  arguments.initial_state = op.initial_state.as<T>();
  arguments.out = Steps<T>(op.out);
  arguments.silu = op.silu;
  arguments.groups = ceil_div<int64_t>(arguments.shape.dim, kChannels);
  arguments.tiles = ceil_div<int64_t>(arguments.shape.length, kTileSteps);
  launch_each(causal_conv1d_kernel<T, kTaps, kUnroll>, arguments.shape.batch * arguments.tiles * arguments.groups,
              context, arguments);
  if (op.return_final_state) {
    launch_each(final_state_kernel<T>, op.final_state.size(), context, arguments, op.final_state.as<T>());
  }
}

}  // namespace

template <>
void run(const CausalConv1dForward& op, Context& context) {
  check_boundaries(op.cu_seqlens, op.x.dim(1), context);
  for_floating_type(op.x.dtype, [&]<typename T>(std::type_identity<T>) {
    if (op.weight.dim(1) <= kFewTaps) {
      launch_forward<T, kFewTaps, sizeof(T) == 2 ? 8 : 4>(op, context);
    } else {
      launch_forward<T, kManyTaps, 4>(op, context);
    }
  });
}

}  // namespace statespace::cuda
