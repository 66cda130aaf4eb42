// Matrix products on the CPU: C = A B from any strides and float types, summed in float32.
// Results depend on the shape and the instruction set, never on the number of threads.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cpp/core/dtype.h"

namespace statespace::cpu::STATESPACE_ISA {

// Strides are in elements; a transpose is an exchange of the two. float32, bfloat16 or float16.
struct MatrixView {
  const void* data;
  DType dtype;
  int64_t row_stride, col_stride;
};

// Columns lie next to each other.
struct MatrixTarget {
  void* data;
  DType dtype;
  int64_t row_stride;
};

struct GemmOptions {
  const float* bias = nullptr;  // [n], added to every row
  bool accumulate = false;      // add to what C holds
};

// C[m, n] = A[m, k] B[k, n]. Any size may be 0; with k = 0 the product is zero.
void gemm(int64_t m, int64_t n, int64_t k, const MatrixView& a, const MatrixView& b, const MatrixTarget& c,
          const GemmOptions& options = {});

// A right operand laid out once for many products, as float32 or bfloat16. The layout is that of this instruction set.
struct PackedMatrix {
  const void* data;  // aligned to 64 bytes
  DType dtype;
  int64_t k, n;
};

size_t packed_bytes(int64_t k, int64_t n, DType dtype);
PackedMatrix pack(int64_t k, int64_t n, const MatrixView& b, DType dtype, void* data);

// C[m, b.n] = A[m, b.k] B
void gemm_packed(int64_t m, const MatrixView& a, const PackedMatrix& b, const MatrixTarget& c,
                 const GemmOptions& options = {});

}  // namespace statespace::cpu::STATESPACE_ISA
