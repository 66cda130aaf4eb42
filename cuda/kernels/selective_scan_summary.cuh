// What a chunk of time does to whatever enters it, for scans that are split along time: h becomes P h + end, where
// P = exp(A sum of delta), and `end` is where a scan from zero arrives. The adjoint, which runs from the last step to
// the first, has the same P.
#pragma once

#include "cuda/kernels/selective_scan_rows.cuh"
#include "cuda/kernels/selective_scan_step.cuh"
#include "cuda/runtime/context.h"

namespace statespace::cuda::selective_scan {

struct Summaries {
  const float *delta_sums = nullptr, *ends = nullptr;  // [units, dim] and [units, dim, states]
  int64_t dim = 0, states = 0;

  // What leaves the chunk if `h` enters it.
  __device__ float pass(float h, float scaled_A, int64_t unit, int64_t channel, int64_t state) const {
    const int64_t at = unit * dim + channel;
    return fma_rn(ex2(mul_rn(delta_sums[at], scaled_A)), h, ends[at * states + state]);
  }
};

// h = exp(delta A) h + delta u B; for the adjoint carry = exp(delta A) (carry + u silu(z) B), with u the gradient of
// the output and B the C of the scan.
template <typename T>
struct SummaryInputs {
  Rows<const T> u, delta, z;
  GroupRows<const T> B;
  const float *A, *B_fixed;  // [dim, states]
  const float* delta_bias;   // [dim]
  TimeChunks chunks;
  int64_t dim, groups, states;
  bool delta_softplus;
};

// Summaries of all chunks that another of their sequence follows (for the adjoint: goes before), in scratch memory.
// Defined in selective_scan_summary.cu for the three element types.
template <typename T>
Summaries summarize(const SummaryInputs<T>& inputs, bool is_adjoint, Context& context);

}  // namespace statespace::cuda::selective_scan
