// Gradients of the selective scan with complex states; its formulas are in selective_scan_backward.cuh.
#include "cpp/ops/selective_scan_complex.h"
#include "cuda/kernels/boundaries.h"
#include "cuda/kernels/selective_scan_backward_launch.cuh"

namespace statespace::cuda {
namespace selective_scan {

// Two channels and two states of each a thread, eight states a launch; B and C may be of either kind.
template <typename T>
struct ComplexBackwardTile : BackwardTile<T, 2, true, true> {
  static constexpr bool kComplex = true;
};

// One block per (sequence, channels of one group).
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2)
    selective_scan_complex_backward_kernel(const __grid_constant__ BackwardParams<typename Tile::T> p) {
  BackwardBlock<Tile>(p).run();
}

}  // namespace selective_scan

template <>
void run(const SelectiveScanComplexBackward& op, Context& context) {
  using namespace selective_scan;
  if (op.u.dim(2) == 0) return;
  check_boundaries(op.cu_seqlens, op.u.dim(1), context);
  const Sequences sequences(op.u, op.cu_seqlens);
  const ScanShape shape = scan_shape(op, sequences);
  for_element_type(op.u.dtype, [&](auto element) {
    using Tile = ComplexBackwardTile<decltype(element)>;
    const TimeChunks chunks(sequences, shape.length);
    const auto p = backward_params<typename Tile::T>(op, shape, chunks, context);
    launch_backward<Tile>(selective_scan_complex_backward_kernel<Tile>, p, op, context);
  });
}

}  // namespace statespace::cuda
