// The mean of logsumexp(x weight^T) - logit[target] and its gradients, a chunk of rows at a time:
//   dlogits = softmax - onehot,  dx = dlogits weight,  dweight += dlogits^T x.
#include "cpp/ops/linear_cross_entropy.h"

#include <algorithm>

#include "cuda/kernels/cross_entropy.cuh"
#include "cuda/kernels/gemm.cuh"

namespace statespace::cuda {

namespace {

// Logits of a chunk, in float32. Each chunk reads and writes dweight once more, so that it should have a thousand rows
// or so at a vocabulary of 50 thousand.
constexpr int64_t kLogitsBytes = 256 << 20;
// With many threads a block has few rows under way, which then come from the L2 cache when they are read again.
constexpr int kBlockThreads = 1024;
constexpr int kWarpRowThreads = 256;

struct Arguments {
  float* logits;
  int64_t rows, vocab, pitch;
  const int32_t* targets;
  int64_t ignore_index;
  float *losses, *row_counts;
  const float* scale;  // of dlogits
  DType dtype;         // of dlogits, which take the place of the logits
  bool with_gradient;
  DeviceFault* fault;
};

// One block: how many targets count. Narrow gradients are divided by it at the end, others on the way.
__global__ void __launch_bounds__(kBlockThreads)
    count_targets_kernel(const int32_t* targets, int64_t rows, int64_t vocab, int64_t ignore_index, bool is_narrow,
                         float* scale, float* factor) {
  int count = 0;
  for (int64_t row = threadIdx.x; row < rows; row += kBlockThreads) {
    const int64_t target = targets[row];
    count += target != ignore_index && target >= 0 && target < vocab;
  }
  count = block_sum(count);
  if (threadIdx.x != 0) return;
  const float inverse = count > 0 ? 1.0f / static_cast<float>(count) : 0.0f;
  *scale = is_narrow ? 1.0f : inverse;
  *factor = is_narrow ? inverse : 1.0f;
}

template <bool kWarpRow>
__device__ void wait_for_team() {
  if constexpr (kWarpRow) {
    __syncwarp();
  } else {
    __syncthreads();
  }
}

// A warp or a block takes a row of logits: its loss, then (softmax - onehot) scale in its place. Narrow elements lie in
// the first half of the row, so that those of one tile are written where only this tile, or one before it, was read.
template <bool kWarpRow>
__global__ void __launch_bounds__(kWarpRow ? kWarpRowThreads : kBlockThreads)
    linear_cross_entropy_kernel(Arguments arguments) {
  constexpr int kTeamSize = kWarpRow ? kWarpSize : kBlockThreads;
  constexpr int64_t kTile = static_cast<int64_t>(kTeamSize) * kOctet;
  const int rank = kWarpRow ? lane_index() : static_cast<int>(threadIdx.x);
  const int64_t row =
      kWarpRow ? static_cast<int64_t>(blockIdx.x) * (kWarpRowThreads / kWarpSize) + warp_index() : blockIdx.x;
  // A warp without a row still takes part in the shuffles.
  const bool is_row = row < arguments.rows;
  const int64_t vocab = is_row ? arguments.vocab : 0;
  float* const x = arguments.logits + (is_row ? row * arguments.pitch : 0);
  const Floats logits(x);

  const int64_t target = is_row ? arguments.targets[row] : 0;
  const bool is_ignored = target == arguments.ignore_index;
  const bool counts = is_row && !is_ignored && target >= 0 && target < vocab;
  // Read before anything is written in its place.
  const float target_logit = counts ? x[target] : 0.0f;
  OnlineSum online;
  online.add(logits, 0, vocab, rank, kTeamSize);
  const float logsumexp = online.finish<kWarpRow>();
  if (is_row && rank == 0) {
    if (!is_ignored && !counts) raise_fault(arguments.fault, target, vocab);
    arguments.losses[row] = counts ? logsumexp - target_logit : 0.0f;
    arguments.row_counts[row] = counts ? 1.0f : 0.0f;
  }
  if (!arguments.with_gradient) return;

  const float scale = *arguments.scale;
  Floats dlogits(x);
  dlogits.dtype = arguments.dtype;
  for (int64_t tile = 0; tile < vocab; tile += kTile) {
    const int64_t first = tile + static_cast<int64_t>(rank) * kOctet;
    const int count = octet_count(min(first, vocab), vocab);
    float values[kOctet] = {};
    if (counts && count > 0) load_octet(values, logits, first, count);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      const float probability = counts ? ex2((values[i] - logsumexp) * kLog2E) : 0.0f;
      values[i] = scale * (counts && first + i == target ? probability - 1.0f : probability);
    }
    wait_for_team<kWarpRow>();  // all have read this tile, and the target's logit
    if (count > 0) store_octet(dlogits, first, values, count);
  }
}

// A thread multiplies eight neighbours.
__global__ void scale_by_loss_kernel(Floats x, Floats y, int64_t size, const float* dloss, const float* own_factor) {
  const int64_t first = global_thread() * kOctet;
  const float factor = *own_factor * *dloss;
  if (first >= size || (factor == 1.0f && x.data == y.data)) return;
  float values[kOctet];
  load_octet(values, x, first, octet_count(first, size));
#pragma unroll
  for (int i = 0; i < kOctet; ++i) values[i] *= factor;
  store_octet(y, first, values, octet_count(first, size));
}

Tensor matrix(void* data, DType dtype, int64_t rows, int64_t columns, int64_t pitch) {
  Tensor t;
  t.data = data;
  t.dtype = dtype;
  t.rank = 2;
  t.shape[0] = rows, t.shape[1] = columns;
  t.strides[0] = pitch, t.strides[1] = 1;
  return t;
}

Tensor rows_of(const Tensor& t, int64_t begin, int64_t count) {
  char* const data = static_cast<char*>(t.data) + begin * t.row_stride() * static_cast<int64_t>(size_of(t.dtype));
  return matrix(data, t.dtype, count, t.dim(1), t.row_stride());
}

}  // namespace

