// crossEntropyForward of logits = x weight^T that never exist whole: some rows at a time are multiplied, turned into
// their losses, and overwritten by their gradient, which goes into dx and dweight at once.
#pragma once
#include "cpp/core/error.h"
#include "cpp/core/op.h"

namespace statespace {

// dx and dweight lack `factor`, besides dloss: 1, but for float16 1 / counted, with which they might vanish.
struct LinearCrossEntropyForward {
  Tensor x, weight, targets;
  int64_t ignore_index, chunk;
  bool with_dx, with_dweight;
  Tensor loss, factor, dx, dweight;

  static constexpr auto row = statespace::row(
      "linearCrossEntropyForward", input("x", &LinearCrossEntropyForward::x, "[rows, inputs]").rows(),
      input("weight", &LinearCrossEntropyForward::weight, "[vocab, inputs]").rows(),
      input("targets", &LinearCrossEntropyForward::targets, "[rows]").i32(),
      attribute("ignoreIndex", &LinearCrossEntropyForward::ignore_index, "a target that does not count"),
      attribute("chunk", &LinearCrossEntropyForward::chunk, "rows whose logits exist at a time; 0 chooses"),
      attribute("withDx", &LinearCrossEntropyForward::with_dx, "also form dx"),
      attribute("withDweight", &LinearCrossEntropyForward::with_dweight, "also form dweight"),
      output("loss", &LinearCrossEntropyForward::loss, "[]").f32(),
      output("factor", &LinearCrossEntropyForward::factor, "[]").f32(),
      output("dx", &LinearCrossEntropyForward::dx, "[rows, inputs]").when([](const auto& op) { return op.with_dx; }),
      output("dweight", &LinearCrossEntropyForward::dweight, "[vocab, inputs]").f32().when([](const auto& op) {
        return op.with_dweight;
      }));
};

inline void check(const LinearCrossEntropyForward& op) {
  if (op.chunk < 0) {
    throw Error("ERR_ARGUMENT",
                "linearCrossEntropyForward: chunk is " + std::to_string(op.chunk) + ", expected 0 or more rows");
  }
}

// Rows of a chunk whose float32 logits take at most `bytes`. The shape alone decides, since it orders the sums of
// dweight.
constexpr int64_t rows_at_a_time(const LinearCrossEntropyForward& op, int64_t bytes) {
  constexpr int64_t kWhole = 64;  // products like multiples of it
  const int64_t rows = op.x.shape[0], row_bytes = 4 * op.weight.shape[0];
  if (op.chunk > 0) return op.chunk;
  const int64_t most = row_bytes * kWhole > bytes ? kWhole : bytes / row_bytes / kWhole * kWhole;
  if (row_bytes * rows <= bytes || rows <= most) return rows;
  // Nearly equal ones: a short chunk costs a pass over the weight like any other.
  const int64_t chunks = (rows + most - 1) / most, even = (rows + chunks - 1) / chunks;
  return (even + kWhole - 1) / kWhole * kWhole;
}

// What forward formed times factor dloss. Results may lie where the arguments do, and are then left alone by a factor
// of 1.
struct LinearCrossEntropyBackward {
  Tensor unscaled_dx, unscaled_dweight, factor, dloss;
  Tensor dx, dweight;

  static constexpr auto row = statespace::row(
      "linearCrossEntropyBackward", maybe("unscaledDx", &LinearCrossEntropyBackward::unscaled_dx, "[rows, inputs]"),
      maybe("unscaledDweight", &LinearCrossEntropyBackward::unscaled_dweight, "[vocab, inputs]").f32(),
      input("factor", &LinearCrossEntropyBackward::factor, "[]").f32(),
      input("dloss", &LinearCrossEntropyBackward::dloss, "[]").f32(),
      output("dx", &LinearCrossEntropyBackward::dx, "[rows, inputs]").when([](const auto& op) {
        return bool(op.unscaled_dx);
      }),
      output("dweight", &LinearCrossEntropyBackward::dweight, "[vocab, inputs]").f32().when([](const auto& op) {
        return bool(op.unscaled_dweight);
      }));
};

}  // namespace statespace
