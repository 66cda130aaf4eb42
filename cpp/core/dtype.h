// Element types of tensors, and the 16-bit floats as plain bits with exact conversions.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace statespace {

enum class DType : uint8_t { float32, bfloat16, float16, int32 };

constexpr const char* name_of(DType dtype) {
  constexpr const char* kNames[] = {"float32", "bfloat16", "float16", "int32"};
  return kNames[static_cast<int>(dtype)];
}
constexpr size_t size_of(DType dtype) { return dtype == DType::bfloat16 || dtype == DType::float16 ? 2 : 4; }
constexpr bool is_floating(DType dtype) { return dtype != DType::int32; }

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

template <typename T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<float>() {
  return DType::float32;
}
template <>
constexpr DType dtype_of<bf16>() {
  return DType::bfloat16;
}
template <>
constexpr DType dtype_of<f16>() {
  return DType::float16;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::int32;
}

inline float bits_to_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline uint32_t float_to_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline float to_float(float x) { return x; }
inline float to_float(int32_t x) { return static_cast<float>(x); }
inline float to_float(bf16 x) { return bits_to_float(static_cast<uint32_t>(x.bits) << 16); }
inline float to_float(f16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return bits_to_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
  // Scaling by 2^112 moves the exponent and makes subnormals normal at once.
  return bits_to_float(float_to_bits(bits_to_float(magnitude << 13) * 5192296858534827628530496329220096.0f) | sign);
}

template <typename T>
T from_float(float x);
template <>
inline float from_float<float>(float x) {
  return x;
}
// To nearest, ties to even; NaN stays NaN.
template <>
inline bf16 from_float<bf16>(float x) {
  const uint32_t bits = float_to_bits(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16)};
}
template <>
inline f16 from_float<f16>(float x) {
  const uint32_t bits = float_to_bits(x);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};
  if (magnitude >= 0x47800000u) return {static_cast<uint16_t>(sign | 0x7c00u)};
  if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 rounds to the spacing 2^-24
    const uint32_t rounded = float_to_bits(bits_to_float(magnitude) + 0.5f) - 0x3f000000u;
    return {static_cast<uint16_t>(sign | rounded)};
  }
  const uint32_t rounded = magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1);
  return {static_cast<uint16_t>(sign | (rounded >> 13))};
}

}  // namespace statespace
