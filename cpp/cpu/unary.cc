// Elementwise functions of one tensor, and their derivatives times dy. The derivatives are written with exp(-|x|), so
// that they neither overflow nor cancel.
#include "cpp/ops/unary.h"

#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

constexpr int64_t kBlock = 16384;

template <UnaryKind kKind>
STATESPACE_INLINE Vec value(Vec x) {
  if constexpr (kKind == UnaryKind::neg) return -x;
  if constexpr (kKind == UnaryKind::abs) return STATESPACE_ISA::abs(x);
  if constexpr (kKind == UnaryKind::exp) return STATESPACE_ISA::exp(x);
  if constexpr (kKind == UnaryKind::log) return STATESPACE_ISA::log(x);
  if constexpr (kKind == UnaryKind::sqrt) return STATESPACE_ISA::sqrt(x);
  if constexpr (kKind == UnaryKind::square) return x * x;
  if constexpr (kKind == UnaryKind::relu) return max(Vec{}, x);
  if constexpr (kKind == UnaryKind::sigmoid) return STATESPACE_ISA::sigmoid(x);
  if constexpr (kKind == UnaryKind::tanh) return STATESPACE_ISA::tanh(x);
  if constexpr (kKind == UnaryKind::silu) return STATESPACE_ISA::silu(x);
  if constexpr (kKind == UnaryKind::gelu) return x * 0.5f * (1.0f + erf(x * 0.707106781f));
  if constexpr (kKind == UnaryKind::softplus) return STATESPACE_ISA::softplus(x);
}

// dy times the derivative at x.
template <UnaryKind kKind>
STATESPACE_INLINE Vec backward(Vec x, Vec dy) {
  const Vec zero{};
  if constexpr (kKind == UnaryKind::neg) return -dy;
  if constexpr (kKind == UnaryKind::abs) return select(less(zero, x), dy, select(less(x, zero), -dy, zero));
  if constexpr (kKind == UnaryKind::exp) return dy * STATESPACE_ISA::exp(x);
  if constexpr (kKind == UnaryKind::log) return dy / x;
  if constexpr (kKind == UnaryKind::sqrt) return dy / (2.0f * STATESPACE_ISA::sqrt(x));
  if constexpr (kKind == UnaryKind::square) return dy * (x + x);
  if constexpr (kKind == UnaryKind::relu) return select(less(zero, x), dy, zero);
  if constexpr (kKind == UnaryKind::sigmoid || kKind == UnaryKind::silu) {
    const Vec e = STATESPACE_ISA::exp(-STATESPACE_ISA::abs(x)), r = 1.0f / (1.0f + e);
    const Vec slope = e * r * r;
    if constexpr (kKind == UnaryKind::sigmoid) return dy * slope;
    // Where x is clamped the slope is 0, or nearly; an infinite x must not meet it.
    const Vec clamped = min(broadcast(110.0f), max(broadcast(-110.0f), x));
    return dy * fma(clamped, slope, select(less(x, zero), e * r, r));
  }
  if constexpr (kKind == UnaryKind::tanh) {
    const Vec e = STATESPACE_ISA::exp(-2.0f * STATESPACE_ISA::abs(x)), r = 1.0f / (1.0f + e);
    return dy * (4.0f * e * r * r);
  }
  if constexpr (kKind == UnaryKind::gelu) {
    const Vec clamped = min(broadcast(20.0f), max(broadcast(-20.0f), x));
    const Vec density = 0.398942280f * STATESPACE_ISA::exp(-0.5f * clamped * clamped);
    return dy * fma(clamped, density, 0.5f + 0.5f * erf(x * 0.707106781f));
  }
  if constexpr (kKind == UnaryKind::softplus) return dy * STATESPACE_ISA::sigmoid(x);
}

template <typename F>
void visit_floating(DType dtype, const F& f) {
  if (dtype == DType::float32) f(float{});
  if (dtype == DType::bfloat16) f(bf16{});
  if (dtype == DType::float16) f(f16{});
}

template <UnaryKind kKind>
void unary(const Unary<kKind>& op) {
  visit_floating(op.x.dtype, [&]<typename T>(T) {
    const T* x = static_cast<const T*>(op.x.data);
    T* y = static_cast<T*>(op.y.data);
    parallel_blocks(op.x.size(), kBlock, [=](int64_t i, int64_t end) {
      for (; i + kWidth <= end; i += kWidth) store(y + i, value<kKind>(load(x + i)));
      if (i < end) store_partial(y + i, value<kKind>(load_partial(x + i, end - i)), end - i);
    });
  });
}

template <UnaryKind kKind>
void unary(const UnaryBackward<kKind>& op) {
  visit_floating(op.x.dtype, [&]<typename T>(T) {
    const T *x = static_cast<const T*>(op.x.data), *dy = static_cast<const T*>(op.dy.data);
    T* dx = static_cast<T*>(op.dx.data);
    parallel_blocks(op.x.size(), kBlock, [=](int64_t i, int64_t end) {
      for (; i + kWidth <= end; i += kWidth) store(dx + i, backward<kKind>(load(x + i), load(dy + i)));
      const int64_t rest = end - i;
      if (rest > 0) store_partial(dx + i, backward<kKind>(load_partial(x + i, rest), load_partial(dy + i, rest)), rest);
    });
  });
}

}  // namespace

template <>
void run(const Unary<UnaryKind::neg>& op) {
  unary(op);
}
template <>
void run(const Unary<UnaryKind::abs>& op) {
  unary(op);
}
template <>
void run(const Unary<UnaryKind::exp>& op) {
  unary(op);
}
template <>
void run(const Unary<UnaryKind::log>& op) {
  unary(op);
}
template <>
void run(const Unary<UnaryKind::sqrt>& op) {
  unary(op);
}
template <>
void run(const Unary<UnaryKind::square>& op) {
  unary(op);
}
template <>
void run(const Unary<UnaryKind::relu>& op) {
  unary(op);
}
template <>
void run(const Unary<UnaryKind::sigmoid>& op) {
  unary(op);
}
template <>
void run(const Unary<UnaryKind::tanh>& op) {
  unary(op);
}
template <>
void run(const Unary<UnaryKind::silu>& op) {
  unary(op);
}
template <>
void run(const Unary<UnaryKind::gelu>& op) {
  unary(op);
}
template <>
void run(const Unary<UnaryKind::softplus>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::neg>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::abs>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::exp>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::log>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::sqrt>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::square>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::relu>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::sigmoid>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::tanh>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::silu>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::gelu>& op) {
  unary(op);
}
template <>
void run(const UnaryBackward<UnaryKind::softplus>& op) {
  unary(op);
}

}  // namespace statespace::cpu::STATESPACE_ISA
