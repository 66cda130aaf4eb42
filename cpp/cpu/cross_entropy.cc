// losses[r] = logsumexp(logits[r]) - logits[r, targets[r]] and their mean; dlogits = softmax - onehot, scaled.
#include "cpp/ops/cross_entropy.h"

#include "cpp/cpu/failures.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// Logits that stay in the first cache between the search for their maximum and the sum.
constexpr int64_t kPiece = 2048;
constexpr int64_t kBlock = 8192;

template <typename F>
void visit_floating(DType dtype, const F& f) {
  if (dtype == DType::float32) f(float{});
  if (dtype == DType::bfloat16) f(bf16{});
  if (dtype == DType::float16) f(f16{});
}

template <typename T>
float log_sum_exp(const T* x, int64_t n) {
  constexpr float kInfinity = __builtin_inff();
  const Vec none = broadcast(-kInfinity);
  float largest = -kInfinity;
  double total = 0;
  for (int64_t begin = 0; begin < n; begin += kPiece) {
    const int64_t end = n - begin < kPiece ? n : begin + kPiece, whole = begin + (end - begin) / kWidth * kWidth;
    const int64_t rest = end - whole;
    const Vec tail = rest > 0 ? select(first_lanes(rest), load_partial(x + whole, rest), none) : none;
    // max returns its second argument where one is NaN: the maximum skips NaN, and the sum does not.
    Vec m = max(tail, none);
    for (int64_t i = begin; i < whole; i += kWidth) m = max(load(x + i), m);
    const float piece_largest = reduce_max(m);
    if (piece_largest > largest) {
      // Nothing was there yet, or it shrinks.
      const Vec shrink = exp(broadcast(largest - piece_largest));
      total = largest == -kInfinity ? 0 : total * static_cast<double>(shrink[0]);
      largest = piece_largest;
    }
    const float shift = largest == -kInfinity ? 0 : largest;
    Vec s[2] = {exp(tail - shift), Vec{}};
    int64_t i = begin;
    for (; i + 2 * kWidth <= whole; i += 2 * kWidth) {
      s[0] += exp(load(x + i) - shift);
      s[1] += exp(load(x + i + kWidth) - shift);
    }
    if (i < whole) s[1] += exp(load(x + i) - shift);
    total += static_cast<double>(reduce_add(s[0] + s[1]));
  }
  if (largest == -kInfinity) return total == total ? -kInfinity : static_cast<float>(total);
  return largest + log(broadcast(static_cast<float>(total)))[0];
}

template <typename T>
void losses(const CrossEntropyForward& op) {
  const int64_t rows = op.logits.dim(0), vocab = op.logits.dim(1), stride = op.logits.row_stride();
  const T* const logits = static_cast<const T*>(op.logits.data);
  const int32_t* const targets = static_cast<const int32_t*>(op.targets.data);
  parallel_blocks(rows, kBlock / (vocab + 1) + 1, [&](int64_t row, int64_t end) {
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
  parallel_blocks(rows, kBlock / (vocab + 1) + 1, [&](int64_t row, int64_t end) {
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

void check_targets(const Tensor& targets, int64_t vocab, int64_t ignore_index, const char* op) {
  const int32_t* const ids = static_cast<const int32_t*>(targets.data);
  for (int64_t i = 0; i < targets.shape[0]; ++i) {
    if (ids[i] != ignore_index && (ids[i] < 0 || ids[i] >= vocab)) {
      throw_outside(op, "target", ids[i], i, "vocabulary", vocab, "tokens");
    }
  }
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
