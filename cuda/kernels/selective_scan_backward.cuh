// The backward selective scan of one block. With carry the gradient of h[t] that comes from later steps, t descending:
//   G = C dy + carry;  dC = dy h[t];  dB = G delta u;  carry = exp(delta A) G;  q = carry h[t-1];
//   dA += q delta;  du = delta sum(G B) + D dy;  ddelta = u sum(G B) + sum(q A).
// States are not kept by the forward pass but every so many steps. They are computed again: through a window from its
// checkpoint, keeping one per 16 steps; through 16 steps, keeping one per 4; through 4 steps, keeping all in registers.
// Of complex states two numbers of a thread, re and im, are one; then
//   G = 2 dy conj(C) + carry;  dC = 2 dy conj(h[t]);  carry = conj(exp(delta A)) G;  q = carry conj(h[t-1]),
// and the sums are those of Re(G conj(B)) and Re(q conj(A)).
// If time is split, what enters a chunk from later ones is found first (selective_scan_summary.cuh).
#pragma once

#include "cuda/kernels/selective_scan_backward_tile.cuh"
#include "cuda/kernels/selective_scan_complex_step.cuh"
#include "cuda/kernels/selective_scan_step.cuh"

namespace statespace::cuda::selective_scan {

template <class Tile>
class BackwardBlock {
  using T = typename Tile::T;
  using Shared = typename Tile::Shared;
  static constexpr int kChannels = Tile::kChannels, kPart = Tile::kPart, kSteps = Tile::kSteps;
  static constexpr int kSubSteps = Tile::kSubSteps, kBlockChannels = Tile::kBlockChannels;
  static constexpr bool kComplex = Tile::kComplex;
  static constexpr int kFixedChannels = Tile::kFixed ? kChannels : 1;  // channels that differ in B and C

 public:
  __device__ explicit BackwardBlock(const BackwardParams<T>& p) : p_(p), shared_(*dynamic_shared<Shared>()) {
    const ChannelBlock block = p.channels.template at<kBlockChannels>(blockIdx.x % p.channels.blocks);
    group_ = block.group, block_in_group_ = block.in_group;
    block_channel_ = block.first;
    channels_ = block.count;
    const TimeChunk chunk = p.chunks.at(unit());
    sequence_ = chunk.sequence, batch_ = chunk.batch;
    begin_ = chunk.begin, end_ = chunk.end;

    const int lane = lane_index(), lane_group = lane / 4;
    lane_ = lane % 4;
    order_ = lane_group % 4;
    tile_ = warp_index() * 8 * kChannels + lane_group * kChannels;
    own_ = tile_ + lane_ * kChannels / 4;
    is_channel_ = own_ < channels_;
    low_ = lane_mask(1), high_ = lane_mask(2), last_ = lane_mask(16);
    if constexpr (kComplex) odd_ = lane_mask(4);
    const bool adds_D = p.D && is_channel_ && (!Tile::kSplit || p.is_first_part);
    D_ = adds_D ? p.D[block_channel_ + own_] : 0.0f;

    load_parameters();
    if constexpr (!kComplex) {
      if (p.chunks.is_split()) pass_later_chunks(chunk.after);
    }
  }

  __device__ void run() {
    const BackwardStage<Tile> stage(p_, shared_, batch_, group_, block_channel_, channels_);
    __syncthreads();  // delta_bias
    if (begin_ < end_) {
      const int every = p_.checkpoint_every;
      for (int window = (end_ - 1) / every; window >= begin_ / every; --window) {
        load_window_state(window);
        run_window(stage, max(window * every, begin_), min(end_ - window * every, every) + window * every);
      }
    }
    store_sums();
  }

 private:
  // Found again where it is needed: there is no register to keep it in.
  __device__ int unit() const { return static_cast<int>(blockIdx.x) / p_.channels.blocks; }
  __device__ bool begins_sequence() const { return begin_ == p_.chunks.sequences.begin_of(sequence_); }

