// The sum over the middle axis of [outer, length, inner], for other kernels' partial results too.
#pragma once

#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

struct SumShape {
  int64_t outer, length, inner;
  int64_t row_stride;  // from one of `length` to the next; an outer one is `length` of them
};

// y[outer, inner] = scale * sum of x over `length`, in float32 and in an order that follows from the shape.
void sum_middle(const Floats& x, const SumShape& shape, float scale, const Floats& y, Context& context);

}  // namespace statespace::cuda