template <>
void run(const LinearCrossEntropyForward& op, Context& context) {
  const int64_t rows = op.x.dim(0), inputs = op.x.dim(1), vocab = op.weight.dim(0);
  const int64_t chunk = std::min(rows, rows_at_a_time(op, kLogitsBytes));
  const int64_t pitch = ceil_div<int64_t>(vocab, kOctet) * kOctet;  // rows begin at multiples of 32 bytes
  Arguments arguments = {};
  arguments.logits = context.scratch<float>(static_cast<size_t>(chunk * pitch));
  float* const losses = context.scratch<float>(static_cast<size_t>(rows));
  float* const row_counts = context.scratch<float>(static_cast<size_t>(rows));
  float* const scale_and_counted = context.scratch<float>(2);
  launch(count_targets_kernel, {dim3(1), dim3(kBlockThreads)}, context.stream, op.targets.as<int32_t>(), rows, vocab,
         op.ignore_index, op.x.dtype == DType::float16, scale_and_counted, op.factor.as<float>());
  arguments.scale = scale_and_counted;
  arguments.vocab = vocab;
  arguments.pitch = pitch;
  arguments.ignore_index = op.ignore_index;
  arguments.dtype = op.x.dtype;
  arguments.with_gradient = op.with_dx || op.with_dweight;
  arguments.fault = context.fault;
  const bool is_warp_row = vocab <= kWarpVocab;

  // Without rows there is still a dweight to clear.
  for (int64_t begin = 0; begin == 0 || begin < rows; begin += std::max<int64_t>(1, chunk)) {
    const ScratchScope scope(context);
    const int64_t count = std::min(chunk, rows - begin);
    const Tensor x = rows_of(op.x, begin, count);
    const Tensor logits = matrix(arguments.logits, DType::float32, count, vocab, pitch);
    multiply(count, vocab, inputs, as_is(x), transposed(op.weight), logits, nullptr, false, context);
    arguments.rows = count;
    arguments.targets = op.targets.as<int32_t>() + begin;
    arguments.losses = losses + begin;
    arguments.row_counts = row_counts + begin;
    if (count > 0) {
      const int64_t blocks = is_warp_row ? ceil_div<int64_t>(count, kWarpRowThreads / kWarpSize) : count;
      launch(is_warp_row ? linear_cross_entropy_kernel<true> : linear_cross_entropy_kernel<false>,
             {dim3(static_cast<unsigned>(blocks)), dim3(is_warp_row ? kWarpRowThreads : kBlockThreads)}, context.stream,
             arguments);
    }
    const int64_t narrow_pitch = pitch * 4 / static_cast<int64_t>(size_of(op.x.dtype));
    const Tensor dlogits = matrix(arguments.logits, op.x.dtype, count, vocab, narrow_pitch);
    if (op.with_dx) {
      multiply(count, inputs, vocab, as_is(dlogits), as_is(op.weight), rows_of(op.dx, begin, count), nullptr, false,
               context);
    }
    if (op.with_dweight) {
      multiply(vocab, inputs, count, transposed(dlogits), as_is(x), op.dweight, nullptr, begin > 0, context);
    }
  }
  launch_mean_loss(losses, row_counts, rows, op.loss.as<float>(), scale_and_counted + 1, context);
}

template <>
void run(const LinearCrossEntropyBackward& op, Context& context) {
  const auto scale = [&](const Tensor& x, const Tensor& y) {
    launch_each(scale_by_loss_kernel, ceil_div<int64_t>(y.size(), kOctet), context, x, y, y.size(),
                op.dloss.as<float>(), op.factor.as<float>());
  };
  if (op.unscaled_dx) scale(op.unscaled_dx, op.dx);
  if (op.unscaled_dweight) scale(op.unscaled_dweight, op.dweight);
}

}  // namespace statespace::cuda