  // A slot of a thread is state 4 lane + (slot XOR order): sums over channels then need no selection. The numbers of a
  // complex state stay side by side.
  __device__ int slot_order() const { return kComplex ? order_ & 2 : order_; }
  __device__ int state_of(int slot) const { return lane_ * kPart + (slot ^ slot_order()); }

  // Calls f(channel of the tile, slot, channel, state of the launch) for the states in registers that exist.
  template <typename Function>
  __device__ void for_states(Function f) const {
#pragma unroll
    for (int j = 0; j < kChannels; ++j) {
#pragma unroll
      for (int s = 0; s < kPart; ++s) {
        if (tile_ + j < channels_ && p_.first_state + state_of(s) < p_.states) {
          f(j, s, block_channel_ + tile_ + j, state_of(s));
        }
      }
    }
  }

  __device__ int64_t state_at(int64_t channel, int state) const {
    return (int64_t{sequence_} * p_.channels.dim + channel) * p_.states + p_.first_state + state;
  }
  __device__ int64_t partial_at(int64_t channel, int state) const {
    return (int64_t{unit()} * p_.channels.dim + channel) * kBackwardStates + state;
  }

  __device__ void load_parameters() {
#pragma unroll
    for (int j = 0; j < kChannels; ++j) {
#pragma unroll
      for (int s = 0; s < kPart; ++s) A_[j][s] = dA_[j][s] = carry_[j][s] = 0.0f;
    }
#pragma unroll
    for (int j = 0; j < kFixedChannels; ++j) {
#pragma unroll
      for (int s = 0; s < kPart; ++s) B_[j][s] = C_[j][s] = dB_[j][s] = dC_[j][s] = 0.0f;
    }
    for_states([&](int j, int s, int64_t channel, int state) {
      const int64_t at = channel * p_.states + p_.first_state + state;
      A_[j][s] = kComplex ? p_.A[at] : p_.A[at] * kLog2E;
      if (p_.dlast_state) carry_[j][s] = p_.dlast_state[state_at(channel, state)];
      if constexpr (Tile::kFixed) {
        if (p_.B_fixed) B_[j][s] = p_.B_fixed[at];
        if (p_.C_fixed) C_[j][s] = p_.C_fixed[at];
      }
    });
    if constexpr (kComplex) {
#pragma unroll
      for (int j = 0; j < kChannels; ++j) scale_poles(A_[j], turns_low_[j]);
    }
  }

  // What enters this chunk of time from later ones of its sequence.
  __device__ void pass_later_chunks(int count) {
    for (int later = unit() + count; later > unit(); --later) {
      for_states([&](int j, int s, int64_t channel, int state) {
        carry_[j][s] = p_.summaries.pass(carry_[j][s], A_[j][s], later, channel, p_.first_state + state);
      });
    }
  }

  // The state before the first step of the window; a sequence that begins inside the window has its own.
  __device__ void load_window_state(int window) {
    const bool is_kept = window * p_.checkpoint_every >= begin_;
    const int64_t first = (int64_t{batch_} * p_.checkpoint_count + window) * p_.states + p_.first_state;
#pragma unroll
    for (int j = 0; j < kChannels; ++j) {
#pragma unroll
      for (int s = 0; s < kPart; ++s) h_[j][s] = 0.0f;
    }
    for_states([&](int j, int s, int64_t channel, int state) {
      if (is_kept) {
        h_[j][s] = p_.checkpoints[(first + state) * p_.channels.dim + channel];
      } else if (p_.initial_state) {
        h_[j][s] = p_.initial_state[state_at(channel, state)];
      }
    });
  }

