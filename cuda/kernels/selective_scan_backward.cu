// Gradients of Mamba's selective scan.
#include "cpp/ops/selective_scan.h"
#include "cuda/kernels/boundaries.h"
#include "cuda/kernels/selective_scan_backward_launch.cuh"

namespace statespace::cuda {
namespace selective_scan {

// One block per (chunk of a sequence, channels of one group).
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kChannels == 4 || Tile::kFixed ? 2 : 3)
    selective_scan_backward_kernel(const __grid_constant__ BackwardParams<typename Tile::T> p) {
  BackwardBlock<Tile>(p).run();
}

template <class Tile>
void launch_tile(const BackwardParams<typename Tile::T>& p, const SelectiveScanBackward& op, Context& context) {
  launch_backward<Tile>(selective_scan_backward_kernel<Tile>, p, op, context);
}

}  // namespace selective_scan

template <>
void run(const SelectiveScanBackward& op, Context& context) {
  using namespace selective_scan;
  if (op.u.dim(2) == 0) return;
  check_boundaries(op.cu_seqlens, op.u.dim(1), context);
  const Sequences sequences(op.u, op.cu_seqlens);
  const ScanShape shape = scan_shape(op, sequences);
  const Plan<BackwardVariant> plan = plan_backward(shape, context.multiprocessors);
  for_element_type(op.u.dtype, [&](auto element) {
    using T = decltype(element);
    const TimeChunks chunks(sequences, plan.steps);
    BackwardParams<T> p = backward_params<T>(op, shape, chunks, context);
    if (chunks.is_split()) {
      const SummaryInputs<T> inputs{p.dout,       p.delta, p.z,       p.C,          p.A,          p.C_fixed,
                                    p.delta_bias, chunks,  shape.dim, shape.groups, shape.states, p.delta_softplus};
      p.summaries = summarize(inputs, true, context);
    }
    if (shape.is_fixed) {
      launch_tile<BackwardTile<T, 2, true, true>>(p, op, context);
    } else if (shape.states > kBackwardStates) {
      launch_tile<BackwardTile<T, 4, true>>(p, op, context);
    } else if (plan.variant.channels == 4) {
      launch_tile<BackwardTile<T, 4>>(p, op, context);
    } else {
      launch_tile<BackwardTile<T, 2>>(p, op, context);
    }
  });
}

}  // namespace statespace::cuda
