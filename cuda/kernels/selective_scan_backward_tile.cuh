// How a block of the backward selective scan is laid over channels and states, and what it prepares in shared memory
// for each 16 steps: everything that is needed once per element or per state and step.
#pragma once

#include "cuda/device/shared.cuh"
#include "cuda/kernels/selective_scan_partials.cuh"
#include "cuda/kernels/selective_scan_summary.cuh"

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
  float *dA, *dB_fixed, *dC_fixed;  // [units, dim, kBackwardStates], to be summed
  float *dD, *ddelta_bias;          // [units, dim], to be summed
  float* dB_and_dC;                 // as in ChannelSums
  float* states_in_window;          // [blocks, states_per_window, channels of a thread, threads, 4]
  float *du_sums, *ddelta_sums;     // [batch, length, dim]: of earlier launches, if the states take several
  Channels channels;
  TimeChunks chunks;
  Summaries summaries;  // of the adjoint, if there are several chunks
  int64_t states, first_state, checkpoint_count, rows, groups;
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
  static constexpr bool kComplex = false;  // states are numbers, two to a complex state
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

// Fills the shared memory. Steps and channels that do not exist leave all states and sums as they are: delta, u, dy, B
// and C are zero.
template <class Tile>
class BackwardStage {
  using T = typename Tile::T;
  static constexpr int kSteps = Tile::kSteps, kBlockChannels = Tile::kBlockChannels;

 public:
  __device__ BackwardStage(const BackwardParams<T>& p, typename Tile::Shared& shared, int batch, int group,
                           int block_channel, int channels)
      : p_(p), shared_(shared), batch_(batch), group_(group), block_channel_(block_channel), channels_(channels) {
    for (int i = static_cast<int>(threadIdx.x); i < kBlockChannels; i += Tile::kThreads) {
      shared.delta_bias[i] = p.delta_bias && i < channels ? p.delta_bias[block_channel + i] : 0.0f;
    }
  }

  // `steps` steps from `first` on; what only the way back needs is left out without kForBackward.
  template <bool kForBackward>
  __device__ void prepare(int first, int steps) const {
    const int column = column_of_thread();
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      const int row = row_of_thread(i);
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
    prepare_B_and_C<kForBackward>(first, steps);
  }

  // Writes du and ddelta, which are in the place of u and of the slope; where the states take several launches, du is a
  // float in the place of delta u. A thread takes what it is going to prepare next, so that no barrier is needed in
  // between.
  __device__ void store_results(int first, int steps) const {
    const int column = column_of_thread();
    const int count = max(0, min(channels_ - column, kVector));
#pragma unroll
    for (int i = 0; i < kRounds; ++i) {
      const int row = row_of_thread(i);
      if (row >= steps) continue;
      float values[kVector];
      if constexpr (Tile::kSplit) {
        load_floats(values, &shared_.delta_u[row][column]);
      } else {
        load_floats(values, &shared_.u[row][column]);
      }
      store_result(p_.du, p_.du_sums, first + row, column, count, values);
      load_floats(values, &shared_.slope[row][column]);
      store_result(p_.ddelta, p_.ddelta_sums, first + row, column, count, values);
    }
  }

 private:
  // The threads share out the vectors of 16 steps.
  static constexpr int kVector = Tile::kVector, kRowVectors = kBlockChannels / kVector;
  static constexpr int kRounds = kSteps * kRowVectors / Tile::kThreads;
  __device__ static int column_of_thread() { return static_cast<int>(threadIdx.x) % kRowVectors * kVector; }
  __device__ static int row_of_thread(int round) {
    return static_cast<int>(threadIdx.x) / kRowVectors + round * (Tile::kThreads / kRowVectors);
  }

  template <typename Element>
  __device__ void store_row(const Rows<Element>& rows, int t, int column, int count,
                            const float (&values)[kVector]) const {
    Element* to = rows.row(batch_, t) + block_channel_ + column;
    if (p_.vectorizable && count == kVector) {
      store_floats(to, values);
    } else {
      store_first_floats(to, values, count);
    }
  }

  __device__ void store_result(const Rows<T>& rows, float* sums, int t, int column, int count,
                               float (&values)[kVector]) const {
    if constexpr (Tile::kSplit) {
      const int64_t length = p_.chunks.sequences.length, dim = p_.channels.dim;
      const Rows<float> to(sums, length * dim, dim);
      if (!p_.is_first_part) {
        float earlier[kVector];
        load_row(earlier, Rows<const float>(sums, length * dim, dim), t, column, count);
#pragma unroll
        for (int e = 0; e < kVector; ++e) values[e] += earlier[e];
      }
      if (!p_.is_last_part) return store_row(to, t, column, count, values);
    }
    store_row(rows, t, column, count, values);
  }

  template <int kSize, typename Element>
  __device__ void load_row(float (&values)[kSize], const Rows<const Element>& rows, int t, int column,
                           int count) const {
    const Element* from = rows.row(batch_, t) + block_channel_ + column;
    if (p_.vectorizable && count == kSize) {
      load_floats(values, from);
    } else {
      load_floats_or_zero(values, from, count);
    }
  }

  __device__ void prepare_dy(int row, int t, int column, int count) const {
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
      store_row(p_.dz, t, column, count, y);
    }
    store_floats(&shared_.dy[row][column], dy);
  }

  // On the way back a warp takes the B and C of a step, else the B of two.
  template <bool kForBackward>
  __device__ void prepare_B_and_C(int first, int steps) const {
    constexpr int kWidth = Tile::kWidth, kRowsOfWarp = kForBackward ? 1 : 2, kRows = kRowsOfWarp * Tile::kWarps;
    const int n = lane_index() % (kWidth / kRowsOfWarp);
    const int first_row = warp_index() * kRowsOfWarp + lane_index() / (kWidth / kRowsOfWarp);
    const bool is_B = n < kBackwardStates;
    const int64_t state = p_.first_state + n % kBackwardStates;
    const int64_t stride = is_B ? p_.B.step_stride : p_.C.step_stride;
    const T* from = is_B ? p_.B.data : p_.C.data;
    if (state >= p_.states) from = nullptr;
    if (from) from += (is_B ? p_.B : p_.C).row_offset(batch_, first + first_row, group_) + state;
#pragma unroll
    for (int i = 0; i < kSteps / kRows; ++i) {
      const int row = first_row + i * kRows;
      const float value = from && row < steps ? to_float(*from) : 0.0f;
      if (row + kRows < steps && from) from += kRows * stride;
#pragma unroll
      for (int order = 0; order < Tile::kOrders; ++order) {
        shared_.B_and_C[order * Tile::kOrderStride + row * kWidth + (n ^ order)] = value;
      }
    }
  }

  const BackwardParams<T>& p_;
  typename Tile::Shared& shared_;
  const int batch_, group_, block_channel_, channels_;
};

}  // namespace statespace::cuda::selective_scan
