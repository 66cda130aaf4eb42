// AdamW in one pass over a bucket, the sum of squares of a gradient, and the scale that clips it.
#include "cpp/ops/adamw.h"

#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

constexpr int64_t kBlock = 16384;

STATESPACE_INLINE bool is_finite(float x) { return x - x == 0; }

struct Factors {
  Vec scale, lr, b1, new1, b2, new2, eps, weight_decay, inverse_c1, inverse_c2;
};

struct Moved {
  Vec parameter, m, v;
};
STATESPACE_INLINE Moved move(const Factors& f, Vec parameter, Vec gradient, Vec m, Vec v) {
  gradient *= f.scale;
  m = fma(f.b1, m, f.new1 * gradient);
  v = fma(f.b2, v, f.new2 * gradient * gradient);
  const Vec step = (m * f.inverse_c1) / (sqrt(v * f.inverse_c2) + f.eps);
  return {parameter - f.lr * fma(f.weight_decay, parameter, step), m, v};
}

template <typename Copy>
void adamw(const AdamW& op, const Factors& factors, Copy* copy) {
  float* const parameter = static_cast<float*>(op.parameter.data);
  const float* const gradient = static_cast<const float*>(op.gradient.data);
  float *const m = static_cast<float*>(op.m.data), *const v = static_cast<float*>(op.v.data);
  parallel_blocks(op.parameter.size(), kBlock, [&](int64_t i, int64_t end) {
    for (; i + kWidth <= end; i += kWidth) {
      const Moved to = move(factors, load(parameter + i), load(gradient + i), load(m + i), load(v + i));
      store(parameter + i, to.parameter);
      store(m + i, to.m);
      store(v + i, to.v);
      if (copy) store(copy + i, to.parameter);
    }
    const int64_t n = end - i;
    if (n == 0) return;
    const Moved to = move(factors, load_partial(parameter + i, n), load_partial(gradient + i, n),
                          load_partial(m + i, n), load_partial(v + i, n));
    store_partial(parameter + i, to.parameter, n);
    store_partial(m + i, to.m, n);
    store_partial(v + i, to.v, n);
    if (copy) store_partial(copy + i, to.parameter, n);
  });
}

// In double, eight lanes: the squares of floats are exact there.
double sum_squares(const float* x, int64_t n) {
  typedef double Doubles __attribute__((vector_size(64)));
  typedef float Floats __attribute__((vector_size(32)));
  Doubles s[2] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int k = 0; k < 2; ++k) {
      Floats v;
      __builtin_memcpy(&v, x + i + 8 * k, sizeof(v));
      const Doubles d = __builtin_convertvector(v, Doubles);
      s[k] += d * d;
    }
  }
  for (; i < n; ++i) s[0][i % 8] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  s[0] += s[1];
  double total = 0;
  for (int k = 0; k < 8; ++k) total += s[0][k];
  return total;
}

}  // namespace

template <>
void run(const AdamW& op) {
  const float* const h = static_cast<const float*>(op.hyperparameters.data);
  const float scale = op.gradient_scale ? *static_cast<const float*>(op.gradient_scale.data) : 1;
  if (!is_finite(scale)) return;
  const float lr = h[0], b1 = h[1], new1 = h[2], b2 = h[3], new2 = h[4], eps = h[5], weight_decay = h[6];
  const float c1 = h[7], c2 = h[8];
  const Factors factors = {broadcast(scale),  broadcast(lr),    broadcast(b1),  broadcast(new1),
                           broadcast(b2),     broadcast(new2),  broadcast(eps), broadcast(weight_decay),
                           broadcast(1 / c1), broadcast(1 / c2)};
  if (!op.copy) return adamw<float>(op, factors, nullptr);
  if (op.copy.dtype == DType::float32) adamw(op, factors, static_cast<float*>(op.copy.data));
  if (op.copy.dtype == DType::bfloat16) adamw(op, factors, static_cast<bf16*>(op.copy.data));
  if (op.copy.dtype == DType::float16) adamw(op, factors, static_cast<f16*>(op.copy.data));
}

template <>
void run(const SumSquares& op) {
  const float* const x = static_cast<const float*>(op.x.data);
  const int64_t n = op.x.size(), pieces = (n + kBlock - 1) / kBlock;
  double* const partial = static_cast<double*>(scratch(Slot::kernel0, sizeof(double) * pieces));
  parallel_blocks(n, kBlock,
                  [=](int64_t begin, int64_t end) { partial[begin / kBlock] = sum_squares(x + begin, end - begin); });
  double total = 0;
  for (int64_t i = 0; i < pieces; ++i) total += partial[i];
  *static_cast<float*>(op.y.data) = static_cast<float>(total);
}

template <>
void run(const ClipScale& op) {
  double total = 0;
  for (int64_t i = 0; i < op.squares.size(); ++i)
    total += static_cast<double>(static_cast<const float*>(op.squares.data)[i]);
  const float norm = static_cast<float>(__builtin_sqrt(total));
  const float scale = static_cast<float>(op.max_norm / (static_cast<double>(norm) + 1e-6));
  *static_cast<float*>(op.norm.data) = norm;
  // A norm that is not finite makes a scale that is not, so that AdamW skips the step.
  *static_cast<float*>(op.scale.data) = is_finite(norm) ? (scale < 1 ? scale : 1) : norm - norm;
}

}  // namespace statespace::cpu::STATESPACE_ISA
