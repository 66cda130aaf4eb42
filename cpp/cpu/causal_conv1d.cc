// Depthwise causal convolution along the length. With the state put before the steps of a sequence as `extended`, step
// t sees the `width` rows extended[t], ..., extended[t + width - 1]; a row is a pointer, so the loops know no
// boundaries.
#include "cpp/ops/causal_conv1d.h"

#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/sequences.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

constexpr int64_t kSlab = 512;  // channels of a task
constexpr int64_t kTile = 32;   // steps of a tile of the backward pass

struct Shape {
  int64_t batch, length, dim, width, window, sequences;
};
template <typename Op>
Shape shape_of(const Op& op) {
  return {op.x.shape[0],      op.x.shape[1],          op.x.shape[2],
          op.weight.shape[1], op.weight.shape[1] - 1, sequence_count(op.cu_seqlens, op.x.shape[0])};
}

// The weight as [width][padded dim] and behind it the bias, or zeros, as one more row.
float* transposed_weight(const Shape& s, const Tensor& weight, const Tensor& bias) {
  const int64_t row = padded(s.dim);
  float* taps = static_cast<float*>(scratch(Slot::kernel1, sizeof(float) * (s.width + 1) * row));
  const float* source = static_cast<const float*>(weight.data);
  for (int64_t k = 0; k < s.width; ++k) {
    for (int64_t d = 0; d < s.dim; ++d) taps[k * row + d] = source[d * s.width + k];
  }
  for (int64_t d = 0; d < s.dim; ++d) taps[s.width * row + d] = bias ? static_cast<const float*>(bias.data)[d] : 0.0f;
  return taps;
}

// The rows before a sequence, for `count` channels from `first` on: [window][count], from the initial state or zero.
template <typename T>
void load_history(T* target, const Tensor& initial_state, int64_t sequence, const Shape& s, int64_t first,
                  int64_t count) {
  if (!initial_state) {
    std::memset(target, 0, sizeof(T) * s.window * count);
    return;
  }
  const T* source = static_cast<const T*>(initial_state.data) + (sequence * s.dim + first) * s.window;
  for (int64_t j = 0; j < s.window; ++j) {
    for (int64_t d = 0; d < count; ++d) target[j * count + d] = source[d * s.window + j];
  }
}

// Row `index` of the extended sequence, from channel `first` on; index 0 is the oldest one of the state.
template <typename T>
const T* extended_row(const Tensor& x, const Sequence& sequence, int64_t index, const Shape& s, const T* history,
                      int64_t first, int64_t count) {
  if (index < s.window) return history + index * count;
  return row_of<const T>(x, sequence.batch, sequence.begin + index - s.window) + first;
}

template <int kTaps, typename T>
STATESPACE_INLINE Vec convolve(const T* const* rows, int64_t d, int64_t lanes, const float* taps, int64_t stride,
                               int width) {
  const int count = kTaps ? kTaps : width;
  Vec sum = load(taps + count * stride + d);
#pragma GCC unroll 4
  for (int k = 0; k < count; ++k) sum = fma(load_lanes(rows[k] + d, lanes), load(taps + k * stride + d), sum);
  return sum;
}

// The index of the sequence that holds row t of the batch.
int64_t sequence_of(const Tensor& cu_seqlens, int64_t batch, int64_t t) {
  if (!cu_seqlens) return batch;
  int64_t low = 0, high = cu_seqlens.shape[0] - 1;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    (static_cast<const int32_t*>(cu_seqlens.data)[middle * cu_seqlens.strides[0]] <= t ? low : high) = middle;
  }
  return low;
}

// Calls f(index, sequence, first step, end) for the pieces of sequences within rows [begin, end) of a batch.
template <typename F>
void for_pieces(const Tensor& cu_seqlens, int64_t length, int64_t batch, int64_t begin, int64_t end, F f) {
  for (int64_t i = begin < end ? sequence_of(cu_seqlens, batch, begin) : 0, t = begin; t < end; ++i) {
    const Sequence sequence = sequence_at(cu_seqlens, length, i);
    const int64_t stop = std::min(end, sequence.end);
    if (t < stop) f(i, sequence, t, stop);
    t = stop;
  }
}

