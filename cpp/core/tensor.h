// What kernels see of a tensor: an address, an element type, sizes and strides. Trivially copyable, owns nothing.
#pragma once
#include <cstdint>
#include <type_traits>

#include "cpp/core/dtype.h"

namespace statespace {

constexpr int kMaxRank = 6;

struct Tensor {
  void* data = nullptr;
  DType dtype = DType::float32;
  int8_t rank = 0;
  int64_t shape[kMaxRank] = {};
  int64_t strides[kMaxRank] = {};  // in elements

  constexpr explicit operator bool() const { return data != nullptr; }

  template <typename T>
  constexpr T* as() const {
    return static_cast<T*>(data);
  }

  // dim(-1) is the last size.
  constexpr int64_t dim(int axis) const { return shape[axis < 0 ? axis + rank : axis]; }
  constexpr int64_t stride(int axis) const { return strides[axis < 0 ? axis + rank : axis]; }

  constexpr int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= shape[i];
    return n;
  }
  // The number of rows if the last axis is one row.
  constexpr int64_t rows() const {
    int64_t n = 1;
    for (int i = 0; i + 1 < rank; ++i) n *= shape[i];
    return n;
  }
  // Distance between rows; right for a tensor that satisfies is_rows().
  constexpr int64_t row_stride() const {
    for (int i = rank - 2; i >= 0; --i) {
      if (shape[i] != 1) return strides[i];
    }
    return rank > 0 ? shape[rank - 1] : 1;
  }
  constexpr size_t bytes() const { return static_cast<size_t>(size()) * size_of(dtype); }

  // Whether the last axis is dense; the others may lie anywhere.
  constexpr bool is_last_axis_dense() const { return rank == 0 || shape[rank - 1] <= 1 || strides[rank - 1] == 1; }
  // Whether the leading axes collapse to one with a single stride, and the last is dense.
  constexpr bool is_rows() const {
    if (!is_last_axis_dense()) return false;
    int64_t expected = -1;
    for (int i = rank - 2; i >= 0; --i) {
      if (shape[i] == 1) continue;
      if (expected >= 0 && strides[i] != expected) return false;
      expected = strides[i] * shape[i];
    }
    return true;
  }
  constexpr bool is_contiguous() const {
    if (size() == 0) return true;
    int64_t expected = 1;
    for (int i = rank - 1; i >= 0; --i) {
      if (shape[i] == 1) continue;
      if (strides[i] != expected) return false;
      expected *= shape[i];
    }
    return true;
  }
  constexpr void set_contiguous_strides() {
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; --i) {
      strides[i] = stride;
      stride *= shape[i] > 0 ? shape[i] : 1;
    }
  }
};

static_assert(std::is_trivially_copyable_v<Tensor>);

}  // namespace statespace
