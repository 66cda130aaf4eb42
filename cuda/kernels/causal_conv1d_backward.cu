// Gradients of the causal convolution, the value before the activation computed again from x: with g = dout act'(...),
//   dx[s] = sum over k of weight[k] g[s + width - 1 - k];  dweight[k] = sum over t of g[t] x[t - width + 1 + k].
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/causal_conv1d.cuh"
#include "cuda/kernels/sum.cuh"

namespace statespace::cuda {

namespace {

constexpr int kThreads = 128;

// Blocks on a multiprocessor, as many as leave all registers in place.
template <int kTaps>
constexpr int kBlocks = kTaps == kFewTaps ? 4 : 3;

constexpr int kTileSteps = 64;
constexpr int kUnroll = 4;
constexpr int kChannels = 2;  // of one thread: with four, registers spill

template <typename T>
struct BackwardArguments {
  ConvShape shape;
  Steps<const T> dout, x;
  const float *weight, *bias;
  const T *initial_state, *dfinal_state;
  Steps<T> dx;
  T* dinitial_state;
  float *dweight_partial, *dbias_partial;
  bool silu;
  int64_t groups, group_tiles, tiles;  // groups of channels, tiles of groups, tiles of steps
  int lanes;                           // threads along the channels, a power of two; the others take tiles of steps
};

// dx[source], or for a source before the sequence the gradient of its initial state.
template <int kTaps, int kRows, typename T>
__device__ void store_input_gradient(const BackwardArguments<T>& arguments, const Sequence& sequence, int64_t batch,
                                     int64_t source, int64_t segment_start, int64_t segment_end, int64_t channel,
                                     int count, const float (&g)[kRows][kChannels], int row,
                                     const float (&weights)[kTaps][kChannels]) {
  const ConvShape& shape = arguments.shape;
  const bool is_before = source < sequence.start;
  const int64_t age = source - sequence.start + shape.window();
  const bool is_mine = is_before ? segment_start == sequence.start && age >= 0 && arguments.dinitial_state != nullptr &&
                                       sequence.index >= 0
                                 : source >= segment_start && source < segment_end;
  if (!is_mine) return;
  float gradient[kChannels] = {};
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    if (k < kTaps - shape.width) continue;
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      gradient[c] = fma_rn(weights[k][c], g[row + kTaps - 1 - k][c], gradient[c]);
    }
  }
  const int64_t final_age = source - sequence.end + shape.window();
  if (arguments.dfinal_state && sequence.index >= 0 && final_age >= 0) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      if (c >= count) continue;
      gradient[c] += to_float(arguments.dfinal_state[shape.state_index(sequence.index, channel + c, final_age)]);
    }
  }
  if (is_before) {
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      if (c >= count) continue;
      arguments.dinitial_state[shape.state_index(sequence.index, channel + c, age)] = from_float<T>(gradient[c]);
    }
  } else {
    store_channels(arguments.dx.at(batch, source, channel), gradient, count);
  }
}

// Sums `values` over the threads of a block that share channels; those of the first tile of steps get the result.
__device__ void add_tiles(float (&values)[kChannels], int lanes) {
  auto& sums = block_shared<float[kThreads][kChannels], struct SumsOfTiles>();
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int c = 0; c < kChannels; ++c) sums[thread][c] = values[c];
  for (int half = kThreads / 2; half >= lanes; half /= 2) {
    __syncthreads();  // `sums` of the threads that are added
    if (thread < half) {
#pragma unroll
      for (int c = 0; c < kChannels; ++c) sums[thread][c] += sums[thread + half][c];
    }
  }
#pragma unroll
  for (int c = 0; c < kChannels; ++c) values[c] = sums[thread][c];
  __syncthreads();  // the next call may write `sums`
}

