// Sums over the states of each channel, in order.
#pragma once

#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

// One thread for each channel.
static __global__ void __launch_bounds__(kElementwiseThreads)
    sum_states_kernel(const double* parts, int64_t dim, int64_t states, float* total) {
  const int64_t d = global_thread();
  if (d >= dim) return;
  double sum = 0;
  for (int64_t n = 0; n < states; ++n) sum += parts[d * states + n];
  total[d] = static_cast<float>(sum);
}

[[maybe_unused]] static void sum_states(const double* parts, int64_t dim, int64_t states, float* total,
                                        const Context& context) {
  launch_each(sum_states_kernel, dim, context, parts, dim, states, total);
}

}  // namespace statespace::cuda
