// The innermost kernels of gemm: a few rows of A times a panel of one or two vectors of columns, held in registers.
#pragma once
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

// As many rows as leave registers for the panel and one element of A.
#if defined(__AVX512F__)
constexpr int kTileRows = 14;
#elif defined(__AVX2__)
constexpr int kTileRows = 6;
#elif defined(__aarch64__)
constexpr int kTileRows = 8;
#else
constexpr int kTileRows = 4;
#endif
constexpr int kPanel = 2 * kWidth;

struct TileOutput {
  float* c;
  int64_t row_stride;
  int64_t columns;    // those of the panel that exist
  const float* bias;  // at the panel's first column, or null
  bool add;           // to what c holds
};

// The columns of a panel for one k. As bfloat16, those of the two vectors share 32-bit words, which takes a load, a
// shift and a mask to undo.
template <int kVectors>
STATESPACE_INLINE void load_columns(const float* b, Vec (&columns)[kVectors]) {
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) columns[v] = load(b + v * kWidth);
}
STATESPACE_INLINE void load_columns(const bf16* b, Vec (&columns)[1]) { columns[0] = load(b); }
STATESPACE_INLINE void load_columns(const bf16* b, Vec (&columns)[2]) {
  UVec words;
  __builtin_memcpy(&words, b, sizeof(words));
  columns[0] = (Vec)(words << 16);
  columns[1] = (Vec)(words & 0xffff0000u);
}
STATESPACE_INLINE void store_columns(bf16* b, const Vec (&columns)[2]) {
  const UVec words = __builtin_convertvector(narrow(columns[0], bf16{}), UVec) |
                     __builtin_convertvector(narrow(columns[1], bf16{}), UVec) << 16;
  __builtin_memcpy(b, &words, sizeof(words));
}

// b holds `stride` elements per k. Packed rows of A lie next to each other for each k, else each is `a_stride` apart.
template <int kRows, int kVectors, bool kPackedRows, typename B>
void tile(const float* a, int64_t a_stride, const void* panel, int64_t stride, int64_t k, const TileOutput& out) {
  // Several chains per sum where few rows would leave the adders waiting.
  constexpr int kChains = kRows * kVectors >= 8 ? 1 : kRows * kVectors >= 4 ? 2 : 4;
  // Few rows read the panel faster than the hardware's prefetch.
  constexpr int kAhead = kRows <= 4 ? 4096 / static_cast<int>(sizeof(B)) : 0;
  const B* b = static_cast<const B*>(panel);
  Vec sum[kChains][kRows][kVectors] = {};
  int64_t i = 0;
  for (; i + kChains <= k; i += kChains) {
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains; ++chain) {
      Vec columns[kVectors];
      load_columns(b, columns);
      if constexpr (kAhead > 0) __builtin_prefetch(b + kAhead);
#pragma GCC unroll 14
      for (int r = 0; r < kRows; ++r) {
        const Vec x = broadcast(kPackedRows ? a[r] : a[r * a_stride]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) sum[chain][r][v] = fma(x, columns[v], sum[chain][r][v]);
      }
      a += kPackedRows ? kRows : 1;
      b += stride;
    }
  }
  if constexpr (kChains > 1) {
    for (; i < k; ++i) {
      Vec columns[kVectors];
      load_columns(b, columns);
#pragma GCC unroll 14
      for (int r = 0; r < kRows; ++r) {
        const Vec x = broadcast(kPackedRows ? a[r] : a[r * a_stride]);
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) sum[0][r][v] = fma(x, columns[v], sum[0][r][v]);
      }
      a += kPackedRows ? kRows : 1;
      b += stride;
    }
#pragma GCC unroll 4
    for (int chain = kChains / 2; chain > 0; chain /= 2) {
#pragma GCC unroll 4
      for (int from = 0; from < chain; ++from) {
#pragma GCC unroll 14
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
          for (int v = 0; v < kVectors; ++v) sum[from][r][v] += sum[from + chain][r][v];
        }
      }
    }
  }
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
    const int64_t n = out.columns - v * kWidth;
    float* c = out.c + v * kWidth;
    if (n >= kWidth) {
      const Vec bias = out.bias ? load(out.bias + v * kWidth) : Vec{};
#pragma GCC unroll 14
      for (int r = 0; r < kRows; ++r) {
        Vec value = sum[0][r][v] + bias;
        if (out.add) value += load(c + r * out.row_stride);
        store(c + r * out.row_stride, value);
      }
    } else if (n > 0) {
      const Vec bias = out.bias ? load_partial(out.bias + v * kWidth, n) : Vec{};
#pragma GCC unroll 14
      for (int r = 0; r < kRows; ++r) {
        Vec value = sum[0][r][v] + bias;
        if (out.add) value += load_partial(c + r * out.row_stride, n);
        store_partial(c + r * out.row_stride, value, n);
      }
    }
  }
}

using Tile = void (*)(const float*, int64_t, const void*, int64_t, int64_t, const TileOutput&);

template <int kVectors, bool kPackedRows, typename B, int kRows = kTileRows>
Tile tile_for(int rows) {
  if constexpr (kRows == 1) {
    return tile<1, kVectors, kPackedRows, B>;
  } else {
    return rows == kRows ? tile<kRows, kVectors, kPackedRows, B> : tile_for<kVectors, kPackedRows, B, kRows - 1>(rows);
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
