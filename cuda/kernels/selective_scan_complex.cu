// The selective scan with complex states, forward: h = exp(delta A) h + delta u B, y = 2 Re of the sum of C h + D u,
// gated by silu(z); and one step of it for decoding, which is the scan of a sequence of length 1 from the state to the
// state. Time is taken as a whole.
#include "cpp/ops/selective_scan_complex.h"

#include "cuda/kernels/boundaries.h"
#include "cuda/kernels/selective_scan_forward.cuh"
#include "cuda/kernels/selective_state_update.cuh"

namespace statespace::cuda {
namespace selective_scan {

// Four states a thread. Whether B and C depend on time is asked at each step: an instruction or two of some 140.
template <typename T, int kStates, int kLanes>
struct ComplexForwardTile : ForwardTile<T, 2 * kStates, kLanes, 1, true> {
  static constexpr bool kComplex = true;
};

// One block per (sequence, channels of one group).
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kLanes == 8 ? 2 : 3)
    selective_scan_complex_kernel(const __grid_constant__ ForwardParams<typename Tile::T> p) {
  ForwardBlock<Tile>(p).run();
}

// `rows` are the steps of all sequences.
template <typename T>
void launch_forward(ForwardParams<T> p, int64_t rows, int64_t groups, Context& context) {
  using Few = ComplexForwardTile<T, 16, 4>;
  using Many = ComplexForwardTile<T, 32, 8>;
  if (p.states <= Few::kStates) return launch_parts<Few>(selective_scan_complex_kernel<Few>, p, groups, context);
  if (p.states > Many::kStates) p.sums = context.scratch<float>(rows * p.channels.dim);
  launch_parts<Many>(selective_scan_complex_kernel<Many>, p, groups, context);
}

}  // namespace selective_scan

template <>
void run(const SelectiveScanComplexForward& op, Context& context) {
  using namespace selective_scan;
  const Sequences sequences(op.u, op.cu_seqlens);
  if (sequences.count == 0 || op.u.dim(2) == 0) return;
  check_boundaries(op.cu_seqlens, op.u.dim(1), context);
  const ScanShape shape = scan_shape(op, sequences);
  for_element_type(op.u.dtype, [&](auto element) {
    using T = decltype(element);
    ForwardParams<T> p = forward_params<T>(op, shape, TimeChunks(sequences, shape.length));
    launch_forward(p, op.u.dim(0) * shape.length, shape.groups, context);
  });
}

template <>
void run(const SelectiveStateUpdateComplex& op, Context& context) {
  using namespace selective_scan;
  const int64_t batch = op.x.dim(0), dim = op.x.dim(1);
  if (batch == 0 || dim == 0) return;
  for_element_type(op.x.dtype, [&](auto element) {
    using T = decltype(element);
    ForwardParams<T> p = {};
    p.u = one_step<T>(op.x), p.delta = one_step<T>(op.dt), p.z = one_step<T>(op.z);
    p.B = one_group_step<T>(op.B), p.C = one_group_step<T>(op.C);
    p.A = op.A.as<float>(), p.D = op.D.as<float>(), p.delta_bias = op.dt_bias.as<float>();
    p.initial_state = op.state.as<float>(), p.last_state = op.state.as<float>();
    p.out = Rows<T>(op.out.as<T>(), op.out.stride(0), 0);
    p.chunks = TimeChunks(Sequences(batch, 1), 1);
    p.channels.dim = dim;
    p.states = 2 * op.A.dim(1);
    p.checkpoint_every = 1;
    p.delta_softplus = op.dt_softplus;
    launch_forward(p, batch, op.B.dim(1), context);
  });
}

}  // namespace statespace::cuda
