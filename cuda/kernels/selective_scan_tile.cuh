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
  static constexpr bool kComplex = false;  // kStates are the numbers of half as many complex states
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

// Sixteen bytes on their way to shared memory, of which the first `count` elements exist; the others become zero.
template <typename T>
__device__ void stage_vector(T* shared, const T* global, int count, bool vectorizable) {
  constexpr int kVector = 16 / static_cast<int>(sizeof(T));
  if (vectorizable) {
    async_copy_or_zero<16>(shared, global, count * static_cast<int>(sizeof(T)));
  } else {
#pragma unroll
    for (int i = 0; i < kVector; ++i) shared[i] = i < count ? global[i] : from_float<T>(0.0f);
  }
}

// Copies tile after tile. The threads share out the vectors of a tile; each walks along its tensors with a pointer.
template <class Tile>
class TileSource {
  using T = typename Tile::T;
  static constexpr int kVector = Tile::kVector, kSteps = Tile::kSteps;

  // Vectors of a row, and the rows that all threads together copy at once.
  static constexpr int kRowVectors = Tile::kBlockChannels / kVector, kRows = Tile::kThreads / kRowVectors;
  static constexpr int kStateVectors = 2 * Tile::kStates / kVector, kStateRows = Tile::kThreads / kStateVectors;

 public:
  struct Where {
    int64_t batch, group, first_channel, first_state, states;
    int channels, begin, end;  // channels of the block; steps of its sequence
    int start;                 // first step of the first tile
  };

  __device__ TileSource(const Rows<const T>& u, const Rows<const T>& delta, const Rows<const T>& z,
                        const GroupRows<const T>& B, const GroupRows<const T>& C, bool vectorizable_rows,
                        bool vectorizable_states, const Where& where)
      : u_stride_(u.step_stride),
        delta_stride_(delta.step_stride),
        z_stride_(z.step_stride),
        vectorizable_rows_(vectorizable_rows),
        vectorizable_states_(vectorizable_states),
        has_z_(z),
        start_(where.start - where.begin),
        length_(where.end - where.begin) {
    const int thread = static_cast<int>(threadIdx.x);
    const int64_t channel = where.first_channel + thread % kRowVectors * kVector;
    channel_count_ = max(0, min(where.channels - thread % kRowVectors * kVector, kVector));
    const int row = where.start + thread / kRowVectors;
    u_ = u.row(where.batch, row) + channel;
    delta_ = delta.row(where.batch, row) + channel;
    z_ = z ? z.row(where.batch, row) + channel : nullptr;

    const int column = thread % kStateVectors * kVector;
    const bool is_B = column < Tile::kStates;
    const int64_t state = where.first_state + column % Tile::kStates;
    states_ = is_B ? B.data : C.data;
    states_stride_ = is_B ? B.step_stride : C.step_stride;  // 0 if it is absent
    const int64_t count = states_ ? where.states - state : 0;
    state_count_ = static_cast<int>(max(int64_t{0}, min(count, int64_t{kVector})));
    if (states_) {
      states_ += (is_B ? B : C).row_offset(where.batch, where.start + thread / kStateVectors, where.group) + state;
    }
  }

  // Starts the copies of the next tile. Steps outside the sequence become zero.
  __device__ void copy(const TileStage<Tile>& stage) {
    const int column = static_cast<int>(threadIdx.x) % kRowVectors * kVector;
#pragma unroll
    for (int first = 0; first < kSteps; first += kRows) {
      const int row = first + static_cast<int>(threadIdx.x) / kRowVectors;
      if (kSteps < kRows && row >= kSteps) break;
      const int count = is_live(row) ? channel_count_ : 0;
      const int to = row * Tile::kBlockChannels + column;
      stage_vector(stage.u + to, u_ + first * u_stride_, count, vectorizable_rows_);
      stage_vector(stage.delta + to, delta_ + first * delta_stride_, count, vectorizable_rows_);
      if (has_z_) stage_vector(stage.z + to, z_ + first * z_stride_, count, vectorizable_rows_);
    }
    for_own_states([&](int first, int row, int to) {
      const int count = is_live(row) ? state_count_ : 0;
      stage_vector(stage.raw + to, states_ + first * states_stride_, count, vectorizable_states_);
    });
    async_commit();
    start_ += kSteps;
    u_ += kSteps * u_stride_;
    delta_ += kSteps * delta_stride_;
    if (has_z_) z_ += kSteps * z_stride_;
    if (states_) states_ += kSteps * states_stride_;
  }

