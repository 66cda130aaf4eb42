// What the norms over the last axis share: loops over a row, rows of any element type, and sums over the rows.
#pragma once
#include "cpp/cpu/copy.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

constexpr int64_t kBlock = 8192;  // elements of a task

template <typename F>
STATESPACE_INLINE void each_vector(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) f(i, static_cast<int64_t>(kWidth));
  if (i < n) f(i, n - i);
}

// Sum of f(i, lanes), four vectors at a time.
template <typename F>
STATESPACE_INLINE float sum_vectors(int64_t n, const F& f) {
  Vec s[4] = {};
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    for (int k = 0; k < 4; ++k) s[k] += f(i + k * kWidth, kWidth);
  }
  for (; i < n; i += kWidth) s[0] += f(i, n - i < kWidth ? n - i : kWidth);
  return reduce_add((s[0] + s[1]) + (s[2] + s[3]));
}

// A row as float32: where it lies, or widened in the buffer.
inline const float* float_row(const Tensor& t, int64_t row, int64_t n, float* buffer) {
  const char* data = static_cast<const char*>(t.data) + row * n * static_cast<int64_t>(size_of(t.dtype));
  if (t.dtype == DType::float32) return reinterpret_cast<const float*>(data);
  convert_row(data, t.dtype, buffer, DType::float32, n);
  return buffer;
}
inline void* row_address(const Tensor& t, int64_t row, int64_t n) {
  return static_cast<char*>(t.data) + row * n * static_cast<int64_t>(size_of(t.dtype));
}

// Partial sums of dweight, one for each chunk of rows; the number of rows alone says how many.
inline int64_t chunk_rows(int64_t rows) { return rows > 1024 ? (rows + 63) / 64 : 16; }

inline void sum_chunks(const float* partial, int64_t chunks, int64_t n, float* y) {
  parallel_blocks(n, kBlock, [=](int64_t begin, int64_t end) {
    each_vector(end - begin, [=](int64_t i, int64_t lanes) {
      Vec s{};
      for (int64_t chunk = 0; chunk < chunks; ++chunk) s += load_lanes(partial + chunk * n + begin + i, lanes);
      store_lanes(y + begin + i, s, lanes);
    });
  });
}

}  // namespace statespace::cpu::STATESPACE_ISA
