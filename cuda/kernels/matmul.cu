// Batched matrix product over the last two axes.
#include "cpp/ops/matmul.h"

#include "cuda/kernels/gemm.cuh"
#include "cuda/kernels/layout.cuh"

namespace statespace::cuda {

namespace {

// The leading axes as one axis of a tensor whose last two are left out.
Tensor leading_axes(const Tensor& tensor) {
  Tensor leading = tensor;
  leading.rank = static_cast<int8_t>(tensor.rank - 2);
  return leading;
}

const void* at(const Tensor& tensor, int64_t offset) {
  return static_cast<const char*>(tensor.data) + offset * static_cast<int64_t>(size_of(tensor.dtype));
}

}  // namespace

template <>
void run(const Matmul& op, Context& context) {
  if (op.y.size() == 0) return;
  const int64_t m = op.a.dim(-2), k = op.a.dim(-1), n = op.b.dim(-1);
  const Tensor a = leading_axes(op.a), b = leading_axes(op.b);
  // Axes that cannot be joined are walked here: one launch for each of their positions.
  const StridedRows<2> leading = strided_rows<2>({&a, &b});
  Gemm product = {};
  product.m = m;
  product.n = n;
  product.k = k;
  product.a_row = op.a.stride(-2);
  product.a_column = op.a.stride(-1);
  product.b_row = op.b.stride(-2);
  product.b_column = op.b.stride(-1);
  product.ldc = n;
  product.a_type = static_cast<int>(op.a.dtype);
  product.b_type = static_cast<int>(op.b.dtype);
  product.c_type = static_cast<int>(op.y.dtype);
  product.batch = leading.inner;
  product.a_batch = leading.inner_stride[0];
  product.b_batch = leading.inner_stride[1];
  product.c_batch = m * n;
  // One b for all, and the rows of a after each other: one tall product.
  if (leading.inner > 1 && product.b_batch == 0 && product.a_batch == m * product.a_row) {
    product.m = m * leading.inner;
    product.batch = 1;
  }
  for (int64_t row = 0; row < leading.rows; ++row) {
    int64_t offset[2];
    leading.offsets(row, offset);
    product.a = at(op.a, offset[0]);
    product.b = at(op.b, offset[1]);
    product.c = const_cast<void*>(at(op.y, row * leading.inner * m * n));
    gemm(product, context);
  }
}

}  // namespace statespace::cuda