  // Converts the B and C that this thread itself has copied, so that no barrier is needed in between.
  __device__ void widen_states(const TileStage<Tile>& stage) const {
    if constexpr (Tile::kRawBytes > 0) {
      for_own_states([&](int, int, int to) {
        float values[Tile::kVector];
        load_floats(values, stage.raw + to);
        store_floats(stage.wide + to, values);
      });
    }
  }

 private:
  __device__ bool is_live(int row) const {
    return static_cast<unsigned>(start_ + row) < static_cast<unsigned>(length_);
  }

  template <typename Function>
  __device__ static void for_own_states(Function f) {
    const int column = static_cast<int>(threadIdx.x) % kStateVectors * kVector;
#pragma unroll
    for (int first = 0; first < kSteps; first += kStateRows) {
      const int row = first + static_cast<int>(threadIdx.x) / kStateVectors;
      if (kSteps < kStateRows && row >= kSteps) break;
      f(first, row, row * 2 * Tile::kStates + column);
    }
  }

  const T *u_, *delta_, *z_, *states_;  // of this thread's first row of the next tile
  int64_t u_stride_, delta_stride_, z_stride_, states_stride_;
  bool vectorizable_rows_, vectorizable_states_, has_z_;
  int channel_count_, state_count_;  // of a vector
  int start_, length_;               // of the next tile, from the first step of the sequence; steps of the sequence
};

// Takes results out of shared memory, where they lie in the place of u (and y in that of delta). A thread takes what it
// is going to copy over, so that no barrier is needed in between.
template <class Tile>
class TileSink {
  using T = typename Tile::T;
  static constexpr int kVector = Tile::kVector, kSteps = Tile::kSteps;
  static constexpr int kRowVectors = Tile::kBlockChannels / kVector, kRows = Tile::kThreads / kRowVectors;

 public:
  __device__ TileSink(const Rows<T>& out, const Rows<T>& y, bool vectorizable,
                      const typename TileSource<Tile>::Where& where)
      : out_stride_(out.step_stride),
        y_stride_(y.step_stride),
        vectorizable_(vectorizable),
        has_y_(y),
        start_(where.start - where.begin),
        length_(where.end - where.begin) {
    const int column = static_cast<int>(threadIdx.x) % kRowVectors * kVector;
    const int64_t channel = where.first_channel + column;
    const int row = where.start + static_cast<int>(threadIdx.x) / kRowVectors;
    count_ = max(0, min(where.channels - column, kVector));
    out_ = out.row(where.batch, row) + channel;
    y_ = y ? y.row(where.batch, row) + channel : nullptr;
  }

  // Of the next tile.
  __device__ void store(const TileStage<Tile>& stage) {
    const int from = static_cast<int>(threadIdx.x) / kRowVectors * Tile::kBlockChannels +
                     static_cast<int>(threadIdx.x) % kRowVectors * kVector;
#pragma unroll
    for (int first = 0; first < kSteps; first += kRows) {
      const int row = first + static_cast<int>(threadIdx.x) / kRowVectors;
      if (kSteps < kRows && row >= kSteps) break;
      if (static_cast<unsigned>(start_ + row) >= static_cast<unsigned>(length_)) continue;
      store_vector_of(out_ + first * out_stride_, stage.u + from + first * Tile::kBlockChannels);
      if (has_y_) store_vector_of(y_ + first * y_stride_, stage.delta + from + first * Tile::kBlockChannels);
    }
    start_ += kSteps;
    out_ += kSteps * out_stride_;
    if (has_y_) y_ += kSteps * y_stride_;
  }

 private:
  __device__ void store_vector_of(T* to, const T* from) const {
    if (vectorizable_ && count_ == kVector) {
      store_vector(to, load_vector(from));
    } else {
#pragma unroll
      for (int i = 0; i < kVector; ++i) {
        if (i < count_) to[i] = from[i];
      }
    }
  }

  T *out_, *y_;  // of this thread's first row of the next tile
  int64_t out_stride_, y_stride_;
  bool vectorizable_, has_y_;
  int start_, length_, count_;  // as in TileSource
};

}  // namespace statespace::cuda::selective_scan
