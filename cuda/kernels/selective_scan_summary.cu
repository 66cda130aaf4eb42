// The first pass of a selective scan that is split along time: each chunk from zero, without outputs.
#include "cuda/kernels/selective_scan_summary.cuh"

#include "cuda/kernels/selective_scan_tile.cuh"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda::selective_scan {
namespace {

template <typename T>
struct SummaryParams {
  SummaryInputs<T> in;
  Channels channels;
  int parts;  // of the states, each a block's
  bool vectorizable_rows, vectorizable_states;
  float *delta_sums, *ends;  // as in Summaries
};

// Four lanes share a channel; of four steps each lane owns one. The adjoint sees time reversed: its tensors are walked
// from their last step.
template <typename T>
using SummaryTile = ForwardTile<T, 16, 4, 1>;

template <typename T, bool kAdjoint>
class SummaryBlock {
  using Tile = SummaryTile<T>;
  static constexpr int kPart = Tile::kPart, kLanes = Tile::kLanes;

 public:
  __device__ explicit SummaryBlock(const SummaryParams<T>& p) : p_(p) {
    const ChannelBlock block = p.channels.template at<Tile::kBlockChannels>(blockIdx.x % p.channels.blocks);
    const int64_t part = blockIdx.x / p.channels.blocks % p.parts;
    unit_ = static_cast<int>(blockIdx.x) / p.channels.blocks / p.parts;
    const TimeChunk chunk = p.in.chunks.at(unit_);
    batch_ = chunk.batch;
    begin_ = kAdjoint ? p.in.chunks.sequences.length - chunk.end : chunk.begin;
    end_ = begin_ + chunk.end - chunk.begin;
    is_wanted_ = chunk.exists() && (kAdjoint ? chunk.before : chunk.after) > 0;

    group_ = block.group;
    channels_ = block.count;
    own_ = static_cast<int>(threadIdx.x) / kLanes;
    lane_ = static_cast<int>(threadIdx.x) % kLanes;
    channel_ = block.first + own_;
    is_channel_ = own_ < channels_;
    block_state_ = part * Tile::kStates;
    state_ = block_state_ + lane_ * kPart;
    delta_bias_ = p.in.delta_bias && is_channel_ ? p.in.delta_bias[channel_] : 0.0f;
#pragma unroll
    for (int i = 0; i < kPart; ++i) {
      const bool is_state = is_channel_ && state_ + i < p.in.states;
      const int64_t at = channel_ * p.in.states + state_ + i;
      h_[i] = 0.0f;
      A_[i] = is_state ? mul_rn(p.in.A[at], kLog2E) : 0.0f;
      B_[i] = is_state && p.in.B_fixed ? p.in.B_fixed[at] : 0.0f;
    }
  }

  __device__ void run() {
    if (!is_wanted_) return;  // the whole block
    const int first = begin_ / Tile::kSteps, last = ceil_div(end_, Tile::kSteps);
    TileSource<Tile> source(
        p_.in.u, p_.in.delta, p_.in.z, p_.in.B, {}, p_.vectorizable_rows, p_.vectorizable_states,
        {batch_, group_, channel_ - own_, block_state_, p_.in.states, channels_, begin_, end_, first * Tile::kSteps});
    source.copy(TileStage<Tile>(first % 2));
    for (int tile = first; tile < last; ++tile) {
      const TileStage<Tile> stage(tile % 2);
      async_wait<0>();
      source.widen_states(stage);
      __syncthreads();  // the tile is complete, and all threads are done with the one before
      if (tile + 1 < last) source.copy(TileStage<Tile>((tile + 1) % 2));
      const int start = tile * Tile::kSteps, from = max(start, begin_), to = min(start + Tile::kSteps, end_);
#pragma unroll 2
      for (int step = from & -kLanes; step < to; step += kLanes) run_steps(stage, step, step - start);
    }
    store();
  }

