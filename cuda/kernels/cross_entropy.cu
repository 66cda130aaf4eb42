// losses[r] = logsumexp(logits[r]) - logits[r, targets[r]], their mean, and the gradient
//   dlogits = (softmax(logits) - onehot(targets)) * (dloss / counted + dlosses[r]).
#include "cpp/ops/cross_entropy.h"

#include "cuda/kernels/cross_entropy.cuh"

namespace statespace::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kFinishThreads = 1024;

struct ForwardArguments {
  Floats logits;
  int64_t rows, vocab, row_stride;
  const int32_t* targets;
  int64_t ignore_index;
  float *losses, *logsumexp, *counted;  // counted: 1 or 0 for each row
  DeviceFault* fault;
};

template <bool kWarpRow>
__global__ void __launch_bounds__(kThreads) cross_entropy_kernel(ForwardArguments arguments) {
  constexpr int kTeamSize = kWarpRow ? kWarpSize : kThreads;
  const int rank = kWarpRow ? lane_index() : static_cast<int>(threadIdx.x);
  const int64_t row = kWarpRow ? static_cast<int64_t>(blockIdx.x) * kWarps + warp_index() : blockIdx.x;
  // A warp without a row still takes part in the shuffles.
  const int64_t vocab = row < arguments.rows ? arguments.vocab : 0;

  OnlineSum online;
  online.add(arguments.logits, row * arguments.row_stride, vocab, rank, kTeamSize);
  const float logsumexp = online.finish<kWarpRow>();
  if (row >= arguments.rows || rank != 0) return;
  const int64_t target = arguments.targets[row];
  const bool is_ignored = target == arguments.ignore_index;
  const bool is_bad = !is_ignored && (target < 0 || target >= vocab);
  if (is_bad) raise_fault(arguments.fault, target, vocab);
  const bool counts = !is_ignored && !is_bad;
  arguments.logsumexp[row] = logsumexp;
  arguments.losses[row] = counts ? logsumexp - load_float(arguments.logits, row * arguments.row_stride + target) : 0.0f;
  arguments.counted[row] = counts ? 1.0f : 0.0f;
}

// One block.
__global__ void __launch_bounds__(kFinishThreads)
    mean_loss_kernel(const float* losses, const float* row_counts, int64_t rows, float* loss, float* counted) {
  float sum = 0.0f;
  int count = 0;
  for (int64_t row = threadIdx.x; row < rows; row += kFinishThreads) {
    sum += losses[row];
    count += row_counts[row] != 0.0f;
  }
  sum = block_sum(sum);
  count = block_sum(count);
  if (threadIdx.x == 0) {
    *loss = sum / static_cast<float>(count);
    *counted = static_cast<float>(count);
  }
}

struct BackwardArguments {
  Floats logits;
  int64_t rows, vocab, row_stride, octets;
  const int32_t* targets;
  int64_t ignore_index;
  const float *logsumexp, *counted, *dloss, *dlosses;
  Floats dlogits;
};

// A thread computes eight neighbours of a row.
__global__ void cross_entropy_backward_kernel(BackwardArguments arguments) {
  const int64_t row = global_thread() / arguments.octets;
  if (row >= arguments.rows) return;
  const int64_t first = (global_thread() - row * arguments.octets) * kOctet;
  const int count = octet_count(first, arguments.vocab);
  const int64_t target = arguments.targets[row];
  float values[kOctet] = {};
  if (target != arguments.ignore_index && target >= 0 && target < arguments.vocab) {
    load_octet(values, arguments.logits, row * arguments.row_stride + first, count);
    const float logsumexp = arguments.logsumexp[row];
    float factor = arguments.dloss ? *arguments.dloss / *arguments.counted : 0.0f;
    if (arguments.dlosses) factor += arguments.dlosses[row];
#pragma unroll
    for (int i = 0; i < kOctet; ++i) {
      const float probability = ex2((values[i] - logsumexp) * kLog2E);
      values[i] = factor * (first + i == target ? probability - 1.0f : probability);
    }
  }
  store_octet(arguments.dlogits, row * arguments.vocab + first, values, count);
}

}  // namespace

void launch_mean_loss(const float* losses, const float* row_counts, int64_t rows, float* loss, float* counted,
                      const Context& context) {
  launch(mean_loss_kernel, {dim3(1), dim3(kFinishThreads)}, context.stream, losses, row_counts, rows, loss, counted);
}

template <>
void run(const CrossEntropyForward& op, Context& context) {
  const int64_t rows = op.logits.dim(0), vocab = op.logits.dim(1);
  float* row_counts = context.scratch<float>(static_cast<size_t>(rows));
  const ForwardArguments arguments = {op.logits,
                                      rows,
                                      vocab,
                                      op.logits.row_stride(),
                                      op.targets.as<int32_t>(),
                                      op.ignore_index,
                                      op.losses.as<float>(),
                                      op.logsumexp.as<float>(),
                                      row_counts,
                                      context.fault};
  if (rows > 0) {
    const bool is_warp_row = vocab <= kWarpVocab;
    const dim3 grid(static_cast<unsigned>(is_warp_row ? ceil_div<int64_t>(rows, kWarps) : rows));
    launch(is_warp_row ? cross_entropy_kernel<true> : cross_entropy_kernel<false>, {grid, dim3(kThreads)},
           context.stream, arguments);
  }
  launch_mean_loss(arguments.losses, row_counts, rows, op.loss.as<float>(), op.counted.as<float>(), context);
}

template <>
void run(const CrossEntropyBackward& op, Context& context) {
  const int64_t rows = op.logits.dim(0), vocab = op.logits.dim(1), octets = ceil_div<int64_t>(vocab, kOctet);
  const BackwardArguments arguments = {op.logits,
                                       rows,
                                       vocab,
                                       op.logits.row_stride(),
                                       octets,
                                       op.targets.as<int32_t>(),
                                       op.ignore_index,
                                       op.logsumexp.as<float>(),
                                       op.counted.as<float>(),
                                       op.dloss.as<float>(),
                                       op.dlosses.as<float>(),
                                       op.dlogits};
  launch_each(cross_entropy_backward_kernel, rows * octets, context, arguments);
}

}  // namespace statespace::cuda
