// A token through a Mamba block, from the parts that separate operations run: each waits for the memory of its weights,
// which are read once, so that nothing would come of joining them, and decoding gives the bits it gives without.
#include "cpp/ops/mamba_step.h"

#include <array>
#include <initializer_list>

#include "cpp/cpu/copy.h"
#include "cpp/cpu/gemm.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"
#include "cpp/ops/causal_conv1d_update.h"
#include "cpp/ops/rms_norm.h"
#include "cpp/ops/selective_state_update.h"

namespace statespace::cpu::STATESPACE_ISA {

template <>
void run(const RmsNormForward& op);
template <>
void run(const CausalConv1dUpdate& op);
template <>
void run(const SelectiveStateUpdate& op);

namespace {

constexpr int64_t kBlock = 8192;

// Intermediate tensors, one after another in a slot that the parts leave alone. Sizes first, then memory.
class Workspace {
 public:
  void* take(int64_t elements, DType dtype) {
    void* const piece = memory_ ? memory_ + used_ : nullptr;
    used_ += (elements * static_cast<int64_t>(size_of(dtype)) + 63) / 64 * 64;
    return piece;
  }
  void allocate() {
    memory_ = static_cast<char*>(scratch(Slot::kernel2, static_cast<size_t>(used_)));
    used_ = 0;
  }

