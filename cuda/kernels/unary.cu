// Elementwise functions of one tensor, and their derivatives times dy. A thread computes eight neighbours.
#include "cpp/ops/unary.h"

#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

namespace {

constexpr float kInverseSqrt2 = 0.70710678118654752f;
constexpr float kInverseSqrt2Pi = 0.39894228040143268f;

template <UnaryKind kKind>
__device__ float value_of(float x) {
  if constexpr (kKind == UnaryKind::neg) return -x;
  if constexpr (kKind == UnaryKind::abs) return fabsf(x);
  if constexpr (kKind == UnaryKind::exp) return expf(x);
  if constexpr (kKind == UnaryKind::log) return logf(x);
  if constexpr (kKind == UnaryKind::sqrt) return sqrtf(x);
  if constexpr (kKind == UnaryKind::square) return x * x;
  if constexpr (kKind == UnaryKind::relu) return x < 0.0f ? 0.0f : x;  // NaN stays
  if constexpr (kKind == UnaryKind::sigmoid) return 1.0f / (1.0f + expf(-x));
  if constexpr (kKind == UnaryKind::tanh) return tanhf(x);
  if constexpr (kKind == UnaryKind::silu) return x / (1.0f + expf(-x));
  if constexpr (kKind == UnaryKind::gelu) return 0.5f * x * (1.0f + erff(x * kInverseSqrt2));
  if constexpr (kKind == UnaryKind::softplus) return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
}

template <UnaryKind kKind>
__device__ float slope_of(float x) {
  if constexpr (kKind == UnaryKind::neg) return -1.0f;
  if constexpr (kKind == UnaryKind::abs) return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f;
  if constexpr (kKind == UnaryKind::exp) return expf(x);
  if constexpr (kKind == UnaryKind::log) return 1.0f / x;
  if constexpr (kKind == UnaryKind::sqrt) return 0.5f / sqrtf(x);
  if constexpr (kKind == UnaryKind::square) return 2.0f * x;
  if constexpr (kKind == UnaryKind::relu) return x > 0.0f ? 1.0f : 0.0f;
  if constexpr (kKind == UnaryKind::sigmoid) {
    const float w = expf(-fabsf(x)), r = 1.0f / (1.0f + w);
    return w * r * r;  // s (1 - s) would lose the digits of a small slope
  }
  if constexpr (kKind == UnaryKind::tanh) {
    const float w = expf(-2.0f * fabsf(x)), r = 1.0f / (1.0f + w);
    return 4.0f * w * r * r;
  }
  if constexpr (kKind == UnaryKind::silu) {
    const float s = 1.0f / (1.0f + expf(-x));
    return s * (1.0f + x * (1.0f - s));
  }
  if constexpr (kKind == UnaryKind::gelu) {
    return 0.5f * (1.0f + erff(x * kInverseSqrt2)) + x * kInverseSqrt2Pi * expf(-0.5f * x * x);
  }
  if constexpr (kKind == UnaryKind::softplus) return 1.0f / (1.0f + expf(-x));
}

template <UnaryKind kKind>
__global__ void unary_kernel(Floats x, Floats y, int64_t size) {
  const int64_t first = global_thread() * kOctet;
  if (first >= size) return;
  const int count = octet_count(first, size);
  float values[kOctet];
  load_octet(values, x, first, count);
#pragma unroll
  for (int i = 0; i < kOctet; ++i) values[i] = value_of<kKind>(values[i]);
  store_octet(y, first, values, count);
}

template <UnaryKind kKind>
__global__ void unary_backward_kernel(Floats x, Floats dy, Floats dx, int64_t size) {
  const int64_t first = global_thread() * kOctet;
  if (first >= size) return;
  const int count = octet_count(first, size);
  const Octet x_octet = load_octet(x, first, count), dy_octet = load_octet(dy, first, count);
  float values[kOctet], gradients[kOctet];
  convert(x_octet, x.dtype, values);
  convert(dy_octet, dy.dtype, gradients);
#pragma unroll
  for (int i = 0; i < kOctet; ++i) gradients[i] *= slope_of<kKind>(values[i]);
  store_octet(dx, first, gradients, count);
}

template <UnaryKind kKind>
void run_unary(const Unary<kKind>& op, Context& context) {
  const int64_t size = op.x.size();
  launch_each(unary_kernel<kKind>, ceil_div<int64_t>(size, kOctet), context, op.x, op.y, size);
}

template <UnaryKind kKind>
void run_unary(const UnaryBackward<kKind>& op, Context& context) {
  const int64_t size = op.x.size();
  launch_each(unary_backward_kernel<kKind>, ceil_div<int64_t>(size, kOctet), context, op.x, op.dy, op.dx, size);
}

}  // namespace

// clang-format off
template <> void run(const Unary<UnaryKind::neg>& op, Context& context) { run_unary(op, context); }
template <> void run(const Unary<UnaryKind::abs>& op, Context& context) { run_unary(op, context); }
template <> void run(const Unary<UnaryKind::exp>& op, Context& context) { run_unary(op, context); }
template <> void run(const Unary<UnaryKind::log>& op, Context& context) { run_unary(op, context); }
template <> void run(const Unary<UnaryKind::sqrt>& op, Context& context) { run_unary(op, context); }
template <> void run(const Unary<UnaryKind::square>& op, Context& context) { run_unary(op, context); }
template <> void run(const Unary<UnaryKind::relu>& op, Context& context) { run_unary(op, context); }
template <> void run(const Unary<UnaryKind::sigmoid>& op, Context& context) { run_unary(op, context); }
template <> void run(const Unary<UnaryKind::tanh>& op, Context& context) { run_unary(op, context); }
template <> void run(const Unary<UnaryKind::silu>& op, Context& context) { run_unary(op, context); }
template <> void run(const Unary<UnaryKind::gelu>& op, Context& context) { run_unary(op, context); }
template <> void run(const Unary<UnaryKind::softplus>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::neg>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::abs>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::exp>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::log>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::sqrt>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::square>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::relu>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::sigmoid>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::tanh>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::silu>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::gelu>& op, Context& context) { run_unary(op, context); }
template <> void run(const UnaryBackward<UnaryKind::softplus>& op, Context& context) { run_unary(op, context); }
// clang-format on

}  // namespace statespace::cuda
