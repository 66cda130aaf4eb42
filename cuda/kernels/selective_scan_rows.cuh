// Tensors as the selective scan kernels take them: an address and the strides that are used, not whole ops.
#pragma once

#include "cpp/core/error.h"
#include "cpp/core/tensor.h"
#include "cuda/device/async_copy.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/device/vector.cuh"
#include "cuda/kernels/selective_scan_plan.h"

namespace statespace::cuda::selective_scan {

// [batch, length, dim] with dense channels.
template <typename T>
struct Rows {
  T* data = nullptr;
  int64_t batch_stride = 0, step_stride = 0;

  Rows() = default;
  explicit Rows(const Tensor& t) {
    if (t) *this = {t.as<T>(), t.stride(0), t.stride(1)};
  }
  __host__ __device__ Rows(T* data, int64_t batch_stride, int64_t step_stride)
      : data(data), batch_stride(batch_stride), step_stride(step_stride) {}

  __host__ __device__ explicit operator bool() const { return data != nullptr; }
  __device__ T* row(int64_t batch, int64_t t) const { return data + batch * batch_stride + t * step_stride; }

  // Whether every row, and every `channels`-th channel, can be read in vectors of 16 bytes. An absent tensor can.
  bool is_vectorizable(int64_t channels) const {
    constexpr int64_t kVector = 16 / sizeof(T);
    return !data || (is_aligned(data, 16) && batch_stride % kVector == 0 && step_stride % kVector == 0 &&
                     channels % kVector == 0);
  }
};

// [batch, length, groups, states] with dense states.
template <typename T>
struct GroupRows {
  T* data = nullptr;
  int64_t batch_stride = 0, step_stride = 0, group_stride = 0;

  GroupRows() = default;
  explicit GroupRows(const Tensor& t) {
    if (t) *this = {t.as<T>(), t.stride(0), t.stride(1), t.stride(2)};
  }
  GroupRows(T* data, int64_t batch_stride, int64_t step_stride, int64_t group_stride)
      : data(data), batch_stride(batch_stride), step_stride(step_stride), group_stride(group_stride) {}

  __host__ __device__ explicit operator bool() const { return data != nullptr; }
  __device__ int64_t row_offset(int64_t batch, int64_t t, int64_t group) const {
    return batch * batch_stride + t * step_stride + group * group_stride;
  }
  __device__ T* row(int64_t batch, int64_t t, int64_t group) const { return data + row_offset(batch, t, group); }
  bool is_vectorizable() const { return Rows<T>(data, batch_stride, step_stride).is_vectorizable(group_stride); }
};

// `count` channels from `first` on, all of one group, and the block's place in it.
struct ChannelBlock {
  int group, in_group, first, count;
};

// How blocks are laid over channels: a block has channels of one group only.
struct Channels {
  int64_t dim = 0, per_group = 0;
  int blocks_per_group = 0, blocks = 0;  // of `block_channels` each

  Channels() = default;
  Channels(int64_t dim, int64_t groups, int block_channels)
      : dim(dim),
        per_group(dim / groups),
        blocks_per_group(static_cast<int>(ceil_div<int64_t>(dim / groups, block_channels))),
        blocks(blocks_per_group * static_cast<int>(groups)) {}

  template <int kBlockChannels>
  __device__ ChannelBlock at(int block) const {
    const int group = block / blocks_per_group, in_group = block % blocks_per_group;
    const int channels = static_cast<int>(per_group), before = in_group * kBlockChannels;
    return {group, in_group, group * channels + before, min(kBlockChannels, channels - before)};
  }
};

// `value` is the same in all lanes. A ballot lets the compiler know, so that it and what follows from it need no
// register of each thread; the forward kernel would spill.
__device__ inline int warp_uniform(int value) {
  return static_cast<int>(__ballot_sync(kFullWarp, value >> lane_index() & 1));
}

// The steps [begin, end) of a sequence; all of them, or those between two entries of cu_seqlens.
struct Sequences {
  const int32_t* boundaries = nullptr;
  int64_t count = 0;
  int length = 0;

  Sequences() = default;
  Sequences(const Tensor& u, const Tensor& cu_seqlens)
      : boundaries(cu_seqlens.as<const int32_t>()),
        count(cu_seqlens ? cu_seqlens.dim(0) - 1 : u.dim(0)),
        length(static_cast<int>(u.dim(1))) {}
  Sequences(int64_t count, int length) : count(count), length(length) {}

