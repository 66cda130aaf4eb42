// Which rows of a (batch, length, ...) tensor belong to which sequence, one of a batch or one of a packed row.
#pragma once
#include <cstdint>

#include "cpp/core/tensor.h"
#include "cpp/cpu/failures.h"
#include "cpp/cpu/simd_vector.h"

namespace statespace::cpu::STATESPACE_ISA {

// The row of a step.
template <typename T>
STATESPACE_INLINE T* row_of(const Tensor& t, int64_t batch, int64_t step) {
  return static_cast<T*>(t.data) + batch * t.strides[0] + step * t.strides[1];
}

struct Sequence {
  int64_t batch, begin, end;
};

inline int64_t sequence_count(const Tensor& cu_seqlens, int64_t batch) {
  return cu_seqlens ? cu_seqlens.dim(0) - 1 : batch;
}
inline Sequence sequence_at(const Tensor& cu_seqlens, int64_t length, int64_t index) {
  if (!cu_seqlens) return {index, 0, length};
  const int32_t* boundaries = cu_seqlens.as<int32_t>();
  const int64_t stride = cu_seqlens.strides[0];
  return {0, boundaries[index * stride], boundaries[(index + 1) * stride]};
}

}  // namespace statespace::cpu::STATESPACE_ISA
