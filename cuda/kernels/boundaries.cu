#include "cuda/kernels/boundaries.h"

#include "cuda/device/reduce.cuh"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda {
namespace {

constexpr int kThreads = 256;

// One block, so that always the same fault is reported.
__global__ void __launch_bounds__(kThreads)
    check_boundaries_kernel(const int32_t* boundaries, int count, int64_t length, DeviceFault* fault) {
  // By how much a bad boundary is before the end of the list; the last one may be bad for its value or for its order.
  int worst = 0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
    const bool is_bad = i == 0 ? boundaries[0] != 0 : boundaries[i] < boundaries[i - 1];
    if (is_bad) worst = max(worst, count - i);
  }
  worst = block_max(worst, 0);
  if (threadIdx.x != 0) return;
  const int at = worst > 0 ? count - worst : count - 1;
  const int64_t found = boundaries[at];
  if ((worst == 0 && found == length) || fault->raised != kNoFault) return;
  fault->value = found;
  fault->position = at;
  fault->limit = worst == 0 ? length : at == 0 ? 0 : boundaries[at - 1];
  fault->raised = worst == 0 ? kLastBoundaryFault : at == 0 ? kFirstBoundaryFault : kBoundaryOrderFault;
}

}  // namespace

void check_boundaries(const Tensor& cu_seqlens, int64_t length, Context& context) {
  if (!cu_seqlens) return;
  launch(check_boundaries_kernel, {dim3(1), dim3(kThreads)}, context.stream, cu_seqlens.as<const int32_t>(),
         static_cast<int>(cu_seqlens.dim(0)), length, context.fault);
}

}  // namespace statespace::cuda
