// mma.sync m16n8k16: a warp multiplies a 16x16 by a 16x8 tile of bf16 or f16 and adds to a 16x8 tile of float.
#pragma once

#include "cuda/device/numeric.cuh"

namespace statespace::cuda {

// A register of A and B holds two neighbours along k, the first in its low half.
template <typename T>
struct FragmentA {
  unsigned regs[4];
};
template <typename T>
struct FragmentB {
  unsigned regs[2];
};
struct FragmentC {
  float regs[4] = {};
};

// Where register `i` of `lane` begins in its tile: A is [m, k], B is [k, n], C is [m, n]; the layouts of the PTX
// manual.
__host__ __device__ constexpr int a_row(int lane, int i) { return lane / 4 + i % 2 * 8; }
__host__ __device__ constexpr int a_col(int lane, int i) { return lane % 4 * 2 + i / 2 * 8; }
__host__ __device__ constexpr int b_row(int lane, int i) { return lane % 4 * 2 + i * 8; }
__host__ __device__ constexpr int b_col(int lane) { return lane / 4; }
__host__ __device__ constexpr int c_row(int lane, int i) { return lane / 4 + i / 2 * 8; }
__host__ __device__ constexpr int c_col(int lane, int i) { return lane % 4 * 2 + i % 2; }

template <typename T>
__device__ unsigned pack_pair(T low, T high) {
  static_assert(sizeof(T) == 2);
  unsigned short halves[2];
  memcpy(&halves[0], &low, 2);
  memcpy(&halves[1], &high, 2);
  return halves[0] | static_cast<unsigned>(halves[1]) << 16;
}

// Two floats, rounded to T, as one register.
template <typename T>
__device__ unsigned pack_floats(float low, float high) {
  return pack_pair(from_float<T>(low), from_float<T>(high));
}

// Two neighbours in memory as one register; `address` is aligned to 4 bytes.
template <typename T>
__device__ unsigned load_pair(const T* address) {
  static_assert(sizeof(T) == 2);
#if !defined(__CUDACC__)
  emulator::require_aligned(address, sizeof(unsigned));
#endif
  return *reinterpret_cast<const unsigned*>(address);
}

#if !defined(__CUDACC__)
template <typename T>
float half_of_register(unsigned packed, int half) {
  const auto bits = static_cast<unsigned short>(half ? packed >> 16 : packed);
  T value;
  memcpy(&value, &bits, sizeof(value));
  return to_float(value);
}
#endif

// c += a * b; all lanes of the warp must call it.
template <typename T>
__device__ void multiply_add(FragmentC& c, const FragmentA<T>& a, const FragmentB<T>& b) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, f16>);
#if defined(__CUDACC__)
  if constexpr (std::is_same_v<T, bf16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c.regs[0]), "+f"(c.regs[1]), "+f"(c.regs[2]), "+f"(c.regs[3])
        : "r"(a.regs[0]), "r"(a.regs[1]), "r"(a.regs[2]), "r"(a.regs[3]), "r"(b.regs[0]), "r"(b.regs[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c.regs[0]), "+f"(c.regs[1]), "+f"(c.regs[2]), "+f"(c.regs[3])
        : "r"(a.regs[0]), "r"(a.regs[1]), "r"(a.regs[2]), "r"(a.regs[3]), "r"(b.regs[0]), "r"(b.regs[1]));
  }
#else
  struct Operands {
    FragmentA<T> a;
    FragmentB<T> b;
    FragmentC c;
  };
  c = emulator::warp_collective<FragmentC>(
      0xffffffffu, Operands{a, b, c},
      [](Operands** in, FragmentC** out) {
        float a_tile[16][16], b_tile[16][8];
        for (int lane = 0; lane < 32; ++lane) {
          for (int half = 0; half < 2; ++half) {
            for (int i = 0; i < 4; ++i) {
              a_tile[a_row(lane, i)][a_col(lane, i) + half] = half_of_register<T>(in[lane]->a.regs[i], half);
            }
            for (int i = 0; i < 2; ++i) {
              b_tile[b_row(lane, i) + half][b_col(lane)] = half_of_register<T>(in[lane]->b.regs[i], half);
            }
          }
        }
        for (int lane = 0; lane < 32; ++lane) {
          for (int i = 0; i < 4; ++i) {
            float sum = in[lane]->c.regs[i];
            for (int k = 0; k < 16; ++k) sum += a_tile[c_row(lane, i)][k] * b_tile[k][c_col(lane, i)];
            out[lane]->regs[i] = sum;
          }
        }
      },
      emulator::Site::current());
#endif
}

// Which of ldmatrix's forms: as the 8x8 tiles stand in shared memory, or each one transposed.
enum class Tile { kPlain, kTransposed };

// ldmatrix: kTiles (1, 2 or 4) tiles of 8x8 16-bit elements from shared memory, one register each. Lane 8 * j + r gives
// the address of row r of tile j, aligned to 16 bytes; register j gets row `lane / 4`, elements `lane % 4 * 2` and the
// next (transposed: column `lane / 4`). Addresses of lanes from 8 * kTiles on are not used.
template <int kTiles, Tile kTile = Tile::kPlain>
__device__ void load_tiles(unsigned (&regs)[kTiles], const void* row) {
  static_assert(kTiles == 1 || kTiles == 2 || kTiles == 4);
#if defined(__CUDACC__)
  const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
  if constexpr (kTiles == 4 && kTile == Tile::kPlain) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(regs[0]), "=r"(regs[1]), "=r"(regs[2]), "=r"(regs[3])
                 : "r"(address)
                 : "memory");
  } else if constexpr (kTiles == 4) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(regs[0]), "=r"(regs[1]), "=r"(regs[2]), "=r"(regs[3])
                 : "r"(address)
                 : "memory");
  } else if constexpr (kTiles == 2 && kTile == Tile::kPlain) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(regs[0]), "=r"(regs[1])
                 : "r"(address)
                 : "memory");
  } else if constexpr (kTiles == 2) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(regs[0]), "=r"(regs[1])
                 : "r"(address)
                 : "memory");
  } else if constexpr (kTile == Tile::kPlain) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(regs[0]) : "r"(address) : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                 : "=r"(regs[0])
                 : "r"(address)
                 : "memory");
  }
#else
  const int lane = emulator::lane_of_thread();
  if (lane < 8 * kTiles) emulator::require_aligned(row, 16);
  for (int j = 0; j < kTiles; ++j) {
    unsigned short halves[2];
    for (int half = 0; half < 2; ++half) {
      const int r = kTile == Tile::kPlain ? lane / 4 : lane % 4 * 2 + half;
      const int c = kTile == Tile::kPlain ? lane % 4 * 2 + half : lane / 4;
      halves[half] = static_cast<const unsigned short*>(__shfl_sync(0xffffffffu, row, 8 * j + r))[c];
    }
    regs[j] = halves[0] | static_cast<unsigned>(halves[1]) << 16;
  }
#endif
}

}  // namespace statespace::cuda
