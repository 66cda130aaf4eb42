// Mamba's selective scan, forward (Mamba, section 3): h = exp(delta A) h + delta u B, y = sum of C h + D u, gated by
// silu(z). A plain loop over time per channel, because it takes fewer instructions than any associative scan.
#include "cpp/ops/selective_scan.h"

#include "cuda/kernels/boundaries.h"
#include "cuda/kernels/selective_scan_forward.cuh"
#include "cuda/kernels/selective_scan_plan.h"

namespace statespace::cuda {
namespace selective_scan {

// One block per (chunk of a sequence, channels of one group).
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kFixed          ? 2
                                                  : Tile::kStates == 64 ? 3
                                                                        : 4)
    selective_scan_kernel(const __grid_constant__ ForwardParams<typename Tile::T> p) {
  ForwardBlock<Tile>(p).run();
}

template <class Tile>
void launch_forward(const ForwardParams<typename Tile::T>& p, int64_t groups, Context& context) {
  launch_parts<Tile>(selective_scan_kernel<Tile>, p, groups, context);
}

template <typename T>
void launch_variant(const ForwardVariant& variant, const ForwardParams<T>& p, int64_t groups, Context& context) {
  const auto is = [&](int states, int lanes, int channels) {
    return variant.states == states && variant.lanes == lanes && variant.channels == channels;
  };
  if (variant.is_fixed) return launch_forward<ForwardTile<T, 64, 4, 1, true>>(p, groups, context);
  if (is(8, 2, 2)) return launch_forward<ForwardTile<T, 8, 2, 2>>(p, groups, context);
  if (is(8, 4, 1)) return launch_forward<ForwardTile<T, 8, 4, 1>>(p, groups, context);
  if (is(16, 2, 2)) return launch_forward<ForwardTile<T, 16, 2, 2>>(p, groups, context);
  if (is(16, 2, 1)) return launch_forward<ForwardTile<T, 16, 2, 1>>(p, groups, context);
  if (is(16, 4, 1)) return launch_forward<ForwardTile<T, 16, 4, 1>>(p, groups, context);
  if (is(16, 8, 1)) return launch_forward<ForwardTile<T, 16, 8, 1>>(p, groups, context);
  if (is(32, 2, 1)) return launch_forward<ForwardTile<T, 32, 2, 1>>(p, groups, context);
  if (is(32, 8, 1)) return launch_forward<ForwardTile<T, 32, 8, 1>>(p, groups, context);
  if (is(64, 4, 1)) return launch_forward<ForwardTile<T, 64, 4, 1>>(p, groups, context);
  return launch_forward<ForwardTile<T, 64, 8, 1>>(p, groups, context);
}

}  // namespace selective_scan

template <>
void run(const SelectiveScanForward& op, Context& context) {
  using namespace selective_scan;
  const int64_t dim = op.u.dim(2), states = op.A.dim(1);
  const Sequences sequences(op.u, op.cu_seqlens);
  if (sequences.count == 0 || dim == 0) return;
  check_boundaries(op.cu_seqlens, op.u.dim(1), context);
  const ScanShape shape = scan_shape(op, sequences);
  const Plan<ForwardVariant> plan = plan_forward(shape, context.multiprocessors);
  for_element_type(op.u.dtype, [&](auto element) {
    using T = decltype(element);
    ForwardParams<T> p = forward_params<T>(op, shape, TimeChunks(sequences, plan.steps));
    if (states > kStatesPerPart) p.sums = context.scratch<float>(op.u.size());
    if (p.chunks.is_split()) {
      const SummaryInputs<T> inputs{p.u,          p.delta,  {},  p.B,          p.A,    p.B_fixed,
                                    p.delta_bias, p.chunks, dim, shape.groups, states, p.delta_softplus};
      p.summaries = summarize(inputs, false, context);
    }
    launch_variant(plan.variant, p, shape.groups, context);
  });
}

}  // namespace statespace::cuda
