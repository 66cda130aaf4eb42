// The mean of logsumexp(x weight^T) - logit[target] and its gradients, a chunk of rows at a time:
//   dlogits = softmax - onehot,  dx = dlogits weight,  dweight += dlogits^T x.
#include "cpp/ops/linear_cross_entropy.h"

#include "cpp/cpu/cross_entropy.h"
#include "cpp/cpu/gemm.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// More rows a chunk repay packing the weight, and reading and writing dweight, once more for each.
constexpr int64_t kLogitsBytes = 64 << 20;

struct Rows {
  int64_t begin, count;
};

MatrixView rows_of(const Tensor& t, Rows rows) {
  const int64_t bytes = rows.begin * t.row_stride() * static_cast<int64_t>(size_of(t.dtype));
  return {static_cast<char*>(t.data) + bytes, t.dtype, t.row_stride(), 1};
}
MatrixView transposed(const MatrixView& m) { return {m.data, m.dtype, m.col_stride, m.row_stride}; }

// The losses of a chunk's rows, and their logits overwritten by (softmax - onehot) scale.
void finish_rows(const LinearCrossEntropyForward& op, Rows rows, float scale, float* logits, float* losses) {
  const int64_t vocab = op.weight.shape[0];
  const int32_t* const targets = static_cast<const int32_t*>(op.targets.data);
  const bool with_gradient = op.with_dx || op.with_dweight;
  parallel_blocks(rows.count, kCrossEntropyBlock / (vocab + 1) + 1, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      float* const x = logits + i * vocab;
      const int32_t target = targets[rows.begin + i];
      losses[rows.begin + i] = 0;
      if (target == op.ignore_index) {
        if (with_gradient) __builtin_memset(x, 0, static_cast<size_t>(vocab) * sizeof(float));
        continue;
      }
      const float sum = log_sum_exp(x, vocab);
      const float shifted = x[target] - sum;
      losses[rows.begin + i] = -shifted;
      if (!with_gradient) continue;
      int64_t j = 0;
      for (; j + kWidth <= vocab; j += kWidth) store(x + j, exp(load(x + j) - sum) * scale);
      if (j < vocab) store_partial(x + j, exp(load_partial(x + j, vocab - j) - sum) * scale, vocab - j);
      x[target] = (exp(broadcast(shifted))[0] - 1) * scale;
    }
  });
}

template <typename T>
void multiply(const Tensor& from, float factor, const Tensor& to) {
  if (factor == 1 && from.data == to.data) return;
  const T* const x = static_cast<const T*>(from.data);
  T* const y = static_cast<T*>(to.data);
  parallel_blocks(to.size(), kCrossEntropyBlock, [=](int64_t i, int64_t end) {
    for (; i + kWidth <= end; i += kWidth) store(y + i, load(x + i) * factor);
    if (i < end) store_partial(y + i, load_partial(x + i, end - i) * factor, end - i);
  });
}

}  // namespace

template <>
void run(const LinearCrossEntropyForward& op) {
  const int64_t rows = op.x.shape[0], inputs = op.x.shape[1], vocab = op.weight.shape[0];
  check_targets(op.targets, vocab, op.ignore_index, LinearCrossEntropyForward::row.name);
  const int32_t* const targets = static_cast<const int32_t*>(op.targets.data);
  const auto counted = static_cast<float>(rows - std::count(targets, targets + rows, op.ignore_index));
  const bool is_narrow = op.x.dtype == DType::float16;
  *static_cast<float*>(op.factor.data) = is_narrow ? (counted > 0 ? 1 / counted : 0) : 1;
  const int64_t chunk = std::min(rows, rows_at_a_time(op, kLogitsBytes));
  float* const logits = static_cast<float*>(scratch(Slot::kernel0, sizeof(float) * chunk * vocab));
  float* const losses = static_cast<float*>(scratch(Slot::kernel1, sizeof(float) * rows));
  const MatrixView weight = rows_of(op.weight, {0, vocab});
  const MatrixView dlogits = {logits, DType::float32, vocab, 1};
  // Without rows there is still a dweight to clear.
  for (int64_t begin = 0; begin == 0 || begin < rows; begin += std::max<int64_t>(1, chunk)) {
    const Rows now = {begin, std::min(chunk, rows - begin)};
    const MatrixView x = rows_of(op.x, now);
    gemm(now.count, vocab, inputs, x, transposed(weight), {logits, DType::float32, vocab});
    finish_rows(op, now, is_narrow ? 1 : 1 / counted, logits, losses);
    if (op.with_dx) {
      const MatrixView dx = rows_of(op.dx, now);
      gemm(now.count, inputs, vocab, dlogits, weight, {const_cast<void*>(dx.data), dx.dtype, dx.row_stride});
    }
    if (op.with_dweight) {
      gemm(vocab, inputs, now.count, transposed(dlogits), x, {op.dweight.data, DType::float32, inputs},
           {.accumulate = begin > 0});
    }
  }
  double total = 0;
  for (int64_t row = 0; row < rows; ++row) total += static_cast<double>(losses[row]);
  // NaN where nothing counts, as in PyTorch.
  *static_cast<float*>(op.loss.data) = static_cast<float>(total / static_cast<double>(counted));
}

template <>
void run(const LinearCrossEntropyBackward& op) {
  const float factor = *static_cast<const float*>(op.factor.data) * *static_cast<const float*>(op.dloss.data);
  if (op.unscaled_dweight) multiply<float>(op.unscaled_dweight, factor, op.dweight);
  if (!op.unscaled_dx) return;
  if (op.dx.dtype == DType::float32) multiply<float>(op.unscaled_dx, factor, op.dx);
  if (op.dx.dtype == DType::bfloat16) multiply<bf16>(op.unscaled_dx, factor, op.dx);
  if (op.dx.dtype == DType::float16) multiply<f16>(op.unscaled_dx, factor, op.dx);
}

}  // namespace statespace::cpu::STATESPACE_ISA
