// The names that nvcc knows by itself, for a plain C++ compiler. Included by cuda_emulator.h only.
#pragma once

#include "cuda/emulator/cuda_emulator.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))

inline thread_local constinit uint3 threadIdx{}, blockIdx{};
inline thread_local constinit dim3 blockDim, gridDim;
constexpr int warpSize = 32;

#define STATESPACE_SITE statespace::emulator::Site site = statespace::emulator::Site::current()

inline void __syncthreads(STATESPACE_SITE) { statespace::emulator::block_barrier(false, site); }
inline int __syncthreads_count(int predicate, STATESPACE_SITE) {
  return statespace::emulator::block_barrier(predicate != 0, site);
}
inline int __syncthreads_or(int predicate, STATESPACE_SITE) {
  return statespace::emulator::block_barrier(predicate != 0, site) > 0;
}
inline int __syncthreads_and(int predicate, STATESPACE_SITE) {
  return statespace::emulator::block_barrier(predicate == 0, site) == 0;
}

inline void __syncwarp(unsigned mask = 0xffffffffu, STATESPACE_SITE) {
  statespace::emulator::meet_lanes(mask, nullptr, nullptr, nullptr, nullptr, /*orders_memory=*/true, site);
}

namespace statespace::emulator {
inline int lane_of_thread() {
  return static_cast<int>((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % warpSize);
}
}  // namespace statespace::emulator

template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, STATESPACE_SITE) {
  const int first = statespace::emulator::lane_of_thread() & ~(width - 1);
  return statespace::emulator::shuffle(mask, value, first | (source & (width - 1)), site);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize, STATESPACE_SITE) {
  const int lane = statespace::emulator::lane_of_thread(), source = lane - static_cast<int>(delta);
  return statespace::emulator::shuffle(mask, value, source >= (lane & ~(width - 1)) ? source : lane, site);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize, STATESPACE_SITE) {
  const int lane = statespace::emulator::lane_of_thread(), source = lane + static_cast<int>(delta);
  return statespace::emulator::shuffle(mask, value, source <= (lane | (width - 1)) ? source : lane, site);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = warpSize, STATESPACE_SITE) {
  const int lane = statespace::emulator::lane_of_thread(), source = lane ^ lane_mask;
  return statespace::emulator::shuffle(mask, value, source <= (lane | (width - 1)) ? source : lane, site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, STATESPACE_SITE) {
  return statespace::emulator::warp_collective<unsigned>(
      mask, predicate,
      [](int** in, unsigned** out) {
        unsigned votes = 0;
        for (int lane = 0; lane < warpSize; ++lane) {
          if (in[lane] && *in[lane]) votes |= 1u << lane;
        }
        for (int lane = 0; lane < warpSize; ++lane) {
          if (out[lane]) *out[lane] = votes;
        }
      },
      site);
}
inline int __any_sync(unsigned mask, int predicate, STATESPACE_SITE) {
  return __ballot_sync(mask, predicate, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, STATESPACE_SITE) {
  return __ballot_sync(mask, predicate == 0, site) == 0;
}

#undef STATESPACE_SITE

inline void __threadfence() { statespace::emulator::fence(); }
inline void __threadfence_block() { statespace::emulator::fence(); }
inline void __nanosleep(unsigned) { statespace::emulator::yield(); }

// Atomics are relaxed, as in CUDA: they order nothing but themselves.
namespace statespace::emulator {
template <typename T, typename Function>
T atomic_update(T* address, Function next_of) {
  T old, next;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  do {
    next = next_of(old);
  } while (!__atomic_compare_exchange(address, &old, &next, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old;
}
}  // namespace statespace::emulator

template <typename T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return statespace::emulator::atomic_update(address, [=](T old) { return old + value; });
}
template <typename T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return statespace::emulator::atomic_update(address, [=](T old) { return old < value ? value : old; });
}
template <typename T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return statespace::emulator::atomic_update(address, [=](T old) { return value < old ? value : old; });
}
template <typename T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return statespace::emulator::atomic_update(address, [=](T old) { return old | value; });
}
template <typename T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return statespace::emulator::atomic_update(address, [=](T) { return value; });
}
template <typename T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return statespace::emulator::atomic_update(address, [=](T old) { return old == expected ? value : old; });
}

template <typename T>
T __ldg(const T* address) {
  return *address;
}

template <typename T>
constexpr T min(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
constexpr T max(T a, T b) {
  return a < b ? b : a;
}
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }

// Rounded once and never fused with a neighbour: the empty assembly hides the value from the compiler's contraction.
inline float __fmul_rn(float a, float b) {
  float product = a * b;
  asm("" : "+m"(product));
  return product;
}
inline float __fadd_rn(float a, float b) {
  asm("" : "+m"(a), "+m"(b));
  return a + b;
}
inline float __fsub_rn(float a, float b) { return __fadd_rn(a, -b); }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float a) { return 1.0f / a; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __cosf(float x) { return std::cos(x); }
inline float __sinf(float x) { return std::sin(x); }
inline void __sincosf(float x, float* sine, float* cosine) {
  *sine = std::sin(x);
  *cosine = std::cos(x);
}
#if !defined(__GLIBC_PREREQ) || !__GLIBC_PREREQ(2, 42)  // from then on it is in math.h
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
#endif

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32); }
