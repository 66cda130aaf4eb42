// Vectors of any element type that move between memory and registers in one instruction of 16, 8, 4 or 2 bytes.
#pragma once

#include "cuda/device/numeric.cuh"

namespace statespace::cuda {

// Sixteen bytes if the size is not given: four floats or eight 16-bit floats.
template <typename T, int kSize = 16 / static_cast<int>(sizeof(T))>
struct alignas(kSize * sizeof(T)) Vector {
  static constexpr int size = kSize;
  T values[kSize];

  __device__ T& operator[](int i) { return values[i]; }
  __device__ const T& operator[](int i) const { return values[i]; }
};

template <int kBytes>
struct WordOf;
template <>
struct WordOf<16> {
  using type = uint4;
};
template <>
struct WordOf<8> {
  using type = uint2;
};
template <>
struct WordOf<4> {
  using type = unsigned;
};
template <>
struct WordOf<2> {
  using type = unsigned short;
};

// `address` must be aligned to the size of the vector.
template <int kSize, typename T>
__device__ Vector<T, kSize> load_vector(const T* address) {
  using Word = typename WordOf<kSize * sizeof(T)>::type;
#if !defined(__CUDACC__)
  emulator::require_aligned(address, sizeof(Word));
#endif
  const Word word = *reinterpret_cast<const Word*>(address);
  Vector<T, kSize> vector;
  memcpy(&vector, &word, sizeof(vector));
  return vector;
}

template <typename T>
__device__ Vector<T> load_vector(const T* address) {
  return load_vector<Vector<T>::size>(address);
}

template <typename T, int kSize>
__device__ void store_vector(T* address, const Vector<T, kSize>& vector) {
  using Word = typename WordOf<kSize * sizeof(T)>::type;
#if !defined(__CUDACC__)
  emulator::require_aligned(address, sizeof(Word));
#endif
  Word word;
  memcpy(&word, &vector, sizeof(word));
  *reinterpret_cast<Word*>(address) = word;
}

// kSize elements as floats, in as few loads as T needs; `address` aligned to 16 bytes or to all of it, if that is less.
template <int kSize, typename T>
__device__ void load_floats(float (&values)[kSize], const T* address) {
  constexpr int kStep = kSize * sizeof(T) > 16 ? 16 / static_cast<int>(sizeof(T)) : kSize;
  static_assert(kSize % kStep == 0);
#pragma unroll
  for (int start = 0; start < kSize; start += kStep) {
    const Vector<T, kStep> part = load_vector<kStep>(address + start);
#pragma unroll
    for (int i = 0; i < kStep; ++i) values[start + i] = to_float(part[i]);
  }
}

template <int kSize, typename T>
__device__ void store_floats(T* address, const float (&values)[kSize]) {
  constexpr int kStep = kSize * sizeof(T) > 16 ? 16 / static_cast<int>(sizeof(T)) : kSize;
  static_assert(kSize % kStep == 0);
#pragma unroll
  for (int start = 0; start < kSize; start += kStep) {
    Vector<T, kStep> part;
#pragma unroll
    for (int i = 0; i < kStep; ++i) part[i] = from_float<T>(values[start + i]);
    store_vector(address + start, part);
  }
}

// The tail of a row: the first `count` elements one by one, zero for the others. No alignment needed.
template <int kSize, typename T>
__device__ void load_floats_or_zero(float (&values)[kSize], const T* address, int count) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) values[i] = i < count ? to_float(address[i]) : 0.0f;
}

template <int kSize, typename T>
__device__ void store_first_floats(T* address, const float (&values)[kSize], int count) {
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    if (i < count) address[i] = from_float<T>(values[i]);
  }
}

// Whether `address` is a multiple of `bytes`, for a kernel that has both a vector and a scalar path.
__host__ __device__ inline bool is_aligned(const void* address, size_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % bytes == 0;
}

}  // namespace statespace::cuda
