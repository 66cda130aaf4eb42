// Tensors as the selective scan kernels take them: an address and the strides that are used, not whole ops.
#pragma once

#include "cpp/core/error.h"
#include "cpp/core/tensor.h"
#include "cuda/device/async_copy.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/device/vector.cuh"

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
  Rows(T* data, int64_t batch_stride, int64_t step_stride)
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

  __device__ int64_t batch_of(int64_t sequence) const { return boundaries ? 0 : sequence; }
  __device__ int begin_of(int64_t sequence) const {
    return boundaries ? max(0, min(warp_uniform(boundaries[sequence]), length)) : 0;
  }
  __device__ int end_of(int64_t sequence) const {
    return boundaries ? max(begin_of(sequence), min(warp_uniform(boundaries[sequence + 1]), length)) : length;
  }
};

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
