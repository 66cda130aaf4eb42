// K[d][l] = 2 Re sum over n of w Ā^l, w = C f B, as products of matrices: with l = i kBlock + j,
//   K[i, j] = sum over n of Re(2 w Ā^(i kBlock) Ā^j),
// two multiply-adds for each state and position. Block starts are powers in double. The gradients need
//   T0 = sum over l of dK[l] Ā^l  and  T1 = sum over l of l dK[l] Ā^(l - 1),
// from which dL/dw = 2 conj(T0) and dL/dĀ = 2 conj(w T1), also where Ā is 0; each block gives its sums over j as a
// product with the powers and with j Ā^(j - 1), and the sums over i are in double.
#include "cpp/ops/s4d_kernel.h"

#include "cpp/cpu/complex.h"
#include "cpp/cpu/gemm.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/s4d_rule.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

constexpr int64_t kBlock = 256;
// Blocks of a task, which are the same on every machine.
constexpr int64_t kBlocks = 64;
constexpr int64_t kSegment = kBlock * kBlocks;
// Nothing is left of a power that has died away, and subnormal numbers are slow.
constexpr float kNothing = 1e-36f;

struct Vectors {
  Vec re, im;
};
STATESPACE_INLINE Vectors operator*(Vectors a, Vectors b) {
  const Vec re = fma(a.re, b.re, -(a.im * b.im)), im = fma(a.re, b.im, a.im * b.re);
  const Mask is_nothing = less(abs(re) + abs(im), broadcast(kNothing));
  return {select(is_nothing, Vec{}, re), select(is_nothing, Vec{}, im)};
}
STATESPACE_INLINE Vectors spread(Complex z) {
  const float re = static_cast<float>(z.re), im = static_cast<float>(z.im);
  if (__builtin_fabsf(re) + __builtin_fabsf(im) < kNothing) return {Vec{}, Vec{}};
  return {broadcast(re), broadcast(im)};
}

// Re and -Im of Ā^j for j < kBlock. What is there is doubled again and again, so that few roundings meet in a power.
void store_powers(Complex decay, float* re, float* minus_im) {
  constexpr int64_t kVectors = kBlock / kWidth;
  Vectors powers[kVectors] = {};
  Complex step = {1, 0};
  for (int lane = 0; lane < kWidth; ++lane) {
    powers[0].re[lane] = static_cast<float>(step.re);
    powers[0].im[lane] = static_cast<float>(step.im);
    step = step * decay;
  }
  for (int64_t count = 1; count < kVectors; count *= 2) {
    for (int64_t i = 0; i < count; ++i) powers[count + i] = powers[i] * spread(step);
    step = step * step;
  }
  for (int64_t i = 0; i < kVectors; ++i) {
    store(re + i * kWidth, powers[i].re);
    store(minus_im + i * kWidth, -powers[i].im);
  }
}

// j Ā^(j - 1) from the powers.
void store_slopes(const float* powers, float* slopes) {
  slopes[0] = 0;
  for (int64_t j = 1; j < kBlock; ++j) slopes[j] = static_cast<float>(j) * powers[j - 1];
}

float* floats(Slot slot, int64_t count) {
  return static_cast<float*>(scratch(slot, sizeof(float) * static_cast<size_t>(count)));
}

MatrixView matrix(const float* data, int64_t row_stride, int64_t col_stride = 1) {
  return {data, DType::float32, row_stride, col_stride};
}

template <typename Op>
Complex input_of(const Op& op, int64_t mode) {
  return op.B ? load_pair(op.B, mode) : Complex{1, 0};
}

struct Sums {
  Complex t0, t1;
};

}  // namespace

template <>
void run(const S4dKernelForward& op) {
  const int64_t dim = op.A.shape[0], states = op.A.shape[1], length = op.length, parts = 2 * states;
  const int64_t segments = (length + kSegment - 1) / kSegment;
  parallel_for(dim * segments, [&](int64_t task) {
    const int64_t d = task / segments, first = task % segments * kSegment, count = std::min(length - first, kSegment);
    const int64_t rows = (count + kBlock - 1) / kBlock, whole = count / kBlock;
    float* const powers = floats(Slot::kernel0, parts * kBlock + 1);
    float* const starts = floats(Slot::kernel1, parts * kBlocks + 1);
    for (int64_t n = 0; n < states; ++n) {
      const int64_t mode = d * states + n;
      const Rule rule = rule_of(op, mode);
      float* const table = powers + 2 * n * kBlock;
      store_powers(rule.decay, table, table + kBlock);
      const Complex stride = power(rule.decay, kBlock);
      Complex z = (2.0 * (load_pair(op.C, mode) * rule.f)) * input_of(op, mode) * power(rule.decay, first);
      for (int64_t i = 0; i < rows; ++i) {
        const bool is_nothing = __builtin_fabs(z.re) + __builtin_fabs(z.im) < static_cast<double>(kNothing);
        starts[i * parts + 2 * n] = is_nothing ? 0.0f : static_cast<float>(z.re);
        starts[i * parts + 2 * n + 1] = is_nothing ? 0.0f : static_cast<float>(z.im);
        z = z * stride;
      }
    }
    float* const K = static_cast<float*>(op.K.data) + d * length + first;
    gemm(whole, kBlock, parts, matrix(starts, parts), matrix(powers, kBlock), {K, DType::float32, kBlock});
    if (whole == rows) return;
    gemm(1, count - whole * kBlock, parts, matrix(starts + whole * parts, parts), matrix(powers, kBlock),
         {K + whole * kBlock, DType::float32, kBlock});
  });
}