 private:
  // A step outside the chunk leaves everything as it is: the tile has zeros there, and its step size is zero.
  __device__ void run_steps(const TileStage<Tile>& stage, int step, int row) {
    const int at = (row + lane_) * Tile::kBlockChannels + own_;
    const bool is_live = step + lane_ >= begin_ && step + lane_ < end_;
    const float positive = step_size(add_rn(to_float(stage.delta[at]), delta_bias_), p_.in.delta_softplus);
    const float own_delta = is_live ? positive : 0.0f;
    float own_input = to_float(stage.u[at]);
    if constexpr (kAdjoint) {
      if (p_.in.z) own_input *= silu(to_float(stage.z[at]));
    } else {
      own_input = mul_rn(own_delta, own_input);
    }
    delta_sum_ += own_delta;
#pragma unroll
    for (int owner = 0; owner < kLanes; ++owner) {
      const float delta = __shfl_sync(kFullWarp, own_delta, owner, kLanes);
      const float input = __shfl_sync(kFullWarp, own_input, owner, kLanes);
      if (!p_.in.B_fixed) load_floats(B_, stage.wide + (row + owner) * 2 * Tile::kStates + lane_ * kPart);
#pragma unroll
      for (int i = 0; i < kPart; ++i) {
        if constexpr (kAdjoint) {
          h_[i] = mul_rn(ex2(mul_rn(delta, A_[i])), fma_rn(input, B_[i], h_[i]));
        } else {
          h_[i] = advance(h_[i], delta, A_[i], input, B_[i]);
        }
      }
    }
  }

  __device__ void store() const {
    const float delta_sum = warp_sum<kLanes>(delta_sum_);
    const int64_t at = int64_t{unit_} * p_.in.dim + channel_;
    if (is_channel_ && state_ == 0) p_.delta_sums[at] = delta_sum;
#pragma unroll
    for (int i = 0; i < kPart; ++i) {
      if (is_channel_ && state_ + i < p_.in.states) p_.ends[at * p_.in.states + state_ + i] = h_[i];
    }
  }

  const SummaryParams<T>& p_;
  int64_t group_, channel_, block_state_, state_;
  int unit_, batch_, begin_, end_, channels_, own_, lane_;  // of the time that the block sees
  bool is_wanted_, is_channel_;
  float delta_bias_, delta_sum_ = 0.0f;
  float A_[kPart];  // times log2(e)
  float h_[kPart], B_[kPart];
};

// One block per (chunk, 16 states, channels of one group).
template <typename T, bool kAdjoint>
__global__ void __launch_bounds__(SummaryTile<T>::kThreads, 4)
    selective_scan_summary_kernel(const __grid_constant__ SummaryParams<T> p) {
  SummaryBlock<T, kAdjoint>(p).run();
}

template <typename T>
Rows<const T> reversed(const Rows<const T>& rows, int64_t length) {
  if (!rows) return rows;
  return {rows.data + (length - 1) * rows.step_stride, rows.batch_stride, -rows.step_stride};
}

}  // namespace

template <typename T>
Summaries summarize(const SummaryInputs<T>& inputs, bool is_adjoint, Context& context) {
  using Tile = SummaryTile<T>;
  SummaryParams<T> p = {};
  p.in = inputs;
  if (is_adjoint) {
    const int64_t length = inputs.chunks.sequences.length;
    p.in.u = reversed(inputs.u, length), p.in.delta = reversed(inputs.delta, length);
    p.in.z = reversed(inputs.z, length);
    if (inputs.B) {
      const GroupRows<const T>& B = inputs.B;
      p.in.B = {B.data + (length - 1) * B.step_stride, B.batch_stride, -B.step_stride, B.group_stride};
    }
  }
  p.channels = Channels(inputs.dim, inputs.groups, Tile::kBlockChannels);
  p.parts = static_cast<int>(ceil_div<int64_t>(inputs.states, Tile::kStates));
  const int64_t per_group = p.channels.per_group, units = inputs.chunks.units;
  p.vectorizable_rows =
      p.in.u.is_vectorizable(per_group) && p.in.delta.is_vectorizable(per_group) && p.in.z.is_vectorizable(per_group);
  p.vectorizable_states = p.in.B.is_vectorizable();
  p.delta_sums = context.scratch<float>(units * inputs.dim);
  p.ends = context.scratch<float>(units * inputs.dim * inputs.states);
  const LaunchShape shape{dim3(static_cast<unsigned>(units * p.parts * p.channels.blocks)), dim3(Tile::kThreads),
                          Tile::kSharedBytes};
  launch(is_adjoint ? selective_scan_summary_kernel<T, true> : selective_scan_summary_kernel<T, false>, shape,
         context.stream, p);
  return {p.delta_sums, p.ends, inputs.dim, inputs.states};
}

template Summaries summarize(const SummaryInputs<float>&, bool, Context&);
template Summaries summarize(const SummaryInputs<bf16>&, bool, Context&);
template Summaries summarize(const SummaryInputs<f16>&, bool, Context&);

}  // namespace statespace::cuda::selective_scan
