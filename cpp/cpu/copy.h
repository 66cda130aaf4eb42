// Dense elements in another type, for kernels that compute in float32 whatever they are given.
#pragma once
#include <cstdint>

#include "cpp/core/dtype.h"

namespace statespace::cpu::STATESPACE_ISA {

// y[i] = x[i], i < n
void convert_row(const void* x, DType from, void* y, DType to, int64_t n);

}  // namespace statespace::cpu::STATESPACE_ISA