  __device__ int batch_of(int sequence) const { return boundaries ? 0 : sequence; }
  __device__ int begin_of(int sequence) const {
    return boundaries ? max(0, min(warp_uniform(boundaries[sequence]), length)) : 0;
  }
  __device__ int end_of(int sequence) const {
    return boundaries ? max(begin_of(sequence), min(warp_uniform(boundaries[sequence + 1]), length)) : length;
  }
};

// The steps [begin, end) of one sequence that one block works on, and how many chunks of the sequence come before and
// after; theirs are the units before and after.
struct TimeChunk {
  int sequence, batch, begin, end, before, after;

  __device__ bool exists() const { return begin >= 0; }
};

// Time cut at multiples of `steps` and at the ends of sequences. The unit of a chunk is the sequence's number plus the
// cuts before it: numbers rise along time and no two chunks share one, but where a sequence ends at a cut one is left
// out.
struct TimeChunks {
  Sequences sequences;
  int steps = 1, per_row = 1;
  int64_t units = 0;

  TimeChunks() = default;
  TimeChunks(const Sequences& sequences, int64_t steps)
      : sequences(sequences),
        steps(static_cast<int>(steps < sequences.length ? steps
                               : sequences.length > 0   ? sequences.length
                                                        : 1)),
        per_row(sequences.length > 0 ? ceil_div(sequences.length, this->steps) : 1),
        units(sequences.boundaries ? sequences.count + per_row - 1 : sequences.count * per_row) {}

  __host__ __device__ bool is_split() const { return per_row > 1; }

  __device__ TimeChunk at(int unit) const {
    if (per_row == 1) {
      return {unit, sequences.batch_of(unit), sequences.begin_of(unit), sequences.end_of(unit), 0, 0};
    }
    int sequence = unit / per_row;
    if (sequences.boundaries) {  // the last sequence whose first unit is not behind this one
      sequence = 0;
      for (int low = 1, high = static_cast<int>(sequences.count) - 1; low <= high;) {
        const int middle = low + (high - low) / 2;
        if (middle + first_of(middle) <= unit) {
          sequence = middle, low = middle + 1;
        } else {
          high = middle - 1;
        }
      }
    }
    const int first = first_of(sequence), begin = sequences.begin_of(sequence), end = sequences.end_of(sequence);
    const int last = end > begin ? (end - 1) / steps : first;
    const int chunk = sequences.boundaries ? unit - sequence : unit % per_row;
    const bool exists = chunk >= first && chunk <= last;
    const int from = exists ? max(begin, chunk * steps) : -1;
    // Not (chunk + 1) * steps, which may not fit.
    const int to = exists ? from + min(end - from, steps - from % steps) : -1;
    return {sequence, sequences.batch_of(sequence), from, to, chunk - first, last - chunk};
  }

 private:
  __device__ int first_of(int sequence) const {
    return min(sequences.begin_of(sequence), sequences.length - 1) / steps;
  }
};

// Of the forward ops and of the backward ops; complex states count as two.
template <typename Op>
ScanShape scan_shape(const Op& op, const Sequences& sequences) {
  ScanShape shape = {};
  shape.sequences = sequences.count, shape.length = op.u.dim(1);
  shape.dim = op.u.dim(2), shape.states = op.A.rank == 2 ? op.A.dim(1) : 2 * op.A.dim(1);
  shape.groups = op.B ? op.B.dim(2) : op.C ? op.C.dim(2) : 1;
  shape.checkpoint_every = op.checkpoint_every < shape.length ? op.checkpoint_every
                           : shape.length > 0                 ? shape.length
                                                              : 1;
  if constexpr (requires { op.time_chunks; }) shape.time_chunks = op.time_chunks;
  shape.is_packed = bool(op.cu_seqlens), shape.is_fixed = op.B_fixed || op.C_fixed;
  return shape;
}

// Calls `f` with a value of the element type.
template <typename Function>
void for_element_type(DType dtype, Function f) {
  switch (dtype) {
    case DType::float32:
      return f(float{});
    case DType::bfloat16:
      return f(bf16{});
    case DType::float16:
      return f(f16{});
    default:
      throw Error("ERR_TYPE", "selective scan: the element type is not a floating type");
  }
}

}  // namespace statespace::cuda::selective_scan
