// Dot products of a few rows with rows of a weight, by a warp: each element of the weight is read once, and several
// loads of it are under way. The order of a sum depends on k alone.
#pragma once

#include "cuda/device/reduce.cuh"
#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

// sums[c][r] = the dot product of row r of at most kRows and row `first + c` of the weight; rows from `end` on are left
// out. `load_row(values, r, k, count)` gives elements [k, k + count) of row r, as the type of the weight holds them.
template <int kRows, int kColumns, typename LoadRow>
__device__ void row_dots(float (&sums)[kColumns][kRows], const Floats& weight, int64_t line_stride, int64_t first,
                         int64_t end, int64_t k_end, int64_t rows, LoadRow load_row) {
  constexpr int kUnroll = 4 / kColumns;
  constexpr int64_t kStep = kWarpSize * kOctet;
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
#pragma unroll
    for (int row = 0; row < kRows; ++row) sums[c][row] = 0.0f;
  }
  for (int64_t start = lane_index() * kOctet; start < k_end; start += kUnroll * kStep) {
    Octet octets[kUnroll][kColumns];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      const int64_t k = start + i * kStep;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const bool exists = k < k_end && first + c < end;
        octets[i][c] =
            load_octet(weight, exists ? (first + c) * line_stride + k : 0, exists ? octet_count(k, k_end) : 0);
      }
    }
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      const int64_t k = start + i * kStep;
      if (k >= k_end) continue;
      float weights[kColumns][kOctet];
#pragma unroll
      for (int c = 0; c < kColumns; ++c) convert(octets[i][c], weight.dtype, weights[c]);
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        if (row >= rows) continue;
        float values[kOctet];
        load_row(values, row, k, octet_count(k, k_end));
#pragma unroll
        for (int c = 0; c < kColumns; ++c) {
#pragma unroll
          for (int j = 0; j < kOctet; ++j) sums[c][row] = fma_rn(values[j], weights[c][j], sums[c][row]);
        }
      }
    }
  }
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
#pragma unroll
    for (int row = 0; row < kRows; ++row) sums[c][row] = warp_sum(sums[c][row]);
  }
}

}  // namespace statespace::cuda
