// Writes a whole tensor: a constant, a ramp, or random numbers.
#include "cpp/ops/fill.h"

#include "cuda/device/random.cuh"
#include "cuda/kernels/floats.cuh"
#include "cuda/kernels/layout.cuh"

namespace statespace::cuda {

namespace {

// A thread writes 16 bytes of a row.
template <typename Word>
__global__ void fill_kernel(Word* target, Word word, StridedRows<1> layout) {
  constexpr int kWords = 16 / sizeof(Word);
  const int64_t groups = ceil_div<int64_t>(layout.inner, kWords);
  const int64_t row = quotient(global_thread(), groups);
  if (row >= layout.rows) return;
  const int64_t first = (global_thread() - row * groups) * kWords;
  int64_t offset[1];
  layout.offsets(row, offset);
  Word* to = target + offset[0] + first * layout.inner_stride[0];
  if (first + kWords <= layout.inner && layout.inner_stride[0] == 1 && is_aligned(to, 16)) {
    Vector<Word> words;
#pragma unroll
    for (int i = 0; i < kWords; ++i) words[i] = word;
    store_vector(to, words);
    return;
  }
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    if (first + i < layout.inner) to[i * layout.inner_stride[0]] = word;
  }
}

// What int32 cannot hold becomes its nearest end, and NaN zero.
__host__ __device__ int32_t truncate(double value) {
  if (!(value == value)) return 0;
  if (value >= 2147483647.0) return 2147483647;
  return value <= -2147483648.0 ? -2147483647 - 1 : static_cast<int32_t>(value);
}

__global__ void arange_kernel(Floats target, bool is_int, double start, double step, int64_t size) {
  const int64_t i = global_thread();
  if (i >= size) return;
  const double value = start + static_cast<double>(i) * step;
  if (is_int) {
    static_cast<int32_t*>(target.data)[i] = truncate(value);
  } else {
    store_float(target, i, static_cast<float>(value));
  }
}

// value = offset + factor * random, for eight elements from two counters.
struct Affinity {
  float offset, factor;
};

template <bool kNormal>
__global__ void random_kernel(Floats target, Affinity affinity, uint64_t seed, uint64_t offset, int64_t size) {
  const int64_t first = global_thread() * kOctet;
  if (first >= size) return;
  float values[kOctet];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint64_t counter = static_cast<uint64_t>(first / 4 + half);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (kNormal) {
        values[4 * half + i] = random_normal(seed, offset, counter).values[i];
      } else {
        values[4 * half + i] = random_uniform(seed, offset, counter).values[i];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kOctet; ++i) {
    values[i] = fma_rn(values[i], affinity.factor, affinity.offset);
  }
  store_octet(target, first, values, octet_count(first, size));
}

}  // namespace

template <>
void run(const Fill& op, Context& context) {
  if (op.target.size() == 0) return;
  const StridedRows<1> layout = strided_rows<1>({&op.target});
  const float value = static_cast<float>(op.value);
  if (op.target.dtype == DType::float32 || op.target.dtype == DType::int32) {
    const uint32_t word =
        op.target.dtype == DType::float32 ? float_to_bits(value) : static_cast<uint32_t>(truncate(op.value));
    launch_each(fill_kernel<uint32_t>, layout.rows * ceil_div<int64_t>(layout.inner, 4), context,
                op.target.as<uint32_t>(), word, layout);
  } else {
    const uint16_t word = op.target.dtype == DType::bfloat16 ? statespace::from_float<statespace::bf16>(value).bits
                                                             : statespace::from_float<statespace::f16>(value).bits;
    launch_each(fill_kernel<uint16_t>, layout.rows * ceil_div<int64_t>(layout.inner, 8), context,
                op.target.as<uint16_t>(), word, layout);
  }
}

template <>
void run(const Arange& op, Context& context) {
  const int64_t size = op.target.size();
  launch_each(arange_kernel, size, context, op.target, op.target.dtype == DType::int32, op.start, op.step, size);
}

template <>
void run(const RandomUniform& op, Context& context) {
  const int64_t size = op.target.size();
  launch_each(random_kernel<false>, ceil_div<int64_t>(size, kOctet), context, op.target,
              Affinity{static_cast<float>(op.low), static_cast<float>(op.high - op.low)},
              static_cast<uint64_t>(op.seed), static_cast<uint64_t>(op.offset), size);
}

template <>
void run(const RandomNormal& op, Context& context) {
  const int64_t size = op.target.size();
  launch_each(random_kernel<true>, ceil_div<int64_t>(size, kOctet), context, op.target,
              Affinity{static_cast<float>(op.mean), static_cast<float>(op.std)}, static_cast<uint64_t>(op.seed),
              static_cast<uint64_t>(op.offset), size);
}

}  // namespace statespace::cuda