  __device__ void run_window(const BackwardStage<Tile>& stage, int from, int to) {
    const int last = (to - from - 1) / kSteps;
    float* kept = p_.states_in_window +
                  (int64_t{blockIdx.x} * p_.states_per_window * kChannels * Tile::kThreads + threadIdx.x) * kPart;
    constexpr int kKeptStride = kChannels * Tile::kThreads * kPart;
    for (int i = 0; i < last; ++i) {
      stage.template prepare<false>(from + i * kSteps, kSteps);
      __syncthreads();  // what `prepare` wrote
      keep_state<Tile::kThreads * kPart>(kept + int64_t{i} * kKeptStride);
#pragma unroll 1
      for (int sub = 0; sub < kSteps / kSubSteps; ++sub) advance_steps(sub * kSubSteps);
      __syncthreads();  // `prepare` may write again
    }
    for (int i = last; i >= 0; --i) {
      const int first = from + i * kSteps, steps = min(kSteps, to - first);
      stage.template prepare<true>(first, steps);
      __syncthreads();  // what `prepare` wrote
      if (i < last) load_state<Tile::kThreads * kPart>(kept + int64_t{i} * kKeptStride);
      run_steps(steps);
      __syncthreads();  // `sums` is complete, and `prepare` may write again
      store_channel_sums(first, steps);
      stage.store_results(first, steps);
    }
  }

  template <int kStride>
  __device__ void keep_state(float* to) const {
#pragma unroll
    for (int j = 0; j < kChannels; ++j) store_floats(to + j * kStride, h_[j]);
  }
  template <int kStride>
  __device__ void load_state(const float* from) {
#pragma unroll
    for (int j = 0; j < kChannels; ++j) load_floats(h_[j], from + j * kStride);
  }

  __device__ void load_B(int row) {
    if (!Tile::kFixed || !p_.B_fixed) load_states(B_, row * Tile::kWidth);
  }
  __device__ void load_C(int row) {
    if (!Tile::kFixed || !p_.C_fixed) load_states(C_, row * Tile::kWidth + kBackwardStates);
  }
  __device__ void load_states(float (&values)[kFixedChannels][kPart], int at) {
#pragma unroll
    for (int j = 0; j < kFixedChannels; ++j) {
      load_floats(values[j], &shared_.B_and_C[slot_order() * Tile::kOrderStride + at + lane_ * kPart]);
    }
  }
  __device__ float B(int j, int s) const { return B_[Tile::kFixed ? j : 0][s]; }
  __device__ float C(int j, int s) const { return C_[Tile::kFixed ? j : 0][s]; }
  __device__ Complex<float> pair_of(const float (&numbers)[kPart], int s) const { return {numbers[s], numbers[s + 1]}; }

  // Four steps forward.
  __device__ void advance_steps(int row) {
#pragma unroll
    for (int k = 0; k < kSubSteps; ++k) {
      float delta[kChannels], delta_u[kChannels];
      load_floats(delta, &shared_.delta[row + k][tile_]);
      load_floats(delta_u, &shared_.delta_u[row + k][tile_]);
      load_B(row + k);
#pragma unroll
      for (int j = 0; j < kChannels; ++j) {
        if constexpr (kComplex) {
          advance_pairs(h_[j], delta[j], A_[j], turns_low_[j], delta_u[j], B_[j]);
        } else {
#pragma unroll
          for (int s = 0; s < kPart; ++s) h_[j][s] = advance(h_[j][s], delta[j], A_[j][s], delta_u[j], B(j, s));
        }
      }
    }
  }

  __device__ void run_steps(int steps) {
    const int last = (steps - 1) / kSubSteps;
#pragma unroll 1
    for (int sub = 0; sub < last; ++sub) {
      keep_state<Tile::kThreads * kPart>(shared_.kept[sub][0][threadIdx.x]);
      advance_steps(sub * kSubSteps);
    }
#pragma unroll 1
    for (int sub = last; sub >= 0; --sub) {
      if (sub < last) load_state<Tile::kThreads * kPart>(shared_.kept[sub][0][threadIdx.x]);
      run_sub_steps(sub * kSubSteps);
    }
  }

