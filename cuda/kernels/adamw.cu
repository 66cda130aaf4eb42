// AdamW on one flat bucket, the sum of squares of a bucket, and the factor that clips gradients to a norm.
#include "cpp/ops/adamw.h"

#include "cuda/device/reduce.cuh"
#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kChunk = 64 * kThreads;  // elements whose squares one block sums
constexpr int kFinishThreads = 1024;

struct AdamWArguments {
  float *parameter, *m, *v;
  const float *gradient, *hyperparameters, *gradient_scale;
  Floats copy;
  int64_t size;
};

// A thread updates eight neighbours.
__global__ void __launch_bounds__(kElementwiseThreads) adamw_kernel(AdamWArguments arguments) {
  const int64_t first = global_thread() * kOctet;
  if (first >= arguments.size) return;
  const float scale = arguments.gradient_scale ? *arguments.gradient_scale : 1.0f;
  if (!(fabsf(scale) <= FLT_MAX)) return;
  const float* hyper = arguments.hyperparameters;
  const float lr = hyper[0], b1 = hyper[1], new1 = hyper[2], b2 = hyper[3], new2 = hyper[4];
  const float eps = hyper[5], weight_decay = hyper[6], inverse_c1 = 1.0f / hyper[7], inverse_c2 = 1.0f / hyper[8];

  const int count = octet_count(first, arguments.size);
  float p[kOctet], g[kOctet], m[kOctet], v[kOctet];
  const Octet p_octet = load_octet(Floats(arguments.parameter), first, count);
  const Octet g_octet = load_octet(Floats(const_cast<float*>(arguments.gradient)), first, count);
  const Octet m_octet = load_octet(Floats(arguments.m), first, count);
  const Octet v_octet = load_octet(Floats(arguments.v), first, count);
  convert(p_octet, DType::float32, p);
  convert(g_octet, DType::float32, g);
  convert(m_octet, DType::float32, m);
  convert(v_octet, DType::float32, v);
#pragma unroll
  for (int i = 0; i < kOctet; ++i) {
    const float gradient = scale * g[i];
    m[i] = b1 * m[i] + new1 * gradient;
    v[i] = b2 * v[i] + new2 * gradient * gradient;
    p[i] -= lr * (m[i] * inverse_c1 / (sqrtf(v[i] * inverse_c2) + eps) + weight_decay * p[i]);
  }
  store_octet(Floats(arguments.parameter), first, p, count);
  store_octet(Floats(arguments.m), first, m, count);
  store_octet(Floats(arguments.v), first, v, count);
  if (arguments.copy) store_octet(arguments.copy, first, p, count);
}

// One block per chunk.
__global__ void __launch_bounds__(kThreads) square_chunks_kernel(Floats x, float* partial, int64_t size) {
  const int64_t start = static_cast<int64_t>(blockIdx.x) * kChunk, end = min(size, start + kChunk);
  float sum = 0.0f;
  for (int64_t first = start + threadIdx.x * kOctet; first < end; first += kThreads * kOctet) {
    float values[kOctet];
    load_octet(values, x, first, octet_count(first, end));
#pragma unroll
    for (int i = 0; i < kOctet; ++i) sum = fma_rn(values[i], values[i], sum);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__device__ float sum_all(const float* x, int64_t size) {
  float sum = 0.0f;
  for (int64_t i = threadIdx.x; i < size; i += kFinishThreads) sum += x[i];
  return block_sum(sum);
}

// One block.
__global__ void __launch_bounds__(kFinishThreads)
    finish_squares_kernel(const float* partial, int64_t chunks, float* y) {
  const float sum = sum_all(partial, chunks);
  if (threadIdx.x == 0) *y = sum;
}

// One block.
__global__ void __launch_bounds__(kFinishThreads)
    clip_scale_kernel(const float* squares, int64_t buckets, float max_norm, float* norm, float* scale) {
  const float total = sqrtf(sum_all(squares, buckets));
  if (threadIdx.x == 0) {
    *norm = total;
    const float factor = max_norm / (total + 1e-6f);
    // A norm that is not finite must not become a factor of 0: it tells AdamW to skip the step.
    *scale = !(total <= FLT_MAX) ? total * 0.0f : factor < 1.0f ? factor : 1.0f;
  }
}

}  // namespace

template <>
void run(const AdamW& op, Context& context) {
  const int64_t size = op.parameter.size();
  const AdamWArguments arguments = {op.parameter.as<float>(),
                                    op.m.as<float>(),
                                    op.v.as<float>(),
                                    op.gradient.as<float>(),
                                    op.hyperparameters.as<float>(),
                                    op.gradient_scale.as<float>(),
                                    op.copy,
                                    size};
  launch_each(adamw_kernel, ceil_div<int64_t>(size, kOctet), context, arguments);
}

template <>
void run(const SumSquares& op, Context& context) {
  const int64_t size = op.x.size(), chunks = ceil_div(size, kChunk);
  float* partial = context.scratch<float>(static_cast<size_t>(chunks));
  if (chunks > 0) {
    launch(square_chunks_kernel, {dim3(static_cast<unsigned>(chunks)), dim3(kThreads)}, context.stream, op.x, partial,
           size);
  }
  launch(finish_squares_kernel, {dim3(1), dim3(kFinishThreads)}, context.stream, partial, chunks, op.y.as<float>());
}

template <>
void run(const ClipScale& op, Context& context) {
  launch(clip_scale_kernel, {dim3(1), dim3(kFinishThreads)}, context.stream, op.squares.as<float>(), op.squares.size(),
         static_cast<float>(op.max_norm), op.norm.as<float>(), op.scale.as<float>());
}

}  // namespace statespace::cuda
