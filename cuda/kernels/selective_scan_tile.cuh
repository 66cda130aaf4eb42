// How a block of the forward selective scan is laid over channels, states and time, and how its inputs come to shared
// memory: tiles of steps, one being copied while the one before is computed.
#pragma once

#include "cuda/device/shared.cuh"
#include "cuda/kernels/selective_scan_rows.cuh"

namespace statespace::cuda::selective_scan {

// kLanes neighbouring lanes share the states of a channel. Either each has the one channel, or (kChannels = kLanes)
// each has kChannels of them and owns one: it alone does what is needed once per channel and step.
template <typename T_, int kStates_, int kLanes_, int kChannels_, bool kFixed_ = false>
struct ForwardTile {
  using T = T_;
  static constexpr int kStates = kStates_, kLanes = kLanes_, kChannels = kChannels_;
  static constexpr bool kFixed = kFixed_;  // B or C do not depend on time
  static_assert(kChannels == 1 || (kChannels == 2 && kLanes == 2 && !kFixed));

  static constexpr int kThreads = 128;
  static constexpr int kPart = kStates / kLanes;  // states of a thread
  static constexpr int kBlockChannels = kThreads * kChannels / kLanes;
  static constexpr int kSteps = kBlockChannels == 128 ? 16 : 32;
  static constexpr int kUnroll = kLanes > 4 ? kLanes : 4;
  static constexpr int kVector = 16 / static_cast<int>(sizeof(T));

  // Shared memory, all of it twice.
  static constexpr int kRowBytes = kSteps * kBlockChannels * static_cast<int>(sizeof(T));  // of one of u, delta, z
  static constexpr int kWideBytes = kSteps * 2 * kStates * static_cast<int>(sizeof(float));
  static constexpr int kRawBytes = sizeof(T) == 4 ? 0 : kWideBytes / 2;
  static constexpr int kStageBytes = 3 * kRowBytes + kWideBytes + kRawBytes;
  static constexpr int kSharedBytes = 2 * kStageBytes;
};

// One tile in shared memory.
template <class Tile>
struct TileStage {
  using T = typename Tile::T;
  T *u, *delta, *z;  // [kSteps, kBlockChannels]
  T* raw;            // [kSteps, 2, kStates]: B and C as they come
  float* wide;       // the same as floats

  __device__ explicit TileStage(int stage) {
    unsigned char* bytes = dynamic_shared<unsigned char>() + stage * Tile::kStageBytes;
    u = reinterpret_cast<T*>(bytes);
    delta = reinterpret_cast<T*>(bytes + Tile::kRowBytes);
    z = reinterpret_cast<T*>(bytes + 2 * Tile::kRowBytes);
    wide = reinterpret_cast<float*>(bytes + 3 * Tile::kRowBytes);
    raw = reinterpret_cast<T*>(bytes + 3 * Tile::kRowBytes + (Tile::kRawBytes == 0 ? 0 : Tile::kWideBytes));
  }
};

// Sixteen bytes on their way to shared memory; elements from `count` on become zero.
template <typename T>
__device__ void stage_vector(T* shared, const T* global, int count, bool vectorizable) {
  constexpr int kVector = 16 / static_cast<int>(sizeof(T));
  if (vectorizable) {
    async_copy_or_zero<16>(shared, global, max(0, min(count, kVector)) * static_cast<int>(sizeof(T)));
  } else {
#pragma unroll
    for (int i = 0; i < kVector; ++i) shared[i] = i < count ? global[i] : from_float<T>(0.0f);
  }
}

// What a block reads, and how each thread takes part in copying it.
template <class Tile>
struct TileSource {
  using T = typename Tile::T;
  static constexpr int kRowVectors = Tile::kBlockChannels / Tile::kVector;
  static constexpr int kStateVectors = 2 * Tile::kStates / Tile::kVector;

  Rows<const T> u, delta, z;
  bool vectorizable_rows, vectorizable_states;
  int64_t batch, first_channel;
  int channels, begin, end;  // channels of the block; steps of its sequence
  const T* states;           // of this thread's vector of B or C, at step 0
  int64_t states_stride;
  int state_count;

  // Starts the copies of the steps from `start` on. Steps outside the sequence become zero.
  __device__ void copy(const TileStage<Tile>& stage, int start) const {
    const int column = static_cast<int>(threadIdx.x) % kRowVectors * Tile::kVector;
#pragma unroll
    for (int i = 0; i < ceil_div(Tile::kSteps * kRowVectors, Tile::kThreads); ++i) {
      const int row = static_cast<int>(threadIdx.x) / kRowVectors + i * (Tile::kThreads / kRowVectors);
      if (Tile::kSteps * kRowVectors < Tile::kThreads && row >= Tile::kSteps) break;
      const int t = start + row;
      const int count = t >= begin && t < end ? channels - column : 0;
      const int to = row * Tile::kBlockChannels + column;
      stage_vector(stage.u + to, u.row(batch, t) + first_channel + column, count, vectorizable_rows);
      stage_vector(stage.delta + to, delta.row(batch, t) + first_channel + column, count, vectorizable_rows);
      if (z) stage_vector(stage.z + to, z.row(batch, t) + first_channel + column, count, vectorizable_rows);
    }
    for_own_states([&](int row, int to) {
      const int t = start + row;
      const int count = t >= begin && t < end ? state_count : 0;
      stage_vector(stage.raw + to, states + t * states_stride, count, vectorizable_states);
    });
    async_commit();
  }

  // Converts the B and C that this thread itself has copied, so that no barrier is needed in between.
  __device__ void widen_states(const TileStage<Tile>& stage) const {
    if constexpr (Tile::kRawBytes > 0) {
      for_own_states([&](int, int to) {
        float values[Tile::kVector];
        load_floats(values, stage.raw + to);
        store_floats(stage.wide + to, values);
      });
    }
  }

  template <typename Function>
  __device__ static void for_own_states(Function f) {
    const int column = static_cast<int>(threadIdx.x) % kStateVectors * Tile::kVector;
#pragma unroll
    for (int i = 0; i < ceil_div(Tile::kSteps * kStateVectors, Tile::kThreads); ++i) {
      const int row = static_cast<int>(threadIdx.x) / kStateVectors + i * (Tile::kThreads / kStateVectors);
      if (Tile::kSteps * kStateVectors < Tile::kThreads && row >= Tile::kSteps) break;
      f(row, row * 2 * Tile::kStates + column);
    }
  }
};

}  // namespace statespace::cuda::selective_scan
