// y = x / (1 - p) where the uniform number of an element is at least p, else 0.
#include "cpp/ops/dropout.h"

#include "cuda/device/random.cuh"
#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

namespace {

// A thread computes eight neighbours, from two counters of the generator.
__global__ void dropout_kernel(Floats x, float p, float scale, uint64_t seed, uint64_t offset, Floats y, int64_t size) {
  const int64_t first = global_thread() * kOctet;
  if (first >= size) return;
  const int count = octet_count(first, size);
  const Octet octet = load_octet(x, first, count);
  const Uniform4 low = random_uniform(seed, offset, static_cast<uint64_t>(first / 4));
  const Uniform4 high = random_uniform(seed, offset, static_cast<uint64_t>(first / 4 + 1));
  float values[kOctet];
  convert(octet, x.dtype, values);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    values[i] = low.values[i] >= p ? values[i] * scale : 0.0f;
    values[4 + i] = high.values[i] >= p ? values[4 + i] * scale : 0.0f;
  }
  store_octet(y, first, values, count);
}

}  // namespace

template <>
void run(const Dropout& op, Context& context) {
  const int64_t size = op.x.size();
  const float scale = op.p < 1.0 ? static_cast<float>(1.0 / (1.0 - op.p)) : 0.0f;
  launch_each(dropout_kernel, ceil_div<int64_t>(size, kOctet), context, op.x, static_cast<float>(op.p), scale,
              static_cast<uint64_t>(op.seed), static_cast<uint64_t>(op.offset), op.y, size);
}

}  // namespace statespace::cuda