template <int kTaps, typename T>
void forward_rows(const CausalConv1dForward& op, const Shape& s, const float* taps, int64_t batch, int64_t begin,
                  int64_t end, int64_t first, int64_t count) {
  const int64_t stride = padded(s.dim);
  T* history = static_cast<T*>(scratch(Slot::kernel0, sizeof(T) * kMaxConvWidth * count));
  for_pieces(op.cu_seqlens, s.length, batch, begin, end, [&](int64_t i, Sequence sequence, int64_t t, int64_t stop) {
    if (t - sequence.begin < s.window) load_history(history, op.initial_state, i, s, first, count);
    for (; t < stop; ++t) {
      const T* rows[kMaxConvWidth];
      for (int k = 0; k < s.width; ++k) {
        rows[k] = extended_row<T>(op.x, sequence, t - sequence.begin + k, s, history, first, count);
      }
      T* out = row_of<T>(op.out, batch, t) + first;
      for (int64_t d = 0; d < count; d += kWidth) {
        const int64_t lanes = std::min<int64_t>(kWidth, count - d);
        const Vec p = convolve<kTaps>(rows, d, lanes, taps + first, stride, static_cast<int>(s.width));
        store_lanes(out + d, op.silu ? silu(p) : p, lanes);
      }
    }
  });
}

// The last rows of an extended sequence, bit by bit.
template <typename T>
void keep_final_state(const CausalConv1dForward& op, const Shape& s, int64_t index) {
  const Sequence sequence = sequence_at(op.cu_seqlens, s.length, index);
  const int64_t steps = sequence.end - sequence.begin;
  T* target = static_cast<T*>(op.final_state.data) + index * s.dim * s.window;
  for (int64_t j = 0; j < s.window; ++j) {
    const int64_t row = steps + j;
    for (int64_t d = 0; d < s.dim; ++d) {
      T value{};
      if (row >= s.window) {
        value = row_of<const T>(op.x, sequence.batch, sequence.begin + row - s.window)[d];
      } else if (op.initial_state) {
        value = static_cast<const T*>(op.initial_state.data)[(index * s.dim + d) * s.window + row];
      }
      target[d * s.window + j] = value;
    }
  }
}

template <typename T>
void forward(const CausalConv1dForward& op) {
  const Shape s = shape_of(op);
  if (s.dim == 0) return;
  const float* taps = transposed_weight(s, op.weight, op.bias);
  const int64_t slabs = (s.dim + kSlab - 1) / kSlab, chunk = 64, chunks = (s.length + chunk - 1) / chunk;
  const int64_t work = s.batch * s.length * s.dim / (slabs * chunks * s.batch + 1);
  parallel_for(s.batch * chunks * slabs, 30000 / (work + 1), [&](int64_t task) {
    const int64_t first = task % slabs * kSlab, begin = task / slabs % chunks * chunk, batch = task / slabs / chunks;
    (s.width == 4 ? forward_rows<4, T> : forward_rows<0, T>)(op, s, taps, batch, begin,
                                                             std::min(s.length, begin + chunk), first,
                                                             std::min(kSlab, s.dim - first));
  });
  if (op.final_state && s.window > 0) {
    parallel_for(s.sequences, 16, [&](int64_t i) { keep_final_state<T>(op, s, i); });
  }
}

// Of dL/d(convolution), for one vector of channels.
template <int kTaps, typename T>
STATESPACE_INLINE Vec pre_gradient(const CausalConv1dBackward& op, const T* const* rows, const T* dout, int64_t d,
                                   int64_t lanes, const float* taps, int64_t stride, int width) {
  Vec g = load_lanes(dout + d, lanes);
  if (op.silu) {
    const Vec p = convolve<kTaps>(rows, d, lanes, taps, stride, width), sigma = sigmoid(p);
    g *= sigma * fma(p, 1.0f - sigma, broadcast(1.0f));
  }
  return g;
}

// What dfinal_state gives to row `index` of an extended sequence, if it is one of the last.
template <typename T>
STATESPACE_INLINE Vec from_final_state(const CausalConv1dBackward& op, const Shape& s, int64_t sequence, int64_t steps,
                                       int64_t index, int64_t channel, int64_t lanes) {
  Vec v{};
  if (!op.dfinal_state || index < steps) return v;
  const T* p = static_cast<const T*>(op.dfinal_state.data) + (sequence * s.dim + channel) * s.window + index - steps;
  for (int i = 0; i < lanes; ++i) v[i] = load_one(p + i * s.window);
  return v;
}