  // Four steps forward, with all states and decays in registers, and back.
  __device__ void run_sub_steps(int row) {
    float decay[kSubSteps][kChannels][kPart], h[kSubSteps + 1][kChannels][kPart];
#pragma unroll
    for (int j = 0; j < kChannels; ++j) {
#pragma unroll
      for (int s = 0; s < kPart; ++s) h[0][j][s] = h_[j][s];
    }
#pragma unroll
    for (int k = 0; k < kSubSteps; ++k) {
      float delta[kChannels], delta_u[kChannels];
      load_floats(delta, &shared_.delta[row + k][tile_]);
      load_floats(delta_u, &shared_.delta_u[row + k][tile_]);
      load_B(row + k);
#pragma unroll
      for (int j = 0; j < kChannels; ++j) {
        if constexpr (kComplex) {
#pragma unroll
          for (int s = 0; s < kPart; s += 2) {
            const Complex<float> a = decay_of(delta[j], A_[j][s], A_[j][s + 1], turns_low_[j][s / 2]);
            const Complex<float> next = advance_pair(pair_of(h[k][j], s), a, delta_u[j], B(j, s), B(j, s + 1));
            decay[k][j][s] = a.re, decay[k][j][s + 1] = a.im;
            h[k + 1][j][s] = next.re, h[k + 1][j][s + 1] = next.im;
          }
        } else {
#pragma unroll
          for (int s = 0; s < kPart; ++s) {
            decay[k][j][s] = ex2(mul_rn(delta[j], A_[j][s]));
            h[k + 1][j][s] = fma_rn(decay[k][j][s], h[k][j][s], mul_rn(delta_u[j], B(j, s)));
          }
        }
      }
    }
#pragma unroll
    for (int k = kSubSteps - 1; k >= 0; --k) {
      float qA[kChannels], GB[kChannels];
      run_step_back(row + k, decay[k], h[k], h[k + 1], qA, GB);
      finish_own(sum_over_lanes(qA), sum_over_lanes(GB), row + k);
    }
  }

  // One step back; adds to `qA` and `GB` what this thread's states contribute.
  __device__ void run_step_back(int row, const float (&decay)[kChannels][kPart],
                                const float (&before)[kChannels][kPart], const float (&after)[kChannels][kPart],
                                float (&qA)[kChannels], float (&GB)[kChannels]) {
    float delta[kChannels], delta_u[kChannels], dy[kChannels];
    load_floats(delta, &shared_.delta[row][tile_]);
    load_floats(delta_u, &shared_.delta_u[row][tile_]);
    load_floats(dy, &shared_.dy[row][tile_]);
    load_B(row);
    load_C(row);
    float dB[kPart], dC[kPart];
#pragma unroll
    for (int j = 0; j < kChannels; ++j) {
      if constexpr (kComplex) {
        run_pairs_back(j, delta[j], delta_u[j], dy[j], decay[j], before[j], after[j], qA[j], GB[j], dB, dC);
      } else {
#pragma unroll
        for (int s = 0; s < kPart; ++s) {
          const float G = C(j, s) * dy[j] + carry_[j][s];
          const float to_dC = dy[j] * after[j][s], to_dB = delta_u[j] * G;
          dC[s] = j == 0 ? to_dC : dC[s] + to_dC;
          dB[s] = j == 0 ? to_dB : dB[s] + to_dB;
          GB[j] = s == 0 ? G * B(j, s) : GB[j] + G * B(j, s);
          carry_[j][s] = decay[j][s] * G;
          const float q = carry_[j][s] * before[j][s];
          qA[j] = s == 0 ? q * A_[j][s] : qA[j] + q * A_[j][s];
          dA_[j][s] += q * delta[j];
          if constexpr (Tile::kFixed) {
            dB_[j][s] += to_dB;
            dC_[j][s] += to_dC;
          }
        }
      }
    }
    sum_over_channels(row, dB, dC);
  }

