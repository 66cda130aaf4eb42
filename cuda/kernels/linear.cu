// y = x weight^T + bias, and its two backward products.
#include "cpp/ops/linear.h"

#include "cpp/ops/copy.h"
#include "cpp/ops/fill.h"
#include "cuda/kernels/gemm.cuh"
#include "cuda/kernels/sum.cuh"

namespace statespace::cuda {

template <>
void run(const LinearForward& op, Context& context) {
  multiply(op.x.rows(), op.weight.dim(0), op.weight.dim(1), as_is(op.x), transposed(op.weight), op.y,
           op.bias.as<float>(), false, context);
}

template <>
void run(const LinearBackwardInput& op, Context& context) {
  multiply(op.dy.rows(), op.weight.dim(1), op.weight.dim(0), as_is(op.dy), as_is(op.weight), op.dx, nullptr, false,
           context);
}

template <>
void run(const LinearBackwardWeight& op, Context& context) {
  const int64_t rows = op.x.rows(), outputs = op.dy.dim(-1);
  multiply(outputs, op.x.dim(-1), rows, transposed(op.dy), as_is(op.x), op.dweight, nullptr, false, context);
  if (op.with_bias) sum_middle(op.dy, {1, rows, outputs, op.dy.row_stride()}, 1.0f, op.dbias, context);
}

// Products read a weight where it lies, so packing is a copy; the rows that fill it up are zero.
template <>
void run(const LinearPack& op, Context& context) {
  const int64_t outputs = op.weight.dim(0);
  Copy copy = {op.weight, op.dtype, op.packed};
  copy.y.shape[0] = outputs;
  run(copy, context);
  Fill rest = {op.packed, 0};
  rest.target.data = op.packed.as<char>() + outputs * op.packed.row_stride() * static_cast<int64_t>(size_of(op.dtype));
  rest.target.shape[0] -= outputs;
  run(rest, context);
}

template <>
void run(const LinearPackedForward& op, Context& context) {
  multiply(op.x.rows(), op.y.dim(-1), op.packed.dim(1), as_is(op.x), transposed(op.packed), op.y, op.bias.as<float>(),
           false, context);
}

}  // namespace statespace::cuda
