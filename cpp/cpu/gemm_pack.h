// Copies a strip of a matrix so that what one step of a tile needs lies together: `lanes` elements for each k.
#pragma once
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

// to[i * to_stride + lane] = from[lane * lane_stride + i * k_stride]. Up to a multiple of kWidth lanes are written
// where to_stride has room for them, with no particular values; else a row may run into the next one before that is
// written, so there must be kWidth elements to spare at the end.
template <typename T>
void pack_strip(const T* from, int64_t lane_stride, int64_t k_stride, int lanes, int64_t k, float* to,
                int64_t to_stride) {
  const bool whole = lanes <= kWidth || to_stride % kWidth == 0;
  const auto put = [&](int64_t i, int lane, Vec v) {
    float* const at = to + i * to_stride + lane;
    whole || lanes - lane >= kWidth ? store(at, v) : store_partial(at, v, lanes - lane);
  };
  if (k_stride == 1) {
    for (int64_t i = 0; i < k; i += kWidth) {
      const int64_t steps = k - i < kWidth ? k - i : kWidth;
      for (int lane = 0; lane < lanes; lane += kWidth) {
        const int last = lanes - lane < kWidth ? lanes - lane - 1 : kWidth - 1;
        Vec rows[kWidth];
        if (steps == kWidth) {
#pragma GCC unroll 16
          for (int r = 0; r < kWidth; ++r) {
            const T* const row = from + (lane + (r < last ? r : last)) * lane_stride + i;
            // So many streams are more than the hardware follows.
            __builtin_prefetch(reinterpret_cast<const char*>(row) + 256);
            rows[r] = load(row);
          }
        } else {
#pragma GCC unroll 16
          for (int r = 0; r < kWidth; ++r) {
            rows[r] = load_partial(from + (lane + (r < last ? r : last)) * lane_stride + i, steps);
          }
        }
        transpose(rows);
        if (steps == kWidth && whole) {
#pragma GCC unroll 16
          for (int r = 0; r < kWidth; ++r) store(to + (i + r) * to_stride + lane, rows[r]);
        } else {
          for (int r = 0; r < steps; ++r) put(i + r, lane, rows[r]);
        }
      }
    }
  } else if (lane_stride == 1) {
    for (int lane = 0; lane < lanes; lane += kWidth) {
      const T* const column = from + lane;
      const int count = lanes - lane;
      if (count >= kWidth) {
        for (int64_t i = 0; i < k; ++i) store(to + i * to_stride + lane, load(column + i * k_stride));
      } else {
        for (int64_t i = 0; i < k; ++i) put(i, lane, load_partial(column + i * k_stride, count));
      }
    }
  } else {
    for (int64_t i = 0; i < k; ++i) {
      const T* const row = from + i * k_stride;
      for (int lane = 0; lane < lanes; lane += kWidth) {
        Vec v{};
        for (int j = 0; j < kWidth && lane + j < lanes; ++j) v[j] = load_one(row + (lane + j) * lane_stride);
        put(i, lane, v);
      }
    }
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