  // The same for the complex states of one channel.
  __device__ void run_pairs_back(int j, float delta, float delta_u, float dy, const float (&decay)[kPart],
                                 const float (&before)[kPart], const float (&after)[kPart], float& qA, float& GB,
                                 float (&dB)[kPart], float (&dC)[kPart]) {
    const float twice_dy = dy + dy;
    float q_turns = 0.0f;
    qA = GB = 0.0f;
#pragma unroll
    for (int s = 0; s < kPart; s += 2) {
      const Complex<float> G = {carry_[j][s] + C(j, s) * twice_dy, carry_[j][s + 1] - C(j, s + 1) * twice_dy};
      const Complex<float> carry = conj(pair_of(decay, s)) * G, q = carry * conj(pair_of(before, s));
      const float to_dB[2] = {delta_u * G.re, delta_u * G.im};
      const float to_dC[2] = {twice_dy * after[s], -(twice_dy * after[s + 1])};
      GB += G.re * B(j, s) + G.im * B(j, s + 1);
      qA += q.re * A_[j][s];
      q_turns += q.im * A_[j][s + 1];
      carry_[j][s] = carry.re, carry_[j][s + 1] = carry.im;
      dA_[j][s] += q.re * delta, dA_[j][s + 1] += q.im * delta;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        dB[s + i] = j == 0 ? to_dB[i] : dB[s + i] + to_dB[i];
        dC[s + i] = j == 0 ? to_dC[i] : dC[s + i] + to_dC[i];
        if constexpr (Tile::kFixed) {
          dB_[j][s + i] += to_dB[i];
          dC_[j][s + i] += to_dC[i];
        }
      }
    }
    qA += q_turns * kTurnsToLog2E;
  }

  // Sums over the four lanes that share the channels; each gets the sum of the channel it owns.
  __device__ float sum_over_lanes(const float (&values)[kChannels]) const {
    if constexpr (kChannels == 4) {
      const float sent[2] = {choose(high_, values[0], values[2]), choose(high_, values[1], values[3])};
      const float kept[2] = {choose(high_, values[2], values[0]), choose(high_, values[3], values[1])};
      const float even = kept[0] + __shfl_xor_sync(kFullWarp, sent[0], 2);
      const float odd = kept[1] + __shfl_xor_sync(kFullWarp, sent[1], 2);
      return choose(low_, odd, even) + __shfl_xor_sync(kFullWarp, choose(low_, even, odd), 1);
    } else {
      const float sent = choose(high_, values[0], values[1]);
      const float sum = choose(high_, values[1], values[0]) + __shfl_xor_sync(kFullWarp, sent, 2);
      return sum + __shfl_xor_sync(kFullWarp, sum, 1);
    }
  }

  // Sums over the channels of the warp: 32 values, 4 of dB and 4 of dC for each of four lanes, of which each lane gets
  // one. Slot s of a lane is slot s XOR m of the lane group that differs by m.
  __device__ void sum_over_channels(int row, const float (&dB)[kPart], const float (&dC)[kPart]) {
    const float dB0 = dB[0] + __shfl_xor_sync(kFullWarp, dB[2], 8), dB1 = dB[1] + __shfl_xor_sync(kFullWarp, dB[3], 8);
    const float dC0 = dC[0] + __shfl_xor_sync(kFullWarp, dC[2], 8), dC1 = dC[1] + __shfl_xor_sync(kFullWarp, dC[3], 8);
    float sum_dB, sum_dC;
    if constexpr (kComplex) {  // of re and im, which lie alike in both lanes, one keeps this and one that
      sum_dB = choose(odd_, dB1, dB0) + __shfl_xor_sync(kFullWarp, choose(odd_, dB0, dB1), 4);
      sum_dC = choose(odd_, dC1, dC0) + __shfl_xor_sync(kFullWarp, choose(odd_, dC0, dC1), 4);
    } else {
      sum_dB = dB0 + __shfl_xor_sync(kFullWarp, dB1, 4), sum_dC = dC0 + __shfl_xor_sync(kFullWarp, dC1, 4);
    }
    const float sent = choose(last_, sum_dB, sum_dC);
    const float sum = choose(last_, sum_dC, sum_dB) + __shfl_xor_sync(kFullWarp, sent, 16);
    shared_.sums[row][warp_index()][(last_ & kBackwardStates) + lane_ * kPart + order_] = sum;
  }

