// A few steps of the causal convolution: the same sums as causal_conv1d.cc, from a state that is updated in place.
#include "cpp/ops/causal_conv1d_update.h"

#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// All steps of one row of the batch, for at most kWidth channels from `first` on.
template <typename T>
void update(const CausalConv1dUpdate& op, int64_t batch, int64_t first, int64_t lanes) {
  const int64_t length = op.x.shape[1], dim = op.x.shape[2], width = op.weight.shape[1];
  const int64_t window = op.conv_state.shape[2], history = width - 1;
  T* state = static_cast<T*>(op.conv_state.data) + (batch * dim + first) * window;
  const T* x = static_cast<const T*>(op.x.data) + batch * op.x.strides[0] + first;
  T* out = static_cast<T*>(op.out.data) + batch * length * dim + first;
  // Where the next input goes: to the ring, or behind the newest.
  const bool ring = bool(op.cache_seqlens);
  int64_t next = 0;
  if (ring && window > 0) {
    next = static_cast<const int32_t*>(op.cache_seqlens.data)[batch * op.cache_seqlens.strides[0]] % window;
    if (next < 0) next += window;
  }

  Vec taps[kMaxConvWidth], recent[kMaxConvWidth], bias{};
  const float* weight = static_cast<const float*>(op.weight.data) + first * width;
  for (int64_t k = 0; k < width; ++k) {
    taps[k] = recent[k] = Vec{};
    for (int i = 0; i < lanes; ++i) taps[k][i] = weight[i * width + k];
  }
  if (op.bias) bias = load_partial(static_cast<const float*>(op.bias.data) + first, lanes);
  for (int64_t k = 0; k < history; ++k) {
    const int64_t index = (next + window - history + k) % window;
    for (int i = 0; i < lanes; ++i) recent[k][i] = load_one(state + i * window + index);
  }
  for (int64_t t = 0; t < length; ++t) {
    recent[history] = load_partial(x + t * op.x.strides[1], lanes);
    Vec sum = bias;
    for (int64_t k = 0; k < width; ++k) sum = fma(recent[k], taps[k], sum);
    store_partial(out + t * dim, op.silu ? silu(sum) : sum, lanes);
    for (int64_t k = 0; k < history; ++k) recent[k] = recent[k + 1];
  }

  const int64_t fresh = std::min(length, window);
  for (int i = 0; i < lanes; ++i) {
    T* line = state + i * window;
    if (!ring) std::memmove(line, line + fresh, sizeof(T) * (window - fresh));
    for (int64_t t = length - fresh; t < length; ++t) {
      line[ring ? (next + t) % window : window - length + t] = x[t * op.x.strides[1] + i];
    }
  }
}

template <typename T>
void update_all(const CausalConv1dUpdate& op) {
  const int64_t dim = op.x.shape[2], vectors = (dim + kWidth - 1) / kWidth;
  parallel_for(op.x.shape[0] * vectors, 256, [&](int64_t task) {
    const int64_t first = task % vectors * kWidth;
    update<T>(op, task / vectors, first, std::min<int64_t>(kWidth, dim - first));
  });
}

}  // namespace

template <>
void run(const CausalConv1dUpdate& op) {
  switch (op.x.dtype) {
    case DType::bfloat16:
      return update_all<bf16>(op);
    case DType::float16:
      return update_all<f16>(op);
    default:
      return update_all<float>(op);
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