// One thread per (batch, tile of steps, kChannels channels). It also computes g for the width - 1 steps behind its
// tile.
template <typename T, int kTaps>
__global__ void __launch_bounds__(kThreads, kBlocks<kTaps>)
    causal_conv1d_backward_kernel(BackwardArguments<T> arguments) {
  const ConvShape& shape = arguments.shape;
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t group_tile = blockIdx.x % arguments.group_tiles, time_block = blockIdx.x / arguments.group_tiles;
  const int64_t channel = (group_tile * arguments.lanes + thread % arguments.lanes) * kChannels;
  const int count = channel_count<kChannels>(shape, channel);
  const int64_t batch_tile = time_block * (kThreads / arguments.lanes) + thread / arguments.lanes;
  const int64_t batch = batch_tile / arguments.tiles;

  constexpr int kRows = kTaps - 1 + kUnroll;
  float weights[kTaps][kChannels], biases[kChannels];
  float dweights[kTaps][kChannels] = {}, dbiases[kChannels] = {};
  load_weights(weights, arguments.weight, shape, channel, count);
  load_bias(biases, arguments.bias, channel, count);

  int64_t start = batch_tile % arguments.tiles * kTileSteps;
  const int64_t tile_end = batch < shape.batch && count > 0 ? min(shape.length, start + kTileSteps) : start;
  while (start < tile_end) {
    const Sequence sequence = sequence_at(shape, batch, start);
    const int64_t end = min(tile_end, sequence.end);
    const int64_t g_end = min(end + shape.window(), sequence.end);
    float window[kRows][kChannels], g[kRows][kChannels] = {};
    load_history<kTaps>(window, arguments.x, arguments.initial_state, shape, sequence, batch, start, channel, count);
    for (int64_t step = start; step < end + kTaps - 1; step += kUnroll) {
      Vector<T, kChannels> x[kUnroll], dout[kUnroll];
#pragma unroll
      for (int i = 0; i < kUnroll; ++i) {
        const int64_t source = min(step + i, g_end - 1);
        x[i] = load_channels<kChannels>(arguments.x.at(batch, source, channel), count);
        dout[i] = load_channels<kChannels>(arguments.dout.at(batch, source, channel), count);
      }
#pragma unroll
      for (int i = 0; i < kUnroll; ++i) {
        const int64_t t = step + i;
        float acc[kChannels];
#pragma unroll
        for (int c = 0; c < kChannels; ++c) window[kTaps - 1 + i][c] = to_float(x[i][c]);
        if (arguments.silu) convolve(acc, window, i, weights, biases, shape.width);
#pragma unroll
        for (int c = 0; c < kChannels; ++c) {
          const float slope = arguments.silu ? dsilu(acc[c]) : 1.0f;
          g[kTaps - 1 + i][c] = t < g_end ? to_float(dout[i][c]) * slope : 0.0f;
        }
        if (t < end) {
#pragma unroll
          for (int c = 0; c < kChannels; ++c) dbiases[c] += g[kTaps - 1 + i][c];
#pragma unroll
          for (int k = 0; k < kTaps; ++k) {
            if (k < kTaps - shape.width) continue;
#pragma unroll
            for (int c = 0; c < kChannels; ++c) {
              dweights[k][c] = fma_rn(g[kTaps - 1 + i][c], window[i + k][c], dweights[k][c]);
            }
          }
        }
        store_input_gradient(arguments, sequence, batch, t - (kTaps - 1), start, end, channel, count, g, i, weights);
      }
#pragma unroll
      for (int i = 0; i < kTaps - 1; ++i) {
#pragma unroll
        for (int c = 0; c < kChannels; ++c) {
          window[i][c] = window[kUnroll + i][c];
          g[i][c] = g[kUnroll + i][c];
        }
      }
    }
    start = end;
  }

  const bool is_first = thread < arguments.lanes;
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    if (k < kTaps - shape.width) continue;
    add_tiles(dweights[k], arguments.lanes);
    const int tap = k - (kTaps - shape.width);
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      if (is_first && c < count) {
        arguments.dweight_partial[(time_block * shape.dim + channel + c) * shape.width + tap] = dweights[k][c];
      }
    }
  }
  if (arguments.dbias_partial) {
    add_tiles(dbiases, arguments.lanes);
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      if (is_first && c < count) arguments.dbias_partial[time_block * shape.dim + channel + c] = dbiases[c];
    }
  }
}

