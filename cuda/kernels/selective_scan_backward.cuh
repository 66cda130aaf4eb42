// The backward selective scan of one block. With carry the gradient of h[t] that comes from later steps, t descending:
//   G = C dy + carry;  dC = dy h[t];  dB = G delta u;  carry = exp(delta A) G;  q = carry h[t-1];
//   dA += q delta;  du = delta sum(G B) + D dy;  ddelta = u sum(G B) + sum(q A).
// States are not kept by the forward pass but every so many steps. They are computed again: through a window from its
// checkpoint, keeping one per 16 steps; through 16 steps, keeping one per 4; through 4 steps, keeping all in registers.
#pragma once

#include "cuda/device/shared.cuh"
#include "cuda/kernels/selective_scan_partials.cuh"
#include "cuda/kernels/selective_scan_step.cuh"

namespace statespace::cuda::selective_scan {

template <typename T>
struct BackwardParams {
  Rows<const T> dout, u, delta, z, y;
  GroupRows<const T> B, C;
  const float *A, *B_fixed, *C_fixed;  // [dim, states]
  const float *D, *delta_bias;         // [dim]
  const float *initial_state, *dlast_state, *checkpoints;
  Rows<T> du, ddelta, dz;
  float* dinitial_state;
  float *dA, *dB_fixed, *dC_fixed;  // [sequences, dim, kBackwardStates], to be summed
  float *dD, *ddelta_bias;          // [sequences, dim], to be summed
  float* dB_and_dC;                 // as in ChannelSums
  float* states_in_window;          // [blocks, states_per_window, channels of a thread, threads, 4]
  float *sums_qA, *sums_GB;         // [batch, length, dim]: of earlier launches, if the states take several
  Channels channels;
  Sequences sequences;
  int64_t states, first_state, chunks, rows, groups;
  int checkpoint_every, states_per_window;
  bool delta_softplus, vectorizable, is_first_part, is_last_part;
};

// Four lanes share the 16 states of kChannels channels, eight such groups make a warp. A thread works on a tile of
// kChannels x 4, in which most of the sums over channels and over states are done without talking to other lanes.
template <typename T_, int kChannels_, bool kSplit_ = false, bool kFixed_ = false>
struct BackwardTile {
  using T = T_;
  static constexpr int kChannels = kChannels_;
  static constexpr bool kSplit = kSplit_;  // the states take several launches
  static constexpr bool kFixed = kFixed_;  // B or C do not depend on time
  static constexpr int kThreads = 128, kWarps = 4;
  static constexpr int kPart = 4;  // states of a thread
  static constexpr int kBlockChannels = 32 * kChannels;
  static constexpr int kSteps = 16, kSubSteps = 4;
  static constexpr int kVector = 16 / static_cast<int>(sizeof(T));
  static constexpr int kWidth = 2 * kBackwardStates;

  // Lanes read the states in four different orders; the copies for them lie half the banks apart.
  static constexpr int kOrders = 4;
  static constexpr int kOrderStride = kSteps * kWidth + 16;

  struct Shared {
    float delta[kSteps][kBlockChannels], delta_u[kSteps][kBlockChannels], dy[kSteps][kBlockChannels];
    float slope[kSteps][kBlockChannels];  // of softplus
    float B_and_C[kOrders * kOrderStride];
    float kept[kSteps / kSubSteps - 1][kChannels][kThreads][kPart];
    float sums[kSteps][kWarps][kWidth];
    float delta_bias[kBlockChannels];
    T u[kSteps][kBlockChannels];
  };
};

template <class Tile>
class BackwardBlock {
  using T = typename Tile::T;
  using Shared = typename Tile::Shared;
  static constexpr int kChannels = Tile::kChannels, kPart = Tile::kPart, kSteps = Tile::kSteps;
  static constexpr int kSubSteps = Tile::kSubSteps, kBlockChannels = Tile::kBlockChannels;
  static constexpr int kFixedChannels = Tile::kFixed ? kChannels : 1;  // channels that differ in B and C

