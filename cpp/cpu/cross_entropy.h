// What the losses over a vocabulary share: a row's log of the sum of exponentials, and the check of targets.
#pragma once
#include "cpp/cpu/failures.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

// Elements of the rows that one task takes, so that it is worth a thread.
constexpr int64_t kCrossEntropyBlock = 8192;

template <typename T>
float log_sum_exp(const T* x, int64_t n) {
  // Logits that stay in the first cache between the search for their maximum and the sum.
  constexpr int64_t kPiece = 2048;
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

inline void check_targets(const Tensor& targets, int64_t vocab, int64_t ignore_index, const char* op) {
  const int32_t* const ids = static_cast<const int32_t*>(targets.data);
  for (int64_t i = 0; i < targets.shape[0]; ++i) {
    if (ids[i] != ignore_index && (ids[i] < 0 || ids[i] >= vocab)) {
      throw_outside(op, "target", ids[i], i, "vocabulary", vocab, "tokens");
    }
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
