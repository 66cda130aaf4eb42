// How the blocks of selective_scan_backward.cuh are launched and their partial sums added up, for the real op and for
// the complex one.
#pragma once

#include "cuda/kernels/selective_scan_backward.cuh"
#include "cuda/runtime/context.h"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda::selective_scan {

inline LaunchShape one_thread_each(int64_t count) {
  return {dim3(static_cast<unsigned>(ceil_div<int64_t>(count, kSumThreads))), dim3(kSumThreads)};
}

inline void sum_over_units(const float* partial, const Tensor& to, int64_t units, int64_t first_state,
                           Context& context) {
  if (!to) return;
  const int64_t dim = to.dim(0), states = to.size() / dim;
  const int64_t width = to.rank > 1 ? kBackwardStates : 1;
  launch(sum_over_units_kernel, one_thread_each(dim * width), context.stream, partial, to.as<float>(), units, dim,
         width, states, first_state);
}

template <class Tile, typename Kernel, typename Op>
void launch_backward(Kernel kernel, BackwardParams<typename Tile::T> p, const Op& op, Context& context) {
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
    if (blocks > 0) launch(kernel, shape, context.stream, p);
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

template <typename T, typename Op>
BackwardParams<T> backward_params(const Op& op, const ScanShape& shape, const TimeChunks& chunks, Context& context) {
  const int64_t dim = shape.dim, per_group = dim / shape.groups;
  BackwardParams<T> p = {};
  p.dout = Rows<const T>(op.dout), p.u = Rows<const T>(op.u), p.delta = Rows<const T>(op.delta);
  p.z = Rows<const T>(op.z), p.y = Rows<const T>(op.y);
  p.B = GroupRows<const T>(op.B), p.C = GroupRows<const T>(op.C);
  p.A = op.A.template as<float>(), p.B_fixed = op.B_fixed.template as<float>(),
  p.C_fixed = op.C_fixed.template as<float>();
  p.D = op.D.template as<float>(), p.delta_bias = op.delta_bias.template as<float>();
  p.initial_state = op.initial_state.template as<float>(), p.dlast_state = op.dlast_state.template as<float>();
  p.checkpoints = op.checkpoints.template as<float>();
  p.du = Rows<T>(op.du), p.ddelta = Rows<T>(op.ddelta), p.dz = Rows<T>(op.dz);
  p.dinitial_state = op.dinitial_state.template as<float>();

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
  return p;
}

}  // namespace statespace::cuda::selective_scan
