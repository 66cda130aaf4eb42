// Elementwise functions of two tensors, y = alpha x + beta, and target += x.
#include "cpp/ops/binary.h"

#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

constexpr int64_t kBlock = 16384;

template <typename F>
void visit_floating(DType dtype, const F& f) {
  if (dtype == DType::float32) f(float{});
  if (dtype == DType::bfloat16) f(bf16{});
  if (dtype == DType::float16) f(f16{});
}

template <BinaryKind kKind>
STATESPACE_INLINE Vec value(Vec a, Vec b) {
  if constexpr (kKind == BinaryKind::add) return a + b;
  if constexpr (kKind == BinaryKind::sub) return a - b;
  if constexpr (kKind == BinaryKind::mul) return a * b;
  if constexpr (kKind == BinaryKind::div) return a / b;
}

// The axes of a and b with neighbours merged where both operands allow it; y is dense in the same order.
struct Axes {
  int rank = 0;
  int64_t shape[kMaxRank], a[kMaxRank], b[kMaxRank];

  Axes(const Tensor& ta, const Tensor& tb) {
    for (int i = 0; i < ta.rank; ++i) {
      const int64_t size = ta.shape[i], sa = ta.strides[i], sb = tb.strides[i];
      if (size == 1) continue;
      if (rank > 0 && a[rank - 1] == sa * size && b[rank - 1] == sb * size) {
        shape[rank - 1] *= size;
        a[rank - 1] = sa;
        b[rank - 1] = sb;
      } else {
        shape[rank] = size;
        a[rank] = sa;
        b[rank++] = sb;
      }
    }
    if (rank == 0) {
      shape[0] = a[0] = b[0] = 1;
      rank = 1;
    }
  }
};

enum class Step { one, zero, any };

template <Step kStep, typename T>
STATESPACE_INLINE Vec load_steps(const T* p, int64_t stride, int64_t i, int64_t n) {
  if constexpr (kStep == Step::one) return n == kWidth ? load(p + i) : load_partial(p + i, n);
  if constexpr (kStep == Step::zero) return broadcast(load_one(p));
  Vec v{};
  for (int64_t k = 0; k < n; ++k) v[k] = load_one(p + (i + k) * stride);
  return v;
}

template <BinaryKind kKind, Step kStepA, Step kStepB, typename T>
void binary_row(const T* a, int64_t stride_a, const T* b, int64_t stride_b, T* y, int64_t n) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    store(y + i, value<kKind>(load_steps<kStepA>(a, stride_a, i, kWidth), load_steps<kStepB>(b, stride_b, i, kWidth)));
  }
  const int64_t rest = n - i;
  if (rest > 0) {
    store_partial(
        y + i, value<kKind>(load_steps<kStepA>(a, stride_a, i, rest), load_steps<kStepB>(b, stride_b, i, rest)), rest);
  }
}

template <BinaryKind kKind>
void binary(const Binary<kKind>& op) {
  const Axes axes(op.a, op.b);
  const int last = axes.rank - 1;
  const int64_t inner = axes.shape[last], size = op.y.size();
  if (size == 0) return;
  const int64_t stride_a = axes.a[last], stride_b = axes.b[last];
  // A task is some rows of the last axis, or a piece of a long one.
  const int64_t piece = inner < kBlock ? inner : kBlock, pieces = (inner + piece - 1) / piece;
  visit_floating(op.y.dtype, [&]<typename T>(T) {
    auto* row = &binary_row<kKind, Step::any, Step::any, T>;
    if (stride_a == 1 && stride_b == 1) row = &binary_row<kKind, Step::one, Step::one, T>;
    if (stride_a == 1 && stride_b == 0) row = &binary_row<kKind, Step::one, Step::zero, T>;
    if (stride_a == 0 && stride_b == 1) row = &binary_row<kKind, Step::zero, Step::one, T>;
    parallel_blocks(size / inner * pieces, kBlock / piece, [&](int64_t begin, int64_t end) {
      for (int64_t item = begin; item < end; ++item) {
        const int64_t outer = item / pieces, start = item % pieces * piece;
        const T *a = static_cast<const T*>(op.a.data), *b = static_cast<const T*>(op.b.data);
        for (int64_t axis = last - 1, rest = outer; axis >= 0; --axis) {
          const int64_t index = rest % axes.shape[axis];
          rest /= axes.shape[axis];
          a += index * axes.a[axis];
          b += index * axes.b[axis];
        }
        const int64_t n = inner - start < piece ? inner - start : piece;
        row(a + start * stride_a, stride_a, b + start * stride_b, stride_b,
            static_cast<T*>(op.y.data) + outer * inner + start, n);
      }
    });
  });
}

}  // namespace

template <>
void run(const Binary<BinaryKind::add>& op) {
  binary(op);
}
template <>
void run(const Binary<BinaryKind::sub>& op) {
  binary(op);
}
template <>
void run(const Binary<BinaryKind::mul>& op) {
  binary(op);
}
template <>
void run(const Binary<BinaryKind::div>& op) {
  binary(op);
}

template <>
void run(const Scale& op) {
  const Vec alpha = broadcast(static_cast<float>(op.alpha)), beta = broadcast(static_cast<float>(op.beta));
  visit_floating(op.x.dtype, [&]<typename T>(T) {
    const T* x = static_cast<const T*>(op.x.data);
    T* y = static_cast<T*>(op.y.data);
    parallel_blocks(op.x.size(), kBlock, [=](int64_t i, int64_t end) {
      for (; i + kWidth <= end; i += kWidth) store(y + i, fma(load(x + i), alpha, beta));
      if (i < end) store_partial(y + i, fma(load_partial(x + i, end - i), alpha, beta), end - i);
    });
  });
}

template <>
void run(const Accumulate& op) {
  visit_floating(op.target.dtype, [&]<typename T>(T) {
    visit_floating(op.x.dtype, [&]<typename X>(X) {
      const X* x = static_cast<const X*>(op.x.data);
      T* y = static_cast<T*>(op.target.data);
      parallel_blocks(op.x.size(), kBlock, [=](int64_t i, int64_t end) {
        for (; i + kWidth <= end; i += kWidth) store(y + i, load(y + i) + load(x + i));
        const int64_t rest = end - i;
        if (rest > 0) store_partial(y + i, load_partial(y + i, rest) + load_partial(x + i, rest), rest);
      });
    });
  });
}

}  // namespace statespace::cpu::STATESPACE_ISA
