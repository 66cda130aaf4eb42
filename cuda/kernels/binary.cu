// Elementwise functions of two tensors, y = alpha x + beta, and target += x. A thread computes eight neighbours of a
// row.
#include "cpp/ops/binary.h"

#include "cuda/kernels/floats.cuh"
#include "cuda/kernels/layout.cuh"

namespace statespace::cuda {

namespace {

template <BinaryKind kKind>
__device__ float value_of(float a, float b) {
  if constexpr (kKind == BinaryKind::add) return a + b;
  if constexpr (kKind == BinaryKind::sub) return a - b;
  if constexpr (kKind == BinaryKind::mul) return a * b;
  if constexpr (kKind == BinaryKind::div) return a / b;
}

template <BinaryKind kKind>
__global__ void binary_kernel(Floats a, Floats b, Floats y, StridedRows<2> layout) {
  const int64_t octets = ceil_div<int64_t>(layout.inner, kOctet);
  const int64_t row = quotient(global_thread(), octets);
  if (row >= layout.rows) return;
  const int64_t first = (global_thread() - row * octets) * kOctet;
  const int count = octet_count(first, layout.inner);
  int64_t offset[2];
  layout.offsets(row, offset);
  float left[kOctet], right[kOctet];
  load_octet_strided(left, a, offset[0] + first * layout.inner_stride[0], layout.inner_stride[0], count);
  load_octet_strided(right, b, offset[1] + first * layout.inner_stride[1], layout.inner_stride[1], count);
#pragma unroll
  for (int i = 0; i < kOctet; ++i) left[i] = value_of<kKind>(left[i], right[i]);
  store_octet(y, row * layout.inner + first, left, count);
}

template <BinaryKind kKind>
void run_binary(const Binary<kKind>& op, Context& context) {
  if (op.y.size() == 0) return;
  const StridedRows<2> layout = strided_rows<2>({&op.a, &op.b});
  launch_each(binary_kernel<kKind>, layout.rows * ceil_div<int64_t>(layout.inner, kOctet), context, op.a, op.b, op.y,
              layout);
}

__global__ void scale_kernel(Floats x, float alpha, float beta, Floats y, int64_t size) {
  const int64_t first = global_thread() * kOctet;
  if (first >= size) return;
  const int count = octet_count(first, size);
  float values[kOctet];
  load_octet(values, x, first, count);
#pragma unroll
  for (int i = 0; i < kOctet; ++i) values[i] = fma_rn(alpha, values[i], beta);
  store_octet(y, first, values, count);
}

__global__ void accumulate_kernel(Floats target, Floats x, int64_t size) {
  const int64_t first = global_thread() * kOctet;
  if (first >= size) return;
  const int count = octet_count(first, size);
  const Octet target_octet = load_octet(target, first, count), x_octet = load_octet(x, first, count);
  float sums[kOctet], values[kOctet];
  convert(target_octet, target.dtype, sums);
  convert(x_octet, x.dtype, values);
#pragma unroll
  for (int i = 0; i < kOctet; ++i) sums[i] += values[i];
  store_octet(target, first, sums, count);
}

}  // namespace

template <>
void run(const Binary<BinaryKind::add>& op, Context& context) {
  run_binary(op, context);
}
template <>
void run(const Binary<BinaryKind::sub>& op, Context& context) {
  run_binary(op, context);
}
template <>
void run(const Binary<BinaryKind::mul>& op, Context& context) {
  run_binary(op, context);
}
template <>
void run(const Binary<BinaryKind::div>& op, Context& context) {
  run_binary(op, context);
}

template <>
void run(const Scale& op, Context& context) {
  const int64_t size = op.x.size();
  launch_each(scale_kernel, ceil_div<int64_t>(size, kOctet), context, op.x, static_cast<float>(op.alpha),
              static_cast<float>(op.beta), op.y, size);
}

template <>
void run(const Accumulate& op, Context& context) {
  const int64_t size = op.x.size();
  launch_each(accumulate_kernel, ceil_div<int64_t>(size, kOctet), context, op.target, op.x, size);
}

}  // namespace statespace::cuda
