// Writes whole tensors: a constant, a ramp, or random numbers that depend only on (seed, offset, index).
#include "cpp/ops/fill.h"

#include "cpp/core/philox.h"
#include "cpp/cpu/fill.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

namespace {

constexpr int64_t kBlock = 32768, kRandomBlock = 4096;

template <typename F>
void visit_floating(DType dtype, const F& f) {
  if (dtype == DType::float32) f(float{});
  if (dtype == DType::bfloat16) f(bf16{});
  if (dtype == DType::float16) f(f16{});
}

int32_t truncate(double value) {
  if (!(value == value)) return 0;
  if (value >= 2147483647.0) return 0x7fffffff;
  return value <= -2147483648.0 ? -0x7fffffff - 1 : static_cast<int32_t>(value);
}

template <typename T>
void fill(const Tensor& target, T value) {
  T* const data = static_cast<T*>(target.data);
  if (target.is_contiguous()) {
    parallel_blocks(target.size(), kBlock, [=](int64_t i, int64_t end) {
      for (; i < end; ++i) data[i] = value;
    });
    return;
  }
  const int64_t n = target.dim(-1), step = target.stride(-1);
  parallel_blocks(target.rows(), n < kBlock ? kBlock / n : 1, [&](int64_t row, int64_t end) {
    for (; row < end; ++row) {
      T* p = data;
      for (int64_t axis = target.rank - 2, rest = row; axis >= 0; --axis) {
        p += rest % target.shape[axis] * target.strides[axis];
        rest /= target.shape[axis];
      }
      for (int64_t i = 0; i < n; ++i) p[i * step] = value;
    }
  });
}

// Numbers that are made at once: a counter per lane, four words each.
constexpr int kNumbers = 4 * kWidth;

typedef uint64_t Wide __attribute__((vector_size(4 * kWidth)));

// Products of the low halves.
STATESPACE_INLINE Wide multiply_low(Wide a, Wide b) {
#if defined(__AVX512F__)
  return (Wide)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (Wide)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (Wide)_mm_mul_epu32((__m128i)a, (__m128i)b);
#else
  return (a & 0xffffffffu) * (b & 0xffffffffu);
#endif
}

STATESPACE_INLINE void multiply(UVec a, uint32_t factor, UVec& low, UVec& high) {
  constexpr uint64_t kLow = 0xffffffffu;
  const Wide f = static_cast<uint64_t>(factor) - Wide{};
  const Wide even = multiply_low((Wide)a, f), odd = multiply_low((Wide)a >> 32, f);
  low = (UVec)((even & kLow) | odd << 32);
  high = (UVec)(even >> 32 | (odd & ~kLow));
}

// The words of philox.h for elements first, first + 1, ...; `first` is a multiple of kNumbers.
STATESPACE_INLINE void philox_words(uint64_t seed, uint64_t offset, int64_t first, uint32_t (&words)[kNumbers]) {
  const uint64_t index = static_cast<uint64_t>(first) / 4;
  UVec lanes{};
  for (int i = 0; i < kWidth; ++i) lanes[i] = static_cast<uint32_t>(i);
  UVec c[4] = {lanes + static_cast<uint32_t>(index), UVec{} + static_cast<uint32_t>(index >> 32),
               UVec{} + static_cast<uint32_t>(offset), UVec{} + static_cast<uint32_t>(offset >> 32)};
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    UVec low0, high0, low1, high1;
    multiply(c[0], 0xD2511F53u, low0, high0);
    multiply(c[2], 0xCD9E8D57u, low1, high1);
    c[0] = high1 ^ c[1] ^ k0;
    c[2] = high0 ^ c[3] ^ k1;
    c[1] = low1;
    c[3] = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  // Four lanes at a time, the words of a counter come together.
  const Vec a = low_pairs((Vec)c[0], (Vec)c[1]), b = low_pairs((Vec)c[2], (Vec)c[3]);
  const Vec d = high_pairs((Vec)c[0], (Vec)c[1]), e = high_pairs((Vec)c[2], (Vec)c[3]);
  const Vec counters[4] = {low_quads(a, b), high_quads(a, b), low_quads(d, e), high_quads(d, e)};
  for (int i = 0; i < kWidth; ++i) {
    __builtin_memcpy(words + 4 * i, reinterpret_cast<const char*>(&counters[i % 4]) + i / 4 * 16, 16);
  }
}

template <typename T>
void random_uniform(const RandomUniform& op) {
  T* const y = static_cast<T*>(op.target.data);
  const Vec low = broadcast(static_cast<float>(op.low)), range = broadcast(static_cast<float>(op.high - op.low));
  parallel_blocks(op.target.size(), kRandomBlock, [&](int64_t begin, int64_t end) {
    float numbers[kRandomBlock];
    uniform_numbers(op.seed, op.offset, begin, end - begin, numbers);
    const int64_t n = end - begin;
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) store(y + begin + i, fma(load(numbers + i), range, low));
    if (i < n) store_partial(y + begin + i, fma(load_partial(numbers + i, n - i), range, low), n - i);
  });
}

