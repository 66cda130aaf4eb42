// What the forward and the backward of the causal convolution share: how threads find their steps and sequences.
#pragma once

#include "cpp/ops/causal_conv1d.h"
#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

// A kernel for kTaps taps also serves smaller widths: it leaves out the taps before the first kTaps - width.
constexpr int kFewTaps = 4, kManyTaps = static_cast<int>(kMaxConvWidth);

// [batch, length, dim] with dense channels.
template <typename T>
struct Steps {
  T* data = nullptr;
  int64_t batch_stride = 0, step_stride = 0;

  Steps() = default;
  explicit Steps(const Tensor& tensor)
      : data(tensor.as<T>()), batch_stride(tensor.stride(0)), step_stride(tensor.stride(1)) {}
  __device__ T* at(int64_t batch, int64_t step, int64_t channel) const {
    return data + batch * batch_stride + step * step_stride + channel;
  }
};

struct ConvShape {
  int64_t batch, length, dim;
  int width;
  const int* cu_seqlens;  // or null
  int64_t sequences;

  __device__ int64_t window() const { return width - 1; }
  // Where a state [sequences, dim, window] has the input `age` steps after its oldest.
  __device__ int64_t state_index(int64_t sequence, int64_t channel, int64_t age) const {
    return (sequence * dim + channel) * window() + age;
  }
};

template <typename Op>
ConvShape conv_shape(const Op& op) {
  return {op.x.dim(0),
          op.x.dim(1),
          op.x.dim(2),
          static_cast<int>(op.weight.dim(1)),
          op.cu_seqlens.template as<int>(),
          op.cu_seqlens ? op.cu_seqlens.dim(0) - 1 : op.x.dim(0)};
}

// The steps [start, end) that belong together; `index` is -1 before the first sequence and behind the last.
struct Sequence {
  int64_t index, start, end;
};

__device__ inline Sequence sequence_at(const ConvShape& shape, int64_t batch, int64_t step) {
  if (!shape.cu_seqlens) return {batch, 0, shape.length};
  int64_t low = 0, high = shape.sequences + 1;  // the number of boundaries up to `step`
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (shape.cu_seqlens[middle] <= step) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const int64_t start = low > 0 ? shape.cu_seqlens[low - 1] : 0;
  const int64_t end = low <= shape.sequences ? shape.cu_seqlens[low] : shape.length;
  // The bounds hold even for boundaries that do not rise.
  return {low > 0 && low <= shape.sequences ? low - 1 : -1, max(start, int64_t{0}),
          min(max(end, step + 1), shape.length)};
}

// How many of the kChannels channels from `channel` on there are.
template <int kChannels>
__device__ int channel_count(const ConvShape& shape, int64_t channel) {
  const int64_t left = shape.dim - channel;
  return left >= kChannels ? kChannels : left > 0 ? static_cast<int>(left) : 0;
}

// kChannels neighbours, of which the first `count` exist; zero for the others.
template <int kChannels, typename T>
__device__ Vector<T, kChannels> load_channels(const T* address, int count) {
  if (count >= kChannels && is_aligned(address, sizeof(Vector<T, kChannels>))) return load_vector<kChannels>(address);
  Vector<T, kChannels> values;
#pragma unroll
  for (int c = 0; c < kChannels; ++c) values[c] = c < count ? address[c] : from_float<T>(0.0f);
  return values;
}

template <int kChannels, typename T>
__device__ void store_channels(T* address, const float (&values)[kChannels], int count) {
  if (count >= kChannels && is_aligned(address, sizeof(Vector<T, kChannels>))) {
    store_floats(address, values);
  } else {
    store_first_floats(address, values, count);
  }
}

// The inputs at steps [step - kTaps + 1, step), of the sequence or of its initial state, as far as the width reaches.
template <int kTaps, int kChannels, int kRows, typename T>
__device__ void load_history(float (&window)[kRows][kChannels], const Steps<const T>& x, const T* initial_state,
                             const ConvShape& shape, const Sequence& sequence, int64_t batch, int64_t step,
                             int64_t channel, int count) {
#pragma unroll
  for (int i = 0; i < kTaps - 1; ++i) {
    const int64_t source = step - (kTaps - 1) + i;
    const bool is_needed = i >= kTaps - shape.width;
    if (is_needed && source >= sequence.start) {
      const Vector<T, kChannels> values = load_channels<kChannels>(x.at(batch, source, channel), count);
#pragma unroll
      for (int c = 0; c < kChannels; ++c) window[i][c] = to_float(values[c]);
    } else {
      const int64_t age = source - sequence.start + shape.window();
      const bool has_state = is_needed && initial_state && sequence.index >= 0 && age >= 0;
#pragma unroll
      for (int c = 0; c < kChannels; ++c) {
        window[i][c] = has_state && c < count
                           ? to_float(initial_state[shape.state_index(sequence.index, channel + c, age)])
                           : 0.0f;
      }
    }
  }
}

template <int kTaps, int kChannels>
__device__ void load_weights(float (&weights)[kTaps][kChannels], const float* weight, const ConvShape& shape,
                             int64_t channel, int count) {
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    const int tap = k - (kTaps - shape.width);
#pragma unroll
    for (int c = 0; c < kChannels; ++c) {
      weights[k][c] = tap >= 0 && c < count ? weight[(channel + c) * shape.width + tap] : 0.0f;
    }
  }
}

template <int kChannels>
__device__ void load_bias(float (&biases)[kChannels], const float* bias, int64_t channel, int count) {
#pragma unroll
  for (int c = 0; c < kChannels; ++c) biases[c] = bias && c < count ? bias[channel + c] : 0.0f;
}

// acc[c] = bias[c] + sum over the taps, of the window that begins at row kRow. Taps that are left out are not
// multiplied by a zero weight, which would make NaN of an infinite input.
template <int kTaps, int kChannels, int kRows>
__device__ void convolve(float (&acc)[kChannels], const float (&window)[kRows][kChannels], int row,
                         const float (&weights)[kTaps][kChannels], const float (&biases)[kChannels], int width) {
#pragma unroll
  for (int c = 0; c < kChannels; ++c) acc[c] = biases[c];
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    if (k < kTaps - width) continue;
#pragma unroll
    for (int c = 0; c < kChannels; ++c) acc[c] = fma_rn(weights[k][c], window[row + k][c], acc[c]);
  }
}

}  // namespace statespace::cuda
