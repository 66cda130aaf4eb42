// The forward selective scan of one block: tiles of steps come to shared memory, states stay in registers. Of complex
// states two numbers of a thread, re and im, are one.
#pragma once

#include <climits>

#include "cuda/device/reduce.cuh"
#include "cuda/kernels/selective_scan_complex_step.cuh"
#include "cuda/kernels/selective_scan_step.cuh"
#include "cuda/kernels/selective_scan_summary.cuh"
#include "cuda/kernels/selective_scan_tile.cuh"
#include "cuda/runtime/context.h"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda::selective_scan {

template <typename T>
struct ForwardParams {
  Rows<const T> u, delta, z;
  GroupRows<const T> B, C;
  const float *A, *B_fixed, *C_fixed;  // [dim, states]
  const float *D, *delta_bias;         // [dim]
  const float* initial_state;          // [sequences, dim, states]
  Rows<T> out, y;
  float *last_state, *checkpoints;
  float* sums;  // [batch, length, dim]: the sums over the states of earlier launches, if it takes several
  Channels channels;
  TimeChunks chunks;
  Summaries summaries;  // of the chunks, if there are several
  int64_t states, first_state, checkpoint_count;
  int checkpoint_every;
  bool delta_softplus, vectorizable_rows, vectorizable_states, vectorizable_results, is_first_part, is_last_part;

  void lay_over_channels(int64_t groups, int block_channels) {
    channels = Channels(channels.dim, groups, block_channels);
    const auto fits = [&](const auto& rows) { return rows.is_vectorizable(channels.per_group); };
    vectorizable_rows = fits(u) && fits(delta) && fits(z);
    vectorizable_results = fits(out) && fits(y);
    vectorizable_states = B.is_vectorizable() && C.is_vectorizable();
  }
};

// Of the real op or of the complex one; what the chunks need besides is left to the caller.
template <typename T, typename Op>
ForwardParams<T> forward_params(const Op& op, const ScanShape& shape, const TimeChunks& chunks) {
  ForwardParams<T> p = {};
  p.u = Rows<const T>(op.u), p.delta = Rows<const T>(op.delta), p.z = Rows<const T>(op.z);
  p.B = GroupRows<const T>(op.B), p.C = GroupRows<const T>(op.C);
  p.A = op.A.template as<float>(), p.D = op.D.template as<float>(), p.delta_bias = op.delta_bias.template as<float>();
  p.B_fixed = op.B_fixed.template as<float>(), p.C_fixed = op.C_fixed.template as<float>();
  p.initial_state = op.initial_state.template as<float>();
  p.out = Rows<T>(op.out), p.y = Rows<T>(op.y);
  p.last_state = op.last_state.template as<float>(), p.checkpoints = op.checkpoints.template as<float>();
  p.chunks = chunks;
  p.channels.dim = shape.dim;
  p.states = shape.states;
  p.checkpoint_count = op.checkpoints ? op.checkpoints.dim(1) : 0;
  p.checkpoint_every = static_cast<int>(shape.checkpoint_every);
  p.delta_softplus = op.delta_softplus;
  return p;
}

template <class Tile>
class ForwardBlock {
  using T = typename Tile::T;
  static constexpr int kPart = Tile::kPart, kLanes = Tile::kLanes, kChannels = Tile::kChannels;
  static constexpr int kLevels = kLanes == 8 ? 3 : kLanes / 2;
  static constexpr bool kIsPartial = Tile::kStates == kStatesPerPart;  // more states than that take several launches
  static constexpr bool kComplex = Tile::kComplex;

 public:
  __device__ explicit ForwardBlock(const ForwardParams<T>& p) : p_(p) {
    const ChannelBlock block = p.channels.template at<Tile::kBlockChannels>(blockIdx.x % p.channels.blocks);
    const int unit = static_cast<int>(blockIdx.x) / p.channels.blocks;
    const TimeChunk chunk = p.chunks.at(unit);
    group_ = block.group;
    channels_ = block.count;
    sequence_ = chunk.sequence, batch_ = chunk.batch;
    begin_ = chunk.begin, end_ = chunk.end;

    own_ = static_cast<int>(threadIdx.x) / (kLanes / kChannels);
    lane_ = static_cast<int>(threadIdx.x) % kLanes;
    channel_ = block.first + own_;
    is_channel_ = own_ < channels_;
    is_full_ = channels_ == Tile::kBlockChannels;
    first_state_ = p.first_state + lane_ * kPart;
    D_ = p.D && is_channel_ ? p.D[channel_] : 0.0f;
    delta_bias_ = p.delta_bias && is_channel_ ? p.delta_bias[channel_] : 0.0f;
    if constexpr (kChannels == 1) {
#pragma unroll
      for (int level = 0; level < kLevels; ++level) odd_[level] = lane_mask(1 << level);
    }
    load_states();
    if constexpr (!kComplex) {
      if (p.chunks.is_split()) pass_earlier_chunks(unit, chunk.before);
    }
  }