// dx of rows [begin, end) of a batch, and what these rows add to dweight and dbias: sums [width + 1][padded count].
template <int kTaps, typename T>
void backward_rows(const CausalConv1dBackward& op, const Shape& s, const float* taps, float* sums, int64_t batch,
                   int64_t begin, int64_t end, int64_t first, int64_t count) {
  const int64_t stride = padded(s.dim), row = padded(count);
  const int width = kTaps ? kTaps : static_cast<int>(s.width);
  // Gradients before the activation, of a tile and of the window - 1 steps after it: [step][row].
  float* gradients = static_cast<float*>(
      scratch(Slot::kernel0, (sizeof(float) * (kTile + kMaxConvWidth) * row + sizeof(T) * kMaxConvWidth * count)));
  T* history = reinterpret_cast<T*>(gradients + (kTile + kMaxConvWidth) * row);
  for (int64_t k = 0; k <= width; ++k) std::memset(sums + k * stride, 0, sizeof(float) * row);
  for_pieces(op.cu_seqlens, s.length, batch, begin, end, [&](int64_t i, Sequence sequence, int64_t from, int64_t stop) {
    const int64_t steps = sequence.end - sequence.begin;
    if (from - sequence.begin < s.window) load_history(history, op.initial_state, i, s, first, count);
    for (int64_t tile = from; tile < stop; tile += kTile) {
      const int64_t own = std::min(kTile, stop - tile);
      for (int64_t r = 0; r < own + s.window; ++r) {
        float* target = gradients + r * row;
        const int64_t t = tile + r;
        if (t >= sequence.end) {
          std::memset(target, 0, sizeof(float) * row);
          continue;
        }
        const T* rows[kMaxConvWidth];
        for (int k = 0; k < width; ++k) {
          rows[k] = extended_row<T>(op.x, sequence, t - sequence.begin + k, s, history, first, count);
        }
        const T* dout = row_of<const T>(op.dout, batch, t) + first;
        for (int64_t d = 0; d < count; d += kWidth) {
          const int64_t lanes = std::min<int64_t>(kWidth, count - d);
          const Vec g = pre_gradient<kTaps>(op, rows, dout, d, lanes, taps + first, stride, width);
          store(target + d, g);
          if (r >= own) continue;
#pragma GCC unroll 4
          for (int k = 0; k < width; ++k) {
            float* sum = sums + k * stride + d;
            store(sum, fma(g, load_lanes(rows[k] + d, lanes), load(sum)));
          }
          store(sums + width * stride + d, load(sums + width * stride + d) + g);
        }
      }
      for (int64_t r = 0; r < own; ++r) {
        T* dx = row_of<T>(op.dx, batch, tile + r) + first;
        const int64_t index = tile + r - sequence.begin + s.window;
        for (int64_t d = 0; d < count; d += kWidth) {
          const int64_t lanes = std::min<int64_t>(kWidth, count - d);
          Vec sum = index < steps ? Vec{} : from_final_state<T>(op, s, i, steps, index, first + d, lanes);
#pragma GCC unroll 4
          for (int k = 0; k < width; ++k) {
            sum = fma(load(gradients + (r + width - 1 - k) * row + d), load(taps + k * stride + first + d), sum);
          }
          store_lanes(dx + d, sum, lanes);
        }
      }
    }
  });
}

