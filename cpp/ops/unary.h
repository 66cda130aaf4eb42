// Elementwise functions of one tensor, and their derivatives times dy.
#pragma once
#include "cpp/core/op.h"

namespace statespace {

enum class UnaryKind { neg, abs, exp, log, sqrt, square, relu, sigmoid, tanh, silu, gelu, softplus };

template <UnaryKind kKind>
constexpr const char* unary_name(bool backward) {
  constexpr const char* kNames[][2] = {
      {"neg", "negBackward"},   {"abs", "absBackward"},         {"exp", "expBackward"},
      {"log", "logBackward"},   {"sqrt", "sqrtBackward"},       {"square", "squareBackward"},
      {"relu", "reluBackward"}, {"sigmoid", "sigmoidBackward"}, {"tanh", "tanhBackward"},
      {"silu", "siluBackward"}, {"gelu", "geluBackward"},       {"softplus", "softplusBackward"}};
  return kNames[static_cast<int>(kKind)][backward];
}

template <UnaryKind kKind>
struct Unary {
  static constexpr UnaryKind kind = kKind;
  Tensor x;
  Tensor y;

  static constexpr auto row =
      statespace::row(unary_name<kKind>(false), input("x", &Unary::x, "[...]"), output("y", &Unary::y, "[...]"));
};

template <UnaryKind kKind>
struct UnaryBackward {
  static constexpr UnaryKind kind = kKind;
  Tensor x, dy;
  Tensor dx;

  static constexpr auto row =
      statespace::row(unary_name<kKind>(true), input("x", &UnaryBackward::x, "[...]"),
                      input("dy", &UnaryBackward::dy, "[...]"), output("dx", &UnaryBackward::dx, "[...]"));
};

}  // namespace statespace