  __device__ void run() {
    if (begin_ < 0) return;  // the whole block
    next_checkpoint_ = INT_MAX;
    if (p_.checkpoints) next_checkpoint_ = ceil_div(begin_, p_.checkpoint_every) * p_.checkpoint_every;

    const int first = begin_ / Tile::kSteps, last = ceil_div(end_, Tile::kSteps);
    const typename TileSource<Tile>::Where where{
        batch_, group_, channel_ - own_, p_.first_state, p_.states, channels_, begin_, end_, first * Tile::kSteps};
    TileSource<Tile> source(p_.u, p_.delta, p_.z, p_.B, p_.C, p_.vectorizable_rows, p_.vectorizable_states, where);
    TileSink<Tile> sink(p_.out, p_.y, p_.vectorizable_results, where);
    const bool has_results = begin_ < end_ && (!kIsPartial || p_.is_last_part);
    if (begin_ < end_) source.copy(TileStage<Tile>(first % 2));
    for (int tile = first; tile < last && begin_ < end_; ++tile) {
      const TileStage<Tile> stage(tile % 2);
      async_wait<0>();
      source.widen_states(stage);
      __syncthreads();  // the tile is complete, and all threads are done with the one before
      if (has_results && tile > first) sink.store(TileStage<Tile>((tile + 1) % 2));
      if (tile + 1 < last) source.copy(TileStage<Tile>((tile + 1) % 2));
      run_tile(stage, tile * Tile::kSteps);
    }
    __syncthreads();  // the last results
    if (has_results) sink.store(TileStage<Tile>((last + 1) % 2));
    if (p_.chunks.is_split() && end_ < p_.chunks.sequences.end_of(sequence_)) return;
    for_states([&](int slot, int i, int64_t channel, int64_t state) {
      p_.last_state[(int64_t{sequence_} * p_.channels.dim + channel) * p_.states + state] = h_[slot][i];
    });
  }

 private:
  struct Own {  // of the channel that this thread owns, at one step
    float u, delta, delta_u;
  };

  // Calls f(slot, i, channel, state) for the states in registers that exist. Slot `j` of a lane is the channel of the
  // lane whose number differs by `j` in the bits: sums over lanes then need no selection.
  template <typename Function>
  __device__ void for_states(Function f) const {
#pragma unroll
    for (int slot = 0; slot < kChannels; ++slot) {
#pragma unroll
      for (int i = 0; i < kPart; ++i) {
        if ((own_ ^ slot) < channels_ && first_state_ + i < p_.states) {
          f(slot, i, channel_ - own_ + (own_ ^ slot), first_state_ + i);
        }
      }
    }
  }

  __device__ void load_states() {
#pragma unroll
    for (int slot = 0; slot < kChannels; ++slot) {
#pragma unroll
      for (int i = 0; i < kPart; ++i) A_[slot][i] = h_[slot][i] = 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kPart; ++i) B_[i] = C_[i] = 0.0f;
    for_states([&](int slot, int i, int64_t channel, int64_t state) {
      const int64_t at = channel * p_.states + state;
      A_[slot][i] = kComplex ? p_.A[at] : mul_rn(p_.A[at], kLog2E);
      if (p_.initial_state) h_[slot][i] = p_.initial_state[int64_t{sequence_} * p_.channels.dim * p_.states + at];
      if constexpr (Tile::kFixed) {
        if (p_.B_fixed) B_[i] = p_.B_fixed[at];
        if (p_.C_fixed) C_[i] = p_.C_fixed[at];
      }
    });
    if constexpr (kComplex) scale_poles(A_[0], turns_low_);
  }

