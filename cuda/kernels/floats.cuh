// Floating elements whose type is known when the kernel runs. Kernels that only wait for memory use them, so that a
// kernel is compiled once and not for every combination of element types.
#pragma once

#include <type_traits>

#include "cpp/core/error.h"
#include "cpp/core/tensor.h"
#include "cuda/device/vector.cuh"
#include "cuda/runtime/context.h"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda {

struct Floats {
  void* data = nullptr;
  DType dtype = DType::float32;

  Floats() = default;
  Floats(const Tensor& tensor) : data(tensor.data), dtype(tensor.dtype) {}
  __host__ __device__ Floats(float* data) : data(data) {}
  Floats(void* data, DType dtype) : data(data), dtype(dtype) {}

  __device__ explicit operator bool() const { return data != nullptr; }
  __device__ void* at(int64_t index) const {
    return static_cast<char*>(data) + (dtype == DType::float32 ? 4 : 2) * index;
  }
};

// Eight elements as they lie in memory: loaded at once, converted later, so that several loads are under way.
constexpr int kOctet = 8;
struct Octet {
  uint4 low, high;  // `high` is used by float32 only
};

__device__ inline float load_float(const Floats& from, int64_t index) {
  if (from.dtype == DType::float32) return static_cast<const float*>(from.data)[index];
  if (from.dtype == DType::bfloat16) return to_float(static_cast<const bf16*>(from.data)[index]);
  return to_float(static_cast<const f16*>(from.data)[index]);
}

__device__ inline void store_float(const Floats& to, int64_t index, float value) {
  if (to.dtype == DType::float32) {
    static_cast<float*>(to.data)[index] = value;
  } else if (to.dtype == DType::bfloat16) {
    static_cast<bf16*>(to.data)[index] = from_float<bf16>(value);
  } else {
    static_cast<f16*>(to.data)[index] = from_float<f16>(value);
  }
}

// Elements [index, index + count), zero behind them.
__device__ inline Octet load_octet(const Floats& from, int64_t index, int count) {
  Octet octet = {};
  const void* address = from.at(index);
  if (count >= kOctet && is_aligned(address, 16)) {
    octet.low = static_cast<const uint4*>(address)[0];
    if (from.dtype == DType::float32) octet.high = static_cast<const uint4*>(address)[1];
  } else if (from.dtype == DType::float32) {
    const unsigned* words = static_cast<const unsigned*>(address);
    unsigned parts[kOctet];
#pragma unroll
    for (int i = 0; i < kOctet; ++i) parts[i] = i < count ? words[i] : 0;
    octet.low = make_uint4(parts[0], parts[1], parts[2], parts[3]);
    octet.high = make_uint4(parts[4], parts[5], parts[6], parts[7]);
  } else {
    const unsigned short* halves = static_cast<const unsigned short*>(address);
    unsigned parts[kOctet];
#pragma unroll
    for (int i = 0; i < kOctet; ++i) parts[i] = i < count ? halves[i] : 0;
    octet.low = make_uint4(parts[0] | parts[1] << 16, parts[2] | parts[3] << 16, parts[4] | parts[5] << 16,
                           parts[6] | parts[7] << 16);
  }
  return octet;
}

template <typename T>
__device__ inline float half_to_float(unsigned bits) {
  const unsigned short half = static_cast<unsigned short>(bits);
  T value;
  memcpy(&value, &half, sizeof(value));
  return to_float(value);
}

template <typename T>
__device__ void halves_to_floats(const uint4& from, float (&values)[kOctet]) {
  const unsigned words[4] = {from.x, from.y, from.z, from.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = half_to_float<T>(words[i] & 0xffffu);
    values[2 * i + 1] = half_to_float<T>(words[i] >> 16);
  }
}

__device__ inline void convert(const Octet& octet, DType dtype, float (&values)[kOctet]) {
  if (dtype == DType::float32) {
    const unsigned words[kOctet] = {octet.low.x,  octet.low.y,  octet.low.z,  octet.low.w,
                                    octet.high.x, octet.high.y, octet.high.z, octet.high.w};
#pragma unroll
    for (int i = 0; i < kOctet; ++i) values[i] = __uint_as_float(words[i]);
  } else if (dtype == DType::bfloat16) {
    halves_to_floats<bf16>(octet.low, values);
  } else {
    halves_to_floats<f16>(octet.low, values);
  }
}

__device__ inline void load_octet(float (&values)[kOctet], const Floats& from, int64_t index, int count) {
  convert(load_octet(from, index, count), from.dtype, values);
}

// Elements index, index + stride, ...: `count` of them.
__device__ inline void load_octet_strided(float (&values)[kOctet], const Floats& from, int64_t index, int64_t stride,
                                          int count) {
  if (stride == 1) {
    load_octet(values, from, index, count);
  } else if (stride == 0) {
    const float value = load_float(from, index);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) values[i] = value;
  } else {
#pragma unroll
    for (int i = 0; i < kOctet; ++i) values[i] = i < count ? load_float(from, index + i * stride) : 0.0f;
  }
}

template <typename T>
__device__ void store_octet_as(T* address, const float (&values)[kOctet], int count) {
  if (count >= kOctet && is_aligned(address, 16)) {
    store_floats(address, values);
  } else {
    store_first_floats(address, values, count);
  }
}

__device__ inline void store_octet(const Floats& to, int64_t index, const float (&values)[kOctet], int count) {
  void* address = to.at(index);
  if (to.dtype == DType::float32) {
    store_octet_as(static_cast<float*>(address), values, count);
  } else if (to.dtype == DType::bfloat16) {
    store_octet_as(static_cast<bf16*>(address), values, count);
  } else {
    store_octet_as(static_cast<f16*>(address), values, count);
  }
}

__device__ inline void store_octet_strided(const Floats& to, int64_t index, int64_t stride,
                                           const float (&values)[kOctet], int count) {
  if (stride == 1) {
    store_octet(to, index, values, count);
  } else {
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      if (i < count) store_float(to, index + i * stride, values[i]);
    }
  }
}

__device__ inline int octet_count(int64_t first, int64_t end) {
  return end - first < kOctet ? static_cast<int>(end - first) : kOctet;
}

__device__ inline int64_t global_thread() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + static_cast<int64_t>(threadIdx.x);
}

// The first thread to come reports its value; the others are silent.
__device__ inline void raise_fault(DeviceFault* fault, int64_t value, int64_t limit) {
  if (atomicExch(&fault->raised, kIndexFault) == kNoFault) {
    fault->value = value;
    fault->limit = limit;
  }
}

constexpr int kElementwiseThreads = 256;

// One thread for each of `count` items; none, no launch.
template <typename... Params, typename... Args>
void launch_each(void (*kernel)(Params...), int64_t count, const Context& context, const Args&... args) {
  if (count <= 0) return;
  const dim3 grid(static_cast<unsigned>(ceil_div<int64_t>(count, kElementwiseThreads)));
  launch(kernel, {grid, dim3(kElementwiseThreads)}, context.stream, args...);
}

// Calls `f(std::type_identity<T>())` with the type of the elements.
template <typename F>
void for_floating_type(DType dtype, F f) {
  switch (dtype) {
    case DType::float32:
      return f(std::type_identity<float>());
    case DType::bfloat16:
      return f(std::type_identity<bf16>());
    case DType::float16:
      return f(std::type_identity<f16>());
    case DType::int32:
      throw Error("ERR_DTYPE", "expected floating elements, found int32");
  }
}

}  // namespace statespace::cuda