template <>
void run(const S4dKernelBackward& op) {
  const int64_t dim = op.A.shape[0], states = op.A.shape[1], length = op.dK.shape[1], parts = 4 * states;
  const int64_t segments = (length + kSegment - 1) / kSegment;
  Sums* const partial =
      static_cast<Sums*>(scratch(Slot::kernel2, sizeof(Sums) * static_cast<size_t>(dim * segments * states + 1)));
  parallel_for(dim * segments, [&](int64_t task) {
    const int64_t d = task / segments, first = task % segments * kSegment, count = std::min(length - first, kSegment);
    const int64_t rows = (count + kBlock - 1) / kBlock, whole = count / kBlock;
    // For each state the rows Re and -Im of Ā^j, and of j Ā^(j - 1).
    float* const powers = floats(Slot::kernel0, parts * kBlock + 1);
    float* const sums = floats(Slot::kernel1, parts * kBlocks + 1);
    for (int64_t n = 0; n < states; ++n) {
      float* const table = powers + 4 * n * kBlock;
      store_powers(rule_of(op, d * states + n).decay, table, table + kBlock);
      store_slopes(table, table + 2 * kBlock);
      store_slopes(table + kBlock, table + 3 * kBlock);
    }
    const float* const dK = static_cast<const float*>(op.dK.data) + d * length + first;
    gemm(whole, parts, kBlock, matrix(dK, kBlock), matrix(powers, 1, kBlock), {sums, DType::float32, parts});
    if (whole < rows) {
      gemm(1, parts, count - whole * kBlock, matrix(dK + whole * kBlock, kBlock), matrix(powers, 1, kBlock),
           {sums + whole * parts, DType::float32, parts});
    }
    for (int64_t n = 0; n < states; ++n) {
      const Complex decay = rule_of(op, d * states + n).decay, stride = power(decay, kBlock);
      // Ā^begin and Ā^(begin - 1) of each block; the latter of the very first does not count.
      Complex start = power(decay, first), before = power(decay, first > 0 ? first - 1 : 0);
      Sums total = {};
      for (int64_t i = 0; i < rows; ++i) {
        const float* const s = sums + i * parts + 4 * n;
        const Complex s0 = {s[0], -s[1]}, s1 = {s[2], -s[3]};
        const int64_t begin = first + i * kBlock;
        total.t0 = total.t0 + start * s0;
        total.t1 = total.t1 + start * s1 + static_cast<double>(begin) * (before * s0);
        before = begin > 0 ? before * stride : power(decay, kBlock - 1);
        start = start * stride;
      }
      partial[task * states + n] = total;
    }
  });
  for (int64_t d = 0; d < dim; ++d) {
    double ddt = 0;
    for (int64_t n = 0; n < states; ++n) {
      const int64_t i = d * states + n;
      Sums total = {};
      for (int64_t segment = 0; segment < segments; ++segment) {
        const Sums& part = partial[(d * segments + segment) * states + n];
        total = {total.t0 + part.t0, total.t1 + part.t1};
      }
      const Rule rule = rule_of(op, i);
      const Complex b = input_of(op, i), c = load_pair(op.C, i);
      const Complex dweight = 2.0 * conj(total.t0), ddecay = 2.0 * conj(c * rule.f * b * total.t1);
      const Complex df = dweight * conj(c * b);
      store_pair(op.dC, i, dweight * conj(rule.f * b));
      if (op.B) store_pair(op.dB, i, dweight * conj(rule.f * c));
      store_pair(op.dA, i, ddecay * conj(rule.decay_by_a) + df * conj(rule.f_by_a));
      ddt += (ddecay * conj(rule.decay_by_dt) + df * conj(rule.f_by_dt)).re;
    }
    static_cast<float*>(op.ddt.data)[d] = static_cast<float>(ddt);
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