  __device__ void pass_earlier_chunks(int unit, int count) {
    for (int earlier = unit - count; earlier < unit; ++earlier) {
      for_states([&](int slot, int i, int64_t channel, int64_t state) {
        h_[slot][i] = p_.summaries.pass(h_[slot][i], A_[slot][i], earlier, channel, state);
      });
    }
  }

  // Walks from state to state with one pointer: addresses computed one by one would cost as much as three steps.
  __device__ void keep_checkpoint(int t) const {
    const int64_t first = (int64_t{batch_} * p_.checkpoint_count + t / p_.checkpoint_every) * p_.states + first_state_;
    float* to = p_.checkpoints + first * p_.channels.dim + channel_;
    const int64_t count = min(int64_t{kPart}, p_.states - first_state_);
#pragma unroll
    for (int i = 0; i < kPart; ++i) {
#pragma unroll
      for (int slot = 0; slot < kChannels; ++slot) {
        if (i < count && (own_ ^ slot) < channels_) to[(own_ ^ slot) - own_] = h_[slot][i];
      }
      to += p_.channels.dim;
    }
  }

  // The steps of the tile in pieces that end where a checkpoint is due.
  __device__ void run_tile(const TileStage<Tile>& stage, int start) {
    int t = max(start, begin_);
    const int tile_end = min(start + Tile::kSteps, end_);
    while (t < tile_end) {
      if (t == next_checkpoint_) {
        keep_checkpoint(t);
        next_checkpoint_ += p_.checkpoint_every;
      }
      const int stop = min(tile_end, next_checkpoint_);
      for (int step = t & -Tile::kUnroll; step < stop; step += Tile::kUnroll) {
        if (is_full_ && step >= t && step + Tile::kUnroll <= stop) {
          run_steps<true>(stage, step, step - start, t, stop);
        } else {
          run_steps<false>(stage, step, step - start, t, stop);
        }
      }
      t = stop;
    }
  }

  // kUnroll steps. If all of them and all channels of the block exist, no instruction is spent on that question.
  template <bool kIsFull>
  __device__ void run_steps(const TileStage<Tile>& stage, int step, int row, int from, int to) {
    constexpr int kSteps = kChannels > 1 ? 1 : kLanes;
    [[maybe_unused]] constexpr int kTimes = kIsFull ? Tile::kUnroll / kSteps : 1;
#pragma unroll kTimes
    for (int k = 0; k < Tile::kUnroll; k += kSteps) {
      if constexpr (kChannels > 1) {
        run_owned_step<kIsFull>(stage, step + k, row + k, from, to);
      } else {
        run_shared_steps<kIsFull>(stage, step + k, row + k, from, to);
      }
    }
  }

  // A step that is not live leaves the state as it is: exp(0) h + 0. In the place of its u there may be a result.
  __device__ Own own_step(const TileStage<Tile>& stage, int row, bool is_live) const {
    const int at = row * Tile::kBlockChannels + own_;
    const float u = is_live ? to_float(stage.u[at]) : 0.0f;
    const float delta = step_size(add_rn(to_float(stage.delta[at]), delta_bias_), p_.delta_softplus);
    const float live_delta = is_live ? delta : 0.0f;
    return {u, live_delta, mul_rn(live_delta, u)};
  }

  __device__ void load_B_and_C(const TileStage<Tile>& stage, int row) {
    const float* wide = stage.wide + row * 2 * Tile::kStates + lane_ * kPart;
    if (!Tile::kFixed || !p_.B_fixed) load_floats(B_, wide);
    if (!Tile::kFixed || !p_.C_fixed) load_floats(C_, wide + Tile::kStates);
  }

  // kLanes channels per thread, of which it owns one.
  template <bool kIsFull>
  __device__ void run_owned_step(const TileStage<Tile>& stage, int step, int row, int from, int to) {
    const bool is_live = kIsFull || (step >= from && step < to);
    const Own own = own_step(stage, row, is_live);
    load_B_and_C(stage, row);
    float sum[kChannels];
#pragma unroll
    for (int slot = 0; slot < kChannels; ++slot) {
      const float delta = slot == 0 ? own.delta : __shfl_xor_sync(kFullWarp, own.delta, slot);
      const float delta_u = slot == 0 ? own.delta_u : __shfl_xor_sync(kFullWarp, own.delta_u, slot);
#pragma unroll
      for (int i = 0; i < kPart; ++i) h_[slot][i] = advance(h_[slot][i], delta, A_[slot][i], delta_u, B_[i]);
      sum[slot] = output_of(h_[slot], C_);
    }
    finish(stage, own.u, step, row, add_rn(sum[0], __shfl_xor_sync(kFullWarp, sum[1], 1)),
           kIsFull || (is_live && is_channel_));
  }