// The gradient of the state before a sequence: of the first `window` rows of the extended sequence.
template <typename T>
void initial_gradient(const CausalConv1dBackward& op, const Shape& s, const float* taps, int64_t index) {
  const Sequence sequence = sequence_at(op.cu_seqlens, s.length, index);
  const int64_t steps = sequence.end - sequence.begin, stride = padded(s.dim);
  T* history = static_cast<T*>(scratch(Slot::kernel0, sizeof(T) * s.window * s.dim));
  load_history(history, op.initial_state, index, s, 0, s.dim);
  T* target = static_cast<T*>(op.dinitial_state.data) + index * s.dim * s.window;
  for (int64_t d = 0; d < s.dim; d += kWidth) {
    const int64_t lanes = std::min<int64_t>(kWidth, s.dim - d);
    Vec sums[kMaxConvWidth];
    for (int64_t j = 0; j < s.window; ++j) sums[j] = from_final_state<T>(op, s, index, steps, j, d, lanes);
    for (int64_t t = 0; t < std::min(s.window, steps); ++t) {
      const T* rows[kMaxConvWidth];
      for (int k = 0; k < s.width; ++k) rows[k] = extended_row<T>(op.x, sequence, t + k, s, history, 0, s.dim);
      const T* dout = row_of<const T>(op.dout, sequence.batch, sequence.begin + t);
      const Vec g = pre_gradient<0>(op, rows, dout, d, lanes, taps, stride, static_cast<int>(s.width));
      for (int64_t k = 0; t + k < s.window; ++k) sums[t + k] = fma(g, load(taps + k * stride + d), sums[t + k]);
    }
    for (int64_t j = 0; j < s.window; ++j) {
      for (int i = 0; i < lanes; ++i) store_one(target + (d + i) * s.window + j, static_cast<float>(sums[j][i]));
    }
  }
}

template <typename T>
void backward(const CausalConv1dBackward& op) {
  const Shape s = shape_of(op);
  if (s.dim == 0) return;
  const float* taps = transposed_weight(s, op.weight, op.bias);
  // The chunks, and with them the order of the sums, follow from the shape alone: some 64 of them in all.
  const int64_t stride = padded(s.dim), slabs = (s.dim + kSlab - 1) / kSlab;
  const int64_t chunk = std::max<int64_t>(64, (s.batch * s.length / 64 + kTile - 1) / kTile * kTile);
  const int64_t chunks = (s.length + chunk - 1) / chunk, all_chunks = s.batch * chunks;
  float* sums = static_cast<float*>(scratch(Slot::kernel2, sizeof(float) * all_chunks * (s.width + 1) * stride));
  const int64_t work = s.batch * s.length * s.dim / (slabs * all_chunks + 1);
  parallel_for(all_chunks * slabs, 15000 / (work + 1), [&](int64_t task) {
    const int64_t first = task % slabs * kSlab, index = task / slabs, begin = index % chunks * chunk;
    (s.width == 4 ? backward_rows<4, T> : backward_rows<0, T>)(op, s, taps,
                                                               sums + index * (s.width + 1) * stride + first,
                                                               index / chunks, begin, std::min(s.length, begin + chunk),
                                                               first, std::min(kSlab, s.dim - first));
  });
  if (op.dinitial_state && s.window > 0) {
    parallel_for(s.sequences, 4, [&](int64_t i) { initial_gradient<T>(op, s, taps, i); });
  }
  float* dweight = static_cast<float*>(op.dweight.data);
  for (int64_t k = 0; k <= s.width; ++k) {
    for (int64_t d = 0; d < s.dim; d += kWidth) {
      Vec total{};
      for (int64_t i = 0; i < all_chunks; ++i) total += load(sums + (i * (s.width + 1) + k) * stride + d);
      const int64_t lanes = std::min<int64_t>(kWidth, s.dim - d);
      if (k < s.width) {
        for (int i = 0; i < lanes; ++i) dweight[(d + i) * s.width + k] = total[i];
      } else if (op.dbias) {
        store_lanes(static_cast<float*>(op.dbias.data) + d, total, lanes);
      }
    }
  }
}

}  // namespace

template <>
void run(const CausalConv1dForward& op) {
  check_boundaries(op.cu_seqlens, op.x.shape[1], CausalConv1dForward::row.name);
  switch (op.x.dtype) {
    case DType::bfloat16:
      return forward<bf16>(op);
    case DType::float16:
      return forward<f16>(op);
    default:
      return forward<float>(op);
  }
}

template <>
void run(const CausalConv1dBackward& op) {
  check_boundaries(op.cu_seqlens, op.x.shape[1], CausalConv1dBackward::row.name);
  switch (op.x.dtype) {
    case DType::bfloat16:
      return backward<bf16>(op);
    case DType::float16:
      return backward<f16>(op);
    default:
      return backward<float>(op);
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