 public:
  __device__ explicit BackwardBlock(const BackwardParams<T>& p) : p_(p), shared_(*dynamic_shared<Shared>()) {
    const int64_t block = blockIdx.x % p.channels.blocks;
    sequence_ = blockIdx.x / p.channels.blocks;
    group_ = block / p.channels.blocks_per_group;
    block_in_group_ = block % p.channels.blocks_per_group;
    const int64_t in_group = block_in_group_ * kBlockChannels;
    block_channel_ = group_ * p.channels.per_group + in_group;
    channels_ = static_cast<int>(min(int64_t{kBlockChannels}, p.channels.per_group - in_group));
    batch_ = p.sequences.batch_of(sequence_);
    begin_ = p.sequences.begin_of(sequence_);
    end_ = p.sequences.end_of(sequence_);

    const int lane = lane_index(), lane_group = lane / 4;
    lane_ = lane % 4;
    order_ = lane_group % 4;
    tile_ = warp_index() * 8 * kChannels + lane_group * kChannels;
    own_ = tile_ + lane_ * kChannels / 4;
    is_channel_ = own_ < channels_;
    low_ = lane_mask(1), high_ = lane_mask(2), last_ = lane_mask(16);
    D_ = p.D && is_channel_ ? p.D[block_channel_ + own_] : 0.0f;

    for (int i = static_cast<int>(threadIdx.x); i < kBlockChannels; i += Tile::kThreads) {
      shared_.delta_bias[i] = p.delta_bias && i < channels_ ? p.delta_bias[block_channel_ + i] : 0.0f;
    }
    load_parameters();
    __syncthreads();  // delta_bias
  }

  __device__ void run() {
    if (begin_ < end_) {
      const int every = p_.checkpoint_every;
      for (int chunk = (end_ - 1) / every; chunk >= begin_ / every; --chunk) {
        load_window_state(chunk);
        run_window(max(chunk * every, begin_), min(end_ - chunk * every, every) + chunk * every);
      }
    }
    store_sums();
  }

 private:
  struct Own {  // of the channel that this thread owns, at one step
    T *du, *ddelta;
    float qA = 0.0f, GB = 0.0f;  // sums over the states
  };

