// Walks several tensors of one shape and any strides: axes that lie alike in all of them become one.
#pragma once

#include "cpp/core/tensor.h"
#include "cuda/device/platform.cuh"

namespace statespace::cuda {

// a / b for numbers that are not negative: in 32 bits where they fit, which costs a fifth.
__host__ __device__ inline int64_t quotient(int64_t a, int64_t b) {
  return (a | b) >> 32 ? a / b : static_cast<int64_t>(static_cast<uint32_t>(a) / static_cast<uint32_t>(b));
}

// Rows of `inner` elements, and in which order the rows lie in each of kTensors tensors.
template <int kTensors>
struct StridedRows {
  int64_t rows = 1, inner = 1;
  int64_t inner_stride[kTensors];
  int outer_axes = 0;
  int64_t outer_shape[kMaxRank];  // the last axis runs fastest
  int64_t outer_stride[kTensors][kMaxRank];

  __host__ __device__ void offsets(int64_t row, int64_t (&offset)[kTensors]) const {
    for (int i = 0; i < kTensors; ++i) offset[i] = 0;
#pragma unroll
    for (int axis = kMaxRank - 1; axis >= 0; --axis) {  // of constant length, so that the arrays stay parameters
      if (axis >= outer_axes) continue;
      const int64_t size = outer_shape[axis];
      const int64_t rest = quotient(row, size);
      const int64_t position = row - rest * size;
      for (int i = 0; i < kTensors; ++i) offset[i] += position * outer_stride[i][axis];
      row = rest;
    }
  }
};

template <int kTensors>
StridedRows<kTensors> strided_rows(const Tensor* const (&tensors)[kTensors]) {
  int axes = 0;
  int64_t shape[kMaxRank], strides[kTensors][kMaxRank];
  const Tensor& first = *tensors[0];
  for (int axis = 0; axis < first.rank; ++axis) {
    if (first.shape[axis] == 1) continue;
    bool joins = axes > 0;
    for (int i = 0; i < kTensors && joins; ++i) {
      joins = strides[i][axes - 1] == first.shape[axis] * tensors[i]->strides[axis];
    }
    if (!joins) shape[axes++] = 1;
    shape[axes - 1] *= first.shape[axis];
    for (int i = 0; i < kTensors; ++i) strides[i][axes - 1] = tensors[i]->strides[axis];
  }
  StridedRows<kTensors> rows;
  if (axes == 0) {
    for (int i = 0; i < kTensors; ++i) rows.inner_stride[i] = 1;
    return rows;
  }
  rows.inner = shape[axes - 1];
  rows.outer_axes = axes - 1;
  for (int axis = 0; axis < axes - 1; ++axis) {
    rows.rows *= shape[axis];
    rows.outer_shape[axis] = shape[axis];
  }
  for (int i = 0; i < kTensors; ++i) {
    rows.inner_stride[i] = strides[i][axes - 1];
    for (int axis = 0; axis < axes - 1; ++axis) rows.outer_stride[i][axis] = strides[i][axis];
  }
  return rows;
}

}  // namespace statespace::cuda
