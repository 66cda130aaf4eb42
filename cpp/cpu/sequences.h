// Which rows of a packed batch belong to which sequence.
#pragma once
#include <cstdint>

#include "cpp/core/tensor.h"
#include "cpp/cpu/failures.h"

namespace statespace::cpu::STATESPACE_ISA {

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