  // A slot of a thread is state 4 lane + (slot XOR order): sums over channels then need no selection.
  __device__ int state_of(int slot) const { return lane_ * kPart + (slot ^ order_); }

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
    return (sequence_ * p_.channels.dim + channel) * p_.states + p_.first_state + state;
  }
  __device__ int64_t partial_at(int64_t channel, int state) const {
    return (sequence_ * p_.channels.dim + channel) * kBackwardStates + state;
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
      A_[j][s] = p_.A[at] * kLog2E;
      if (p_.dlast_state) carry_[j][s] = p_.dlast_state[state_at(channel, state)];
      if constexpr (Tile::kFixed) {
        if (p_.B_fixed) B_[j][s] = p_.B_fixed[at];
        if (p_.C_fixed) C_[j][s] = p_.C_fixed[at];
      }
    });
  }

  // The state before the first step of the window; a sequence that begins inside the chunk has its own.
  __device__ void load_window_state(int chunk) {
    const bool is_kept = chunk * p_.checkpoint_every >= begin_;
    const int64_t first = (batch_ * p_.chunks + chunk) * p_.states + p_.first_state;
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

  __device__ void run_window(int from, int to) {
    const int last = (to - from - 1) / kSteps;
    float* kept = p_.states_in_window +
                  (int64_t{blockIdx.x} * p_.states_per_window * kChannels * Tile::kThreads + threadIdx.x) * kPart;
    constexpr int kKeptStride = kChannels * Tile::kThreads * kPart;
    for (int i = 0; i < last; ++i) {
      prepare<false>(from + i * kSteps, kSteps);
      __syncthreads();  // what `prepare` wrote
      keep_state<Tile::kThreads * kPart>(kept + int64_t{i} * kKeptStride);
#pragma unroll 1
      for (int sub = 0; sub < kSteps / kSubSteps; ++sub) advance_steps(sub * kSubSteps);
      __syncthreads();  // `prepare` may write again
    }
    for (int i = last; i >= 0; --i) {
      const int first = from + i * kSteps, steps = min(kSteps, to - first);
      prepare<true>(first, steps);
      __syncthreads();  // what `prepare` wrote
      if (i < last) load_state<Tile::kThreads * kPart>(kept + int64_t{i} * kKeptStride);
      run_steps(first, steps);
      __syncthreads();  // `sums` is complete, and `prepare` may write again
      store_channel_sums(first, steps);
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

  template <int kSize>
  __device__ void load_row(float (&values)[kSize], const Rows<const T>& rows, int t, int column, int count) const {
    const T* from = rows.row(batch_, t) + block_channel_ + column;
    if (p_.vectorizable && count == kSize) {
      load_floats(values, from);
    } else {
      load_floats_or_zero(values, from, count);
    }
  }

  // Everything that is needed once per element or per state and step, to shared memory. Steps and channels that do not
  // exist leave all states and sums as they are: delta, u, dy, B and C are zero.
  template <bool kForBackward>
  __device__ void prepare(int first, int steps) {
    constexpr int kVector = Tile::kVector, kRowVectors = kBlockChannels / kVector;
    const int column = static_cast<int>(threadIdx.x) % kRowVectors * kVector;
#pragma unroll
    for (int i = 0; i < kSteps * kRowVectors / Tile::kThreads; ++i) {
      const int row = static_cast<int>(threadIdx.x) / kRowVectors + i * (Tile::kThreads / kRowVectors);
      const int count = row < steps ? max(0, min(channels_ - column, kVector)) : 0;
      float u[kVector], delta[kVector], slope[kVector], bias[kVector];
      load_row(u, p_.u, first + row, column, count);
      load_row(delta, p_.delta, first + row, column, count);
      load_floats(bias, &shared_.delta_bias[column]);
#pragma unroll
      for (int e = 0; e < kVector; ++e) {
        const float x = add_rn(delta[e], bias[e]);
        const ValueAndSlope positive = softplus_with_slope(x);
        delta[e] = p_.delta_softplus ? positive.value : x;
        slope[e] = p_.delta_softplus ? positive.slope : 1.0f;
      }
      if (count < kVector) {
#pragma unroll
        for (int e = 0; e < kVector; ++e) {
          if (e >= count) delta[e] = slope[e] = 0.0f;
        }
      }
      store_floats(&shared_.delta[row][column], delta);
      if constexpr (kForBackward) {
        store_floats(&shared_.u[row][column], u);
        store_floats(&shared_.slope[row][column], slope);
        prepare_dy(row, first + row, column, count);
      }
#pragma unroll
      for (int e = 0; e < kVector; ++e) u[e] *= delta[e];
      store_floats(&shared_.delta_u[row][column], u);
    }
    prepare_B_and_C(first, steps);
  }

  __device__ void prepare_dy(int row, int t, int column, int count) {
    constexpr int kVector = Tile::kVector;
    float dy[kVector];
    load_row(dy, p_.dout, t, column, count);
    if (p_.z) {
      float z[kVector], y[kVector];
      load_row(z, p_.z, t, column, count);
      load_row(y, p_.y, t, column, count);
#pragma unroll
      for (int e = 0; e < kVector; ++e) {
        const ValueAndSlope gate = silu_with_slope(z[e]);
        y[e] = dy[e] * y[e] * gate.slope;
        dy[e] = dy[e] * gate.value;
      }
      T* dz = p_.dz.row(batch_, t) + block_channel_ + column;
      if (p_.vectorizable && count == kVector) {
        store_floats(dz, y);
      } else {
        store_first_floats(dz, y, count);
      }
    }
    store_floats(&shared_.dy[row][column], dy);
  }

  __device__ void prepare_B_and_C(int first, int steps) {
    constexpr int kWidth = Tile::kWidth;
    const int n = lane_index();
    const bool is_B = n < kBackwardStates;
    const int64_t state = p_.first_state + n % kBackwardStates;
    const int64_t stride = is_B ? p_.B.step_stride : p_.C.step_stride;
    const T* from = is_B ? p_.B.data : p_.C.data;
    if (state >= p_.states) from = nullptr;
    if (from) from += (is_B ? p_.B : p_.C).row_offset(batch_, first + warp_index(), group_) + state;
#pragma unroll
    for (int i = 0; i < kSteps / Tile::kWarps; ++i) {
      const int row = warp_index() + i * Tile::kWarps;
      const float value = from && row < steps ? to_float(*from) : 0.0f;
      if (row + Tile::kWarps < steps && from) from += Tile::kWarps * stride;
#pragma unroll
      for (int order = 0; order < Tile::kOrders; ++order) {
        shared_.B_and_C[order * Tile::kOrderStride + row * kWidth + (n ^ order)] = value;
      }
    }
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
      load_floats(values[j], &shared_.B_and_C[order_ * Tile::kOrderStride + at + lane_ * kPart]);
    }
  }
  __device__ float B(int j, int s) const { return B_[Tile::kFixed ? j : 0][s]; }
  __device__ float C(int j, int s) const { return C_[Tile::kFixed ? j : 0][s]; }

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
#pragma unroll
        for (int s = 0; s < kPart; ++s) h_[j][s] = advance(h_[j][s], delta[j], A_[j][s], delta_u[j], B(j, s));
      }
    }
  }

  __device__ void run_steps(int first, int steps) {
    const int last = (steps - 1) / kSubSteps;
#pragma unroll 1
    for (int sub = 0; sub < last; ++sub) {
      keep_state<Tile::kThreads * kPart>(shared_.kept[sub][0][threadIdx.x]);
      advance_steps(sub * kSubSteps);
    }
#pragma unroll 1
    for (int sub = last; sub >= 0; --sub) {
      if (sub < last) load_state<Tile::kThreads * kPart>(shared_.kept[sub][0][threadIdx.x]);
      run_sub_steps(first, sub * kSubSteps, steps);
    }
  }

  // Four steps forward, with all states and decays in registers, and back.
  __device__ void run_sub_steps(int first, int row, int steps) {
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
#pragma unroll
        for (int s = 0; s < kPart; ++s) {
          decay[k][j][s] = ex2(mul_rn(delta[j], A_[j][s]));
          h[k + 1][j][s] = fma_rn(decay[k][j][s], h[k][j][s], mul_rn(delta_u[j], B(j, s)));
        }
      }
    }
    int t = first + row + kSubSteps - 1;
    Own own{p_.du.row(batch_, t) + block_channel_ + own_, p_.ddelta.row(batch_, t) + block_channel_ + own_};