  // One channel per thread: of kLanes steps each lane owns one.
  template <bool kIsFull>
  __device__ void run_shared_steps(const TileStage<Tile>& stage, int step, int row, int from, int to) {
    const bool is_live = kIsFull || (step + lane_ >= from && step + lane_ < to);
    const Own own = own_step(stage, row + lane_, is_live);
    float sums[kLanes];
#pragma unroll
    for (int owner = 0; owner < kLanes; ++owner) {
      const float delta = __shfl_sync(kFullWarp, own.delta, owner, kLanes);
      const float delta_u = __shfl_sync(kFullWarp, own.delta_u, owner, kLanes);
      load_B_and_C(stage, row + owner);
      if constexpr (kComplex) {
        advance_pairs(h_[0], delta, A_[0], turns_low_, delta_u, B_);
        sums[owner] = output_of_pairs(h_[0], C_);
      } else {
#pragma unroll
        for (int i = 0; i < kPart; ++i) h_[0][i] = advance(h_[0][i], delta, A_[0][i], delta_u, B_[i]);
        sums[owner] = output_of(h_[0], C_);
      }
    }
    // Each exchange halves the steps that a lane adds up, until its own is left.
#pragma unroll
    for (int bit = 1, level = 0; bit < kLanes; bit *= 2, ++level) {
#pragma unroll
      for (int i = 0; i < kLanes / 2 / bit; ++i) {
        const float given = choose(odd_[level], sums[2 * i], sums[2 * i + 1]);
        const float kept = choose(odd_[level], sums[2 * i + 1], sums[2 * i]);
        sums[i] = add_rn(kept, __shfl_xor_sync(kFullWarp, given, bit));
      }
    }
    finish(stage, own.u, step + lane_, row + lane_, sums[0], kIsFull || (is_live && is_channel_));
  }

  __device__ void finish(const TileStage<Tile>& stage, float u, int step, int row, float sum, bool is_stored) const {
    if constexpr (kIsPartial) {
      float* kept = p_.sums + (int64_t{batch_} * p_.chunks.sequences.length + step) * p_.channels.dim + channel_;
      if (is_stored && !p_.is_first_part) sum = add_rn(*kept, sum);
      if (is_stored && !p_.is_last_part) *kept = sum;
      is_stored = is_stored && p_.is_last_part;
    }
    if constexpr (kComplex) sum = add_rn(sum, sum);
    const int at = row * Tile::kBlockChannels + own_;
    const float y = fma_rn(D_, u, sum);
    const float gated = mul_rn(y, silu(to_float(stage.z[at])));
    if (is_stored && p_.y) stage.delta[at] = from_float<T>(y);
    if (is_stored) stage.u[at] = from_float<T>(p_.z ? gated : y);
  }

  const ForwardParams<T>& p_;
  int64_t group_, channel_, first_state_;
  int sequence_, batch_, begin_, end_, channels_, own_, lane_, next_checkpoint_;
  bool is_channel_, is_full_;  // all channels of the block exist
  unsigned odd_[kLevels];
  float D_, delta_bias_;
  float A_[kChannels][kPart];  // times log2(e); of complex ones as scale_poles leaves it
  float turns_low_[kPart / 2];
  float h_[kChannels][kPart];
  float B_[kPart], C_[kPart];
};

// A launch for each as many states as the tile has room for.
template <class Tile, typename Kernel>
void launch_parts(Kernel kernel, ForwardParams<typename Tile::T> p, int64_t groups, Context& context) {
  p.lay_over_channels(groups, Tile::kBlockChannels);
  const LaunchShape shape{dim3(static_cast<unsigned>(p.chunks.units * p.channels.blocks)), dim3(Tile::kThreads),
                          Tile::kSharedBytes};
  for (p.first_state = 0; p.first_state < p.states; p.first_state += Tile::kStates) {
    p.is_first_part = p.first_state == 0;
    p.is_last_part = p.first_state + Tile::kStates >= p.states;
    launch(kernel, shape, context.stream, p);
  }
}

}  // namespace statespace::cuda::selective_scan