// flatten: the functions of philox.h must not be left here as code that other objects could pick up.
template <typename T>
__attribute__((flatten)) void normal_block(const RandomNormal& op, int64_t begin, int64_t end) {
  T* const y = static_cast<T*>(op.target.data);
  const float mean = static_cast<float>(op.mean), std = static_cast<float>(op.std);
  for (int64_t i = begin; i < end; i += kNumbers) {
    uint32_t words[kNumbers];
    philox_words(op.seed, op.offset, i, words);
    for (int64_t j = 0; j < kNumbers && i + j < end; j += 2) {
      const TwoNormals pair = normals_from_bits(words[j], words[j + 1]);
      store_one(y + i + j, __builtin_fmaf(pair.first, std, mean));
      if (i + j + 1 < end) store_one(y + i + j + 1, __builtin_fmaf(pair.second, std, mean));
    }
  }
}

}  // namespace

void uniform_numbers(uint64_t seed, uint64_t offset, int64_t first, int64_t count, float* numbers) {
  for (int64_t i = 0; i < count; i += kNumbers) {
    uint32_t words[kNumbers];
    philox_words(seed, offset, first + i, words);
    for (int j = 0; j < kNumbers && i + j < count; j += kWidth) {
      UVec bits;
      __builtin_memcpy(&bits, words + j, sizeof(bits));
      const Vec values = (to_vec((IVec)(bits >> 9)) + 0.5f) * 0x1p-23f;
      const int64_t rest = count - i - j;
      store_partial(numbers + i + j, values, rest < kWidth ? rest : kWidth);
    }
  }
}

template <>
void run(const Fill& op) {
  if (op.target.size() == 0) return;
  if (op.target.dtype == DType::int32) return fill(op.target, truncate(op.value));
  visit_floating(op.target.dtype, [&]<typename T>(T value) {
    store_one(&value, static_cast<float>(op.value));
    fill(op.target, value);
  });
}

template <>
void run(const Arange& op) {
  if (op.target.dtype == DType::int32) {
    int32_t* const y = static_cast<int32_t*>(op.target.data);
    parallel_blocks(op.target.size(), kBlock, [&](int64_t i, int64_t end) {
      for (; i < end; ++i) y[i] = truncate(op.start + op.step * static_cast<double>(i));
    });
    return;
  }
  visit_floating(op.target.dtype, [&]<typename T>(T) {
    T* const y = static_cast<T*>(op.target.data);
    parallel_blocks(op.target.size(), kBlock, [&](int64_t i, int64_t end) {
      for (; i < end; ++i) store_one(y + i, static_cast<float>(op.start + op.step * static_cast<double>(i)));
    });
  });
}

template <>
void run(const RandomUniform& op) {
  visit_floating(op.target.dtype, [&]<typename T>(T) { random_uniform<T>(op); });
}

template <>
void run(const RandomNormal& op) {
  visit_floating(op.target.dtype, [&]<typename T>(T) {
    parallel_blocks(op.target.size(), kRandomBlock,
                    [&](int64_t begin, int64_t end) { normal_block<T>(op, begin, end); });
  });
}

}  // namespace statespace::cpu::STATESPACE_ISA