  // Of the lanes that own the same channel.
  __device__ bool is_first_owner() const { return kChannels == 4 || low_ == 0; }

  // The gradients of the channel that this thread owns, from the sums over its states. They go where nobody reads any
  // more; BackwardStage takes them from there. If two lanes own the channel, one has du and the other ddelta.
  __device__ void finish_own(float qA, float GB, int row) {
    const float delta = shared_.delta[row][own_], dy = shared_.dy[row][own_], u = to_float(shared_.u[row][own_]);
    const float du = delta * GB + D_ * dy, ddelta = (u * GB + qA * kLn2) * shared_.slope[row][own_];
    dD_ += dy * u;
    ddelta_bias_ += ddelta;
    if constexpr (kChannels != 4 || Tile::kSplit) __syncwarp();  // all lanes of the channel have read
    if (is_first_owner()) {
      if constexpr (Tile::kSplit) {
        shared_.delta_u[row][own_] = du;
      } else {
        shared_.u[row][own_] = from_float<T>(du);
      }
    }
    if (kChannels == 4 || !is_first_owner()) shared_.slope[row][own_] = ddelta;
  }

  __device__ void store_channel_sums(int first, int steps) {
    if (!p_.dB_and_dC) return;
    const int n = lane_index();
    const int64_t step =
        int64_t{block_in_group_} * p_.rows + int64_t{batch_} * p_.chunks.sequences.length + first + warp_index();
    float* to = p_.dB_and_dC + (step * p_.groups + group_) * Tile::kWidth + n;
#pragma unroll
    for (int i = 0; i < kSteps / Tile::kWarps; ++i) {
      const int row = warp_index() + i * Tile::kWarps;
      float sum = shared_.sums[row][0][n];
#pragma unroll
      for (int warp = 1; warp < Tile::kWarps; ++warp) sum += shared_.sums[row][warp][n];
      if (row < steps) to[i * Tile::kWarps * p_.groups * Tile::kWidth] = sum;
    }
  }

  __device__ void store_sums() const {
    const bool is_first = begins_sequence();
    for_states([&](int j, int s, int64_t channel, int state) {
      p_.dA[partial_at(channel, state)] = dA_[j][s];
      if (p_.dinitial_state && is_first) p_.dinitial_state[state_at(channel, state)] = carry_[j][s];
      if constexpr (Tile::kFixed) {
        if (p_.dB_fixed) p_.dB_fixed[partial_at(channel, state)] = dB_[j][s];
        if (p_.dC_fixed) p_.dC_fixed[partial_at(channel, state)] = dC_[j][s];
      }
    });
    const int64_t own = int64_t{unit()} * p_.channels.dim + block_channel_ + own_;
    if (is_channel_ && is_first_owner() && p_.dD) p_.dD[own] = dD_;
    if (is_channel_ && is_first_owner() && p_.ddelta_bias) {
      const bool adds = Tile::kSplit && !p_.is_first_part;
      p_.ddelta_bias[own] = adds ? p_.ddelta_bias[own] + ddelta_bias_ : ddelta_bias_;
    }
  }

  const BackwardParams<T>& p_;
  Shared& shared_;
  int group_, block_in_group_, block_channel_, sequence_, batch_;
  int begin_, end_, channels_;  // steps of the chunk; channels of the block
  int lane_, order_, tile_, own_;
  bool is_channel_;
  unsigned low_, high_, last_, odd_;  // which half of the lanes this one is in, as masks
  float D_, dD_ = 0.0f, ddelta_bias_ = 0.0f;
  float A_[kChannels][kPart];  // times log2(e); of complex ones as scale_poles leaves it
  float turns_low_[kChannels][kPart / 2];
  float h_[kChannels][kPart], carry_[kChannels][kPart], dA_[kChannels][kPart];
  float B_[kFixedChannels][kPart], C_[kFixedChannels][kPart];
  float dB_[kFixedChannels][kPart], dC_[kFixedChannels][kPart];  // if fixed
};

}  // namespace statespace::cuda::selective_scan
