// losses[r] = logsumexp(logits[r]) - logits[r, targets[r]] and their mean; dlogits = softmax - onehot, scaled.
#include "cpp/ops/cross_entropy.h"

#include "cpp/cpu/cross_entropy.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

template <typename F>
void visit_floating(DType dtype, const F& f) {
  if (dtype == DType::float32) f(float{});
  if (dtype == DType::bfloat16) f(bf16{});
  if (dtype == DType::float16) f(f16{});
}

template <typename T>
void losses(const CrossEntropyForward& op) {
  const int64_t rows = op.logits.dim(0), vocab = op.logits.dim(1), stride = op.logits.row_stride();
  const T* const logits = static_cast<const T*>(op.logits.data);
  const int32_t* const targets = static_cast<const int32_t*>(op.targets.data);
  parallel_blocks(rows, kCrossEntropyBlock / (vocab + 1) + 1, [&](int64_t row, int64_t end) {
    for (; row < end; ++row) {
      const T* const x = logits + row * stride;
      const float sum = log_sum_exp(x, vocab);
      static_cast<float*>(op.logsumexp.data)[row] = sum;
      static_cast<float*>(op.losses.data)[row] = targets[row] == op.ignore_index ? 0 : sum - load_one(x + targets[row]);
    }
  });
}

template <typename T>
void backward(const CrossEntropyBackward& op) {
  const int64_t rows = op.logits.dim(0), vocab = op.logits.dim(1), stride = op.logits.row_stride();
  const T* const logits = static_cast<const T*>(op.logits.data);
  T* const dlogits = static_cast<T*>(op.dlogits.data);
  const int32_t* const targets = static_cast<const int32_t*>(op.targets.data);
  const float mean_factor =
      op.dloss ? *static_cast<const float*>(op.dloss.data) / *static_cast<const float*>(op.counted.data) : 0;
  parallel_blocks(rows, kCrossEntropyBlock / (vocab + 1) + 1, [&](int64_t row, int64_t end) {
    for (; row < end; ++row) {
      const T* const x = logits + row * stride;
      T* const dx = dlogits + row * vocab;
      if (targets[row] == op.ignore_index) {
        __builtin_memset(dx, 0, vocab * sizeof(T));
        continue;
      }
      const float factor = mean_factor + (op.dlosses ? static_cast<const float*>(op.dlosses.data)[row] : 0);
      const float sum = static_cast<const float*>(op.logsumexp.data)[row];
      int64_t i = 0;
      for (; i + kWidth <= vocab; i += kWidth) store(dx + i, exp(load(x + i) - sum) * factor);
      if (i < vocab) store_partial(dx + i, exp(load_partial(x + i, vocab - i) - sum) * factor, vocab - i);
      const int32_t target = targets[row];
      store_one(dx + target, (exp(broadcast(load_one(x + target) - sum))[0] - 1) * factor);
    }
  });
}

}  // namespace

template <>
void run(const CrossEntropyForward& op) {
  check_targets(op.targets, op.logits.dim(1), op.ignore_index, CrossEntropyForward::row.name);
  visit_floating(op.logits.dtype, [&]<typename T>(T) { losses<T>(op); });
  double total = 0;
  int64_t counted = 0;
  for (int64_t row = 0; row < op.logits.dim(0); ++row) {
    if (static_cast<const int32_t*>(op.targets.data)[row] == op.ignore_index) continue;
    total += static_cast<double>(static_cast<const float*>(op.losses.data)[row]);
    ++counted;
  }
  *static_cast<float*>(op.counted.data) = static_cast<float>(counted);
  // NaN where nothing counts, as in PyTorch.
  *static_cast<float*>(op.loss.data) = static_cast<float>(total / static_cast<double>(counted));
}

template <>
void run(const CrossEntropyBackward& op) {
  check_targets(op.targets, op.logits.dim(1), op.ignore_index, CrossEntropyBackward::row.name);
  visit_floating(op.logits.dtype, [&]<typename T>(T) { backward<T>(op); });
}

}  // namespace statespace::cpu::STATESPACE_ISA