 private:
  char* memory_ = nullptr;
  int64_t used_ = 0;
};

Tensor dense(void* data, DType dtype, std::initializer_list<int64_t> shape) {
  Tensor t;
  t.data = data;
  t.dtype = dtype;
  for (const int64_t size : shape) t.shape[t.rank++] = size;
  t.set_contiguous_strides();
  return t;
}

// A parameter as float32: itself, or converted into `room`.
Tensor widened(const Tensor& t, void* room) {
  if (!t || t.dtype == DType::float32) return t;
  Tensor result = t;
  result.data = room;
  result.dtype = DType::float32;
  convert_row(t.data, t.dtype, room, DType::float32, t.size());
  return result;
}

// y = x weight^T + bias
void project(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& y) {
  gemm(x.shape[0], weight.shape[0], weight.shape[1], {x.data, x.dtype, x.row_stride(), 1},
       {weight.data, weight.dtype, 1, weight.row_stride()}, {y.data, y.dtype, y.row_stride()},
       {.bias = static_cast<const float*>(bias.data)});
}

char* at(const Tensor& t, int64_t row, int64_t column) {
  return static_cast<char*>(t.data) + (row * t.row_stride() + column) * static_cast<int64_t>(size_of(t.dtype));
}

// `count` columns of every row.
Tensor columns_of(const Tensor& t, int64_t first, int64_t count) {
  Tensor result = t;
  result.data = at(t, 0, first);
  result.shape[1] = count;
  return result;
}

// [batch, dim] as [batch, 1, dim].
Tensor with_step(Tensor t) {
  t.shape[2] = t.shape[1], t.strides[2] = 1;
  t.shape[1] = 1, t.strides[1] = t.shape[2];
  t.rank = 3;
  return t;
}

template <typename T>
void add_rows(const Tensor& x, const Tensor& residual) {
  const T* const from = static_cast<const T*>(x.data);
  float* const to = static_cast<float*>(residual.data);
  parallel_blocks(residual.size(), kBlock, [=](int64_t i, int64_t end) {
    for (; i + kWidth <= end; i += kWidth) store(to + i, load(from + i) + load(to + i));
    if (i < end) store_partial(to + i, load_partial(from + i, end - i) + load_partial(to + i, end - i), end - i);
  });
}

}  // namespace

template <>
void run(const MambaStepInput& op) {
  const int64_t batch = op.residual.shape[0], dim = op.residual.shape[1];
  const int64_t both = op.weight.shape[0], inner = both / 2, width = op.conv_weight.shape[1];
  const DType dtype = op.weight.dtype;
  Workspace space;
  const auto pieces = [&] {
    return std::array{
        space.take(batch * dim, dtype),   space.take(batch, DType::float32),         space.take(batch * both, dtype),
        space.take(both, DType::float32), space.take(inner * width, DType::float32), space.take(inner, DType::float32)};
  };
  pieces();
  space.allocate();
  const auto [normed, inverse, projected, bias, conv_weight, conv_bias] = pieces();

  RmsNormForward norm{};
  norm.x = op.residual;
  norm.weight = op.norm_weight;
  norm.eps = op.eps;
  norm.dtype = dtype;
  norm.y = dense(normed, dtype, {batch, dim});
  norm.inverse_rms = dense(inverse, DType::float32, {batch});
  run(norm);
  const Tensor xz = dense(projected, dtype, {batch, both});
  project(norm.y, op.weight, widened(op.bias, bias), xz);

  CausalConv1dUpdate convolution{};
  convolution.x = with_step(columns_of(xz, 0, inner));
  convolution.conv_state = op.conv_state;
  convolution.weight = widened(op.conv_weight, conv_weight);
  convolution.bias = widened(op.conv_bias, conv_bias);
  convolution.silu = true;
  convolution.out = with_step(op.u);
  run(convolution);
  for (int64_t row = 0; row < batch; ++row) {
    __builtin_memcpy(at(op.z, row, 0), at(xz, row, inner), static_cast<size_t>(inner) * size_of(dtype));
  }
}

template <>
void run(const MambaStepScan& op) {
  const int64_t batch = op.u.shape[0], inner = op.u.shape[1], states = op.A_log.shape[1];
  const int64_t rank = op.dt_weight.shape[1];
  Workspace space;
  const auto pieces = [&] {
    return std::array{space.take(batch * inner, op.u.dtype), space.take(inner * states, DType::float32),
                      space.take(inner, DType::float32)};
  };
  pieces();
  space.allocate();
  const auto [dt, A, dt_bias] = pieces();

  SelectiveStateUpdate update{};
  update.dt = dense(dt, op.u.dtype, {batch, inner});
  project(columns_of(op.projected, 0, rank), op.dt_weight, Tensor{}, update.dt);
  update.A = dense(A, DType::float32, {inner, states});
  const float* const logarithms = static_cast<const float*>(op.A_log.data);
  float* const decays = static_cast<float*>(A);
  parallel_blocks(inner * states, kBlock, [=](int64_t i, int64_t end) {
    for (; i + kWidth <= end; i += kWidth) store(decays + i, -exp(load(logarithms + i)));
    if (i < end) store_partial(decays + i, -exp(load_partial(logarithms + i, end - i)), end - i);
  });
  update.state = op.scan_state;
  update.x = op.u;
  update.B = with_step(columns_of(op.projected, rank, states));
  update.C = with_step(columns_of(op.projected, rank + states, states));
  update.D = op.D;
  update.z = op.z;
  update.dt_bias = widened(op.dt_bias, dt_bias);
  update.dt_softplus = true;
  update.out = op.out;
  run(update);
}

template <>
void run(const MambaStepOutput& op) {
  Workspace space;
  const int64_t batch = op.residual.shape[0], dim = op.residual.shape[1];
  const auto pieces = [&] { return std::array{space.take(batch * dim, op.x.dtype), space.take(dim, DType::float32)}; };
  pieces();
  space.allocate();
  const auto [projected, bias] = pieces();
  const Tensor y = dense(projected, op.x.dtype, {batch, dim});
  project(op.x, op.weight, widened(op.bias, bias), y);
  if (y.dtype == DType::float32) add_rows<float>(y, op.residual);
  if (y.dtype == DType::bfloat16) add_rows<bf16>(y, op.residual);
  if (y.dtype == DType::float16) add_rows<f16>(y, op.residual);
}

}  // namespace statespace::cpu::STATESPACE_ISA
