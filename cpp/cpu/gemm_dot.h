// Few rows of A times a B whose columns are dense in memory (a weight [n, k] as it is stored): dot products, no
// packing.
#pragma once
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

// Rows of A that are worked on together, and how many columns of B then fit in the registers.
constexpr int kDotRows = kWidth == 16 ? 8 : 4;
constexpr int dot_columns(int rows) {
  constexpr int kRegisters = kWidth == 16 ? 28 : 12;
  const int columns = kRegisters / rows;
  return columns < kWidth ? columns : kWidth;
}

// sums[r * kColumns + c] = the product of row r of A and column c of B.
template <int kRows, int kColumns, typename B>
STATESPACE_INLINE void dot_block(const float* a, int64_t a_stride, const B* b, int64_t b_stride, int64_t k,
                                 float* sums) {
  constexpr int kSums = (kRows * kColumns + kWidth - 1) / kWidth * kWidth;
  Vec sum[kSums] = {};
  int64_t i = 0;
  for (; i + kWidth <= k; i += kWidth) {
    Vec x[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) x[r] = load(a + r * a_stride + i);
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) {
      const Vec y = load(b + c * b_stride + i);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r * kColumns + c] = fma(x[r], y, sum[r * kColumns + c]);
    }
  }
  if (i < k) {
#pragma GCC unroll 16
    for (int c = 0; c < kColumns; ++c) {
      const Vec y = load_partial(b + c * b_stride + i, k - i);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        sum[r * kColumns + c] = fma(load_partial(a + r * a_stride + i, k - i), y, sum[r * kColumns + c]);
      }
    }
  }
#pragma GCC unroll 4
  for (int s = 0; s < kSums; s += kWidth) {
    Vec rows[kWidth];
#pragma GCC unroll 16
    for (int j = 0; j < kWidth; ++j) rows[j] = sum[s + j];
    store(sums + s, reduce_rows(rows));
  }
}

// c[r * c_stride + j] for the `columns` columns of B that start at b, one after the other if fewer than a block are
// left.
template <int kRows, typename B>
void dot_columns_of(const float* a, int64_t a_stride, const B* b, int64_t b_stride, int64_t k, int64_t columns,
                    float* c, int64_t c_stride) {
  constexpr int kColumns = dot_columns(kRows);
  alignas(64) float sums[(kRows * kColumns + kWidth - 1) / kWidth * kWidth];
  int64_t j = 0;
  for (; j + kColumns <= columns; j += kColumns) {
    dot_block<kRows, kColumns>(a, a_stride, b + j * b_stride, b_stride, k, sums);
    for (int r = 0; r < kRows; ++r) {
      for (int i = 0; i < kColumns; ++i) c[r * c_stride + j + i] = sums[r * kColumns + i];
    }
  }
  for (; j < columns; ++j) {
    dot_block<kRows, 1>(a, a_stride, b + j * b_stride, b_stride, k, sums);
    for (int r = 0; r < kRows; ++r) c[r * c_stride + j] = sums[r];
  }
}

template <typename B>
using Dot = void (*)(const float*, int64_t, const B*, int64_t, int64_t, int64_t, float*, int64_t);

template <typename B, int kRows = kDotRows>
Dot<B> dot_for(int rows) {
  if constexpr (kRows == 1) {
    return dot_columns_of<1, B>;
  } else {
    return rows == kRows ? dot_columns_of<kRows, B> : dot_for<B, kRows - 1>(rows);
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
