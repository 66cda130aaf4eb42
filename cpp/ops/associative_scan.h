// The plain first-order recurrence h[t] = a[t] h[t-1] + b[t] along the length: a prefix scan of affine maps, composed
// by (a1, b1) then (a2, b2) = (a2 a1, a2 b1 + b2), which is associative but not commutative (Blelloch 1990,
// section 1.4).
#pragma once
#include "cpp/core/error.h"
#include "cpp/core/op.h"

namespace statespace {

// Which algorithm computes the prefixes; all give the same numbers up to rounding, where the
// products of a that the parallel ones take first stay in float32's range.
enum class ScanAlgorithm : int64_t { automatic, sequential, blelloch, chunked };

struct AssociativeScanForward {
  Tensor a, b, initial_state;
  bool reverse;
  int64_t algorithm;  // a ScanAlgorithm
  Tensor h;

  static constexpr auto row = statespace::row(
      "associativeScanForward", input("a", &AssociativeScanForward::a, "[batch, length, dim]").strided(),
      input("b", &AssociativeScanForward::b, "[batch, length, dim]").strided(),
      maybe("initialState", &AssociativeScanForward::initial_state, "[batch, dim]").f32(),
      attribute("reverse", &AssociativeScanForward::reverse, "run from the last step to the first"),
      attribute("algorithm", &AssociativeScanForward::algorithm, "0 automatic, 1 sequential, 2 blelloch, 3 chunked"),
      output("h", &AssociativeScanForward::h, "[batch, length, dim]"));
};

struct AssociativeScanBackward {
  Tensor dh, a, h, initial_state;
  bool reverse;
  Tensor da, db, dinitial_state;

  static constexpr auto row = statespace::row(
      "associativeScanBackward", input("dh", &AssociativeScanBackward::dh, "[batch, length, dim]").strided(),
      input("a", &AssociativeScanBackward::a, "[batch, length, dim]").strided(),
      input("h", &AssociativeScanBackward::h, "[batch, length, dim]").strided(),
      maybe("initialState", &AssociativeScanBackward::initial_state, "[batch, dim]").f32(),
      attribute("reverse", &AssociativeScanBackward::reverse, "as in forward"),
      output("da", &AssociativeScanBackward::da, "[batch, length, dim]"),
      output("db", &AssociativeScanBackward::db, "[batch, length, dim]"),
      output("dinitialState", &AssociativeScanBackward::dinitial_state, "[batch, dim]")
          .f32()
          .when([](const AssociativeScanBackward& op) { return bool(op.initial_state); }));
};

inline void check(const AssociativeScanForward& op) {
  if (op.algorithm < 0 || op.algorithm > 3) {
    throw Error("ERR_ARGUMENT",
                "associativeScanForward: algorithm is " + std::to_string(op.algorithm) + ", expected 0 to 3");
  }
}

}  // namespace statespace