#pragma unroll
    for (int k = kSubSteps - 1; k >= 0; --k, --t) {
      float qA[kChannels], GB[kChannels];
      run_step_back(row + k, decay[k], h[k], h[k + 1], qA, GB);
      own.qA = sum_over_lanes(qA), own.GB = sum_over_lanes(GB);
      store_own(own, t, row + k, is_channel_ && row + k < steps);
      own.du -= p_.du.step_stride;
      own.ddelta -= p_.ddelta.step_stride;
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
    sum_over_channels(row, dB, dC);
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
    const float sum_dB = dB0 + __shfl_xor_sync(kFullWarp, dB1, 4), sum_dC = dC0 + __shfl_xor_sync(kFullWarp, dC1, 4);
    const float sent = choose(last_, sum_dB, sum_dC);
    const float sum = choose(last_, sum_dC, sum_dB) + __shfl_xor_sync(kFullWarp, sent, 16);
    shared_.sums[row][warp_index()][(last_ & kBackwardStates) + state_of(0)] = sum;
  }

  // Of the lanes that own the same channel.
  __device__ bool is_first_owner() const { return kChannels == 4 || low_ == 0; }

  // The gradients of the channel that this thread owns. If two lanes own it, one stores du and the other ddelta.
  __device__ void store_own(Own own, int t, int row, bool is_stored) {
    if constexpr (Tile::kSplit) {
      const int64_t at = (batch_ * p_.sequences.length + t) * p_.channels.dim + block_channel_ + own_;
      if (is_stored && !p_.is_first_part) own.qA += p_.sums_qA[at], own.GB += p_.sums_GB[at];
      __syncwarp();  // both lanes of a channel have read
      if (is_stored && !p_.is_last_part && is_first_owner()) p_.sums_qA[at] = own.qA, p_.sums_GB[at] = own.GB;
      is_stored = is_stored && p_.is_last_part;
    }
    const float delta = shared_.delta[row][own_], dy = shared_.dy[row][own_], u = to_float(shared_.u[row][own_]);
    const float du = delta * own.GB + D_ * dy;
    const float ddelta = (u * own.GB + own.qA * kLn2) * shared_.slope[row][own_];
    dD_ += dy * u;
    ddelta_bias_ += ddelta;
    if constexpr (kChannels == 4) {
      if (is_stored) *own.du = from_float<T>(du);
      if (is_stored) *own.ddelta = from_float<T>(ddelta);
    } else {
      if (is_stored) *(is_first_owner() ? own.du : own.ddelta) = from_float<T>(choose(low_, ddelta, du));
    }
  }

  __device__ void store_channel_sums(int first, int steps) {
    if (!p_.dB_and_dC) return;
    const int n = lane_index();
    const int64_t step = block_in_group_ * p_.rows + batch_ * p_.sequences.length + first + warp_index();
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
    for_states([&](int j, int s, int64_t channel, int state) {
      p_.dA[partial_at(channel, state)] = dA_[j][s];
      if (p_.dinitial_state) p_.dinitial_state[state_at(channel, state)] = carry_[j][s];
      if constexpr (Tile::kFixed) {
        if (p_.dB_fixed) p_.dB_fixed[partial_at(channel, state)] = dB_[j][s];
        if (p_.dC_fixed) p_.dC_fixed[partial_at(channel, state)] = dC_[j][s];
      }
    });
    const int64_t own = sequence_ * p_.channels.dim + block_channel_ + own_;
    if (is_channel_ && is_first_owner() && p_.dD) p_.dD[own] = dD_;
    if (is_channel_ && is_first_owner() && p_.ddelta_bias) p_.ddelta_bias[own] = ddelta_bias_;
  }

  const BackwardParams<T>& p_;
  Shared& shared_;
  int64_t sequence_, batch_, group_, block_in_group_, block_channel_;
  int begin_, end_, channels_;  // steps of the sequence; channels of the block
  int lane_, order_, tile_, own_;
  bool is_channel_;
  unsigned low_, high_, last_;  // which half of the lanes this one is in, as masks
  float D_, dD_ = 0.0f, ddelta_bias_ = 0.0f;
  float A_[kChannels][kPart];  // times log2(e)
  float h_[kChannels][kPart], carry_[kChannels][kPart], dA_[kChannels][kPart];
  float B_[kFixedChannels][kPart], C_[kFixedChannels][kPart];
  float dB_[kFixedChannels][kPart], dC_[kFixedChannels][kPart];  // if fixed
};

}  // namespace statespace::cuda::selective_scan
