// Gradients of Mamba's selective scan: how the blocks of selective_scan_backward.cuh are launched and their partial
// sums added up.
#include "cuda/kernels/selective_scan_backward.cuh"

#include "cpp/ops/selective_scan.h"
#include "cuda/kernels/boundaries.h"
#include "cuda/runtime/context.h"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda {
namespace selective_scan {

// One block per (chunk of a sequence, channels of one group).
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kChannels == 4 || Tile::kFixed ? 2 : 3)
    selective_scan_backward_kernel(const __grid_constant__ BackwardParams<typename Tile::T> p) {
  BackwardBlock<Tile>(p).run();
}

LaunchShape one_thread_each(int64_t count) {
  return {dim3(static_cast<unsigned>(ceil_div<int64_t>(count, kSumThreads))), dim3(kSumThreads)};
}

void sum_over_units(const float* partial, const Tensor& to, int64_t units, int64_t first_state, Context& context) {
  if (!to) return;
  const int64_t dim = to.dim(0), states = to.rank == 2 ? to.dim(1) : 1;
  const int64_t width = to.rank == 2 ? kBackwardStates : 1;
  launch(sum_over_units_kernel, one_thread_each(dim * width), context.stream, partial, to.as<float>(), units, dim,
         width, states, first_state);
}

template <class Tile>
void launch_backward(BackwardParams<typename Tile::T> p, const SelectiveScanBackward& op, Context& context) {
  using T = typename Tile::T;
  p.channels = Channels(p.channels.dim, p.groups, Tile::kBlockChannels);
  const int64_t blocks = p.chunks.units * p.channels.blocks;
  p.states_per_window = ceil_div(p.checkpoint_every, Tile::kSteps) - 1;
  if (p.states_per_window > 0) {
    p.states_in_window =
        context.scratch<float>(blocks * p.states_per_window * Tile::kChannels * Tile::kThreads * Tile::kPart);
  }
  const bool has_channel_sums = (op.dB || op.dC) && p.rows > 0;
  if (has_channel_sums) {
    p.dB_and_dC = context.scratch<float>(p.channels.blocks_per_group * p.rows * p.groups * Tile::kWidth);
  }
  const LaunchShape shape{dim3(static_cast<unsigned>(blocks)), dim3(Tile::kThreads), sizeof(typename Tile::Shared)};
  for (p.first_state = 0; p.first_state < p.states; p.first_state += kBackwardStates) {
    p.is_first_part = p.first_state == 0;
    p.is_last_part = p.first_state + kBackwardStates >= p.states;
    if (blocks > 0) launch(selective_scan_backward_kernel<Tile>, shape, context.stream, p);
    if (has_channel_sums) {
      const ChannelSums<T> sums{p.dB_and_dC, GroupRows<T>(op.dB), GroupRows<T>(op.dC),
                                p.rows,      op.u.dim(1),         p.groups,
                                p.states,    p.first_state,       p.channels.blocks_per_group};
      launch(sum_over_channels_kernel<T>, one_thread_each(p.rows * p.groups * Tile::kWidth), context.stream, sums);
    }
    sum_over_units(p.dA, op.dA, p.chunks.units, p.first_state, context);
    sum_over_units(p.dB_fixed, op.dB_fixed, p.chunks.units, p.first_state, context);
    sum_over_units(p.dC_fixed, op.dC_fixed, p.chunks.units, p.first_state, context);
  }
  sum_over_units(p.dD, op.dD, p.chunks.units, 0, context);
  sum_over_units(p.ddelta_bias, op.ddelta_bias, p.chunks.units, 0, context);
}

template <typename T>
BackwardParams<T> params_of(const SelectiveScanBackward& op, const ScanShape& shape, const TimeChunks& chunks,
                            Context& context) {
  const int64_t dim = shape.dim, per_group = dim / shape.groups;
  BackwardParams<T> p = {};
  p.dout = Rows<const T>(op.dout), p.u = Rows<const T>(op.u), p.delta = Rows<const T>(op.delta);
  p.z = Rows<const T>(op.z), p.y = Rows<const T>(op.y);
  p.B = GroupRows<const T>(op.B), p.C = GroupRows<const T>(op.C);
  p.A = op.A.as<float>(), p.B_fixed = op.B_fixed.as<float>(), p.C_fixed = op.C_fixed.as<float>();
  p.D = op.D.as<float>(), p.delta_bias = op.delta_bias.as<float>();
  p.initial_state = op.initial_state.as<float>(), p.dlast_state = op.dlast_state.as<float>();
  p.checkpoints = op.checkpoints.as<float>();
  p.du = Rows<T>(op.du), p.ddelta = Rows<T>(op.ddelta), p.dz = Rows<T>(op.dz);
  p.dinitial_state = op.dinitial_state.as<float>();

  p.chunks = chunks;
  p.channels.dim = dim;
  p.states = shape.states;
  p.rows = op.u.dim(0) * shape.length;
  p.groups = shape.groups;
  p.checkpoint_count = op.checkpoints.dim(1);
  p.checkpoint_every = static_cast<int>(shape.checkpoint_every);
  p.delta_softplus = op.delta_softplus;
  const auto fits = [&](const auto& rows) { return rows.is_vectorizable(per_group); };
  p.vectorizable = fits(p.dout) && fits(p.u) && fits(p.delta) && fits(p.z) && fits(p.y) && fits(p.dz) && fits(p.du) &&
                   fits(p.ddelta);

  const int64_t per_channel = chunks.units * dim;
  p.dA = context.scratch<float>(per_channel * kBackwardStates);
  if (op.dB_fixed) p.dB_fixed = context.scratch<float>(per_channel * kBackwardStates);
  if (op.dC_fixed) p.dC_fixed = context.scratch<float>(per_channel * kBackwardStates);
  if (op.dD) p.dD = context.scratch<float>(per_channel);
  if (op.ddelta_bias) p.ddelta_bias = context.scratch<float>(per_channel);
  if (shape.states > kBackwardStates) {
    p.du_sums = context.scratch<float>(p.rows * dim);
    p.ddelta_sums = context.scratch<float>(p.rows * dim);
  }
  if (chunks.is_split()) {
    const SummaryInputs<T> inputs{p.dout,       p.delta, p.z, p.C,          p.A,          p.C_fixed,
                                  p.delta_bias, chunks,  dim, shape.groups, shape.states, p.delta_softplus};
    p.summaries = summarize(inputs, true, context);
  }
  return p;
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
    const BackwardParams<T> p = params_of<T>(op, shape, TimeChunks(sequences, plan.steps), context);
    if (shape.is_fixed) {
      launch_backward<BackwardTile<T, 2, true, true>>(p, op, context);
    } else if (shape.states > kBackwardStates) {
      launch_backward<BackwardTile<T, 4, true>>(p, op, context);
    } else if (plan.variant.channels == 4) {
      launch_backward<BackwardTile<T, 4>>(p, op, context);
    } else {
      launch_backward<BackwardTile<T, 2>>(p, op, context);
    }
  });
}

}  // namespace statespace::cuda
