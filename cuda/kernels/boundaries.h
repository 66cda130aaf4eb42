// The boundaries of packed sequences are data of the device: what is wrong with them is known when kernels run.
#pragma once

#include "cpp/core/tensor.h"
#include "cuda/runtime/context.h"

namespace statespace::cuda {

// Reports the first of `cu_seqlens` that is not as it must be: 0 at first, no less than the one before, `length` at
// last. Kernels must not trust them nevertheless. Does nothing if there are none.
void check_boundaries(const Tensor& cu_seqlens, int64_t length, Context& context);

}  // namespace statespace::cuda