// A sequence without steps hands the gradient of its final state on; no tile visits it. One thread per element.
template <typename T>
__global__ void pass_empty_sequences_kernel(BackwardArguments<T> arguments, int64_t size) {
  const int64_t index = global_thread();
  if (index >= size) return;
  const ConvShape& shape = arguments.shape;
  const int64_t sequence = index / shape.window() / shape.dim;
  const int64_t start = shape.cu_seqlens ? shape.cu_seqlens[sequence] : 0;
  const int64_t end = shape.cu_seqlens ? shape.cu_seqlens[sequence + 1] : shape.length;
  if (start < end) return;
  arguments.dinitial_state[index] = arguments.dfinal_state ? arguments.dfinal_state[index] : from_float<T>(0.0f);
}

template <typename T, int kTaps>
void launch_backward(const CausalConv1dBackward& op, Context& context) {
  BackwardArguments<T> arguments;
  const ConvShape shape = conv_shape(op);
  arguments.shape = shape;
  arguments.dout = Steps<const T>(op.dout);
  arguments.x = Steps<const T>(op.x);
  arguments.weight = op.weight.as<float>();
  arguments.bias = op.bias.as<float>();
  arguments.initial_state = op.initial_state.as<T>();
  arguments.dfinal_state = op.dfinal_state.as<T>();
  arguments.dx = Steps<T>(op.dx);
  arguments.dinitial_state = op.initial_state ? op.dinitial_state.as<T>() : nullptr;
  arguments.silu = op.silu;
  arguments.groups = ceil_div<int64_t>(shape.dim, kChannels);
  arguments.lanes = 1;
  while (arguments.lanes < kWarpSize && arguments.lanes < arguments.groups) arguments.lanes *= 2;
  arguments.group_tiles = ceil_div<int64_t>(arguments.groups, arguments.lanes);
  arguments.tiles = ceil_div<int64_t>(shape.length, kTileSteps);
  const int64_t time_blocks = ceil_div<int64_t>(shape.batch * arguments.tiles, kThreads / arguments.lanes);
  arguments.dweight_partial = context.scratch<float>(static_cast<size_t>(time_blocks * shape.dim * shape.width));
  arguments.dbias_partial = op.bias ? context.scratch<float>(static_cast<size_t>(time_blocks * shape.dim)) : nullptr;
  if (time_blocks * arguments.group_tiles > 0) {
    launch(causal_conv1d_backward_kernel<T, kTaps>,
           {dim3(static_cast<unsigned>(time_blocks * arguments.group_tiles)), dim3(kThreads)}, context.stream,
           arguments);
  }
  const int64_t taps = shape.dim * shape.width;
  sum_middle(arguments.dweight_partial, {1, time_blocks, taps, taps}, 1.0f, op.dweight, context);
  if (op.bias) sum_middle(arguments.dbias_partial, {1, time_blocks, shape.dim, shape.dim}, 1.0f, op.dbias, context);
  if (arguments.dinitial_state) {
    const int64_t size = op.dinitial_state.size();
    launch_each(pass_empty_sequences_kernel<T>, size, context, arguments, size);
  }
}

}  // namespace

template <>
void run(const CausalConv1dBackward& op, Context& context) {
  for_floating_type(op.x.dtype, [&]<typename T>(std::type_identity<T>) {
    if (op.weight.dim(1) <= kFewTaps) {
      launch_backward<T, kFewTaps>(op, context);
    } else {
      launch_backward<T, kManyTaps>(op, context);
    }
  });
}

}  // namespace statespace::cuda
