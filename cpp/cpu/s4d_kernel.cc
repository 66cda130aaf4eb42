// K[d][l] = 2 Re sum over n of w Ā^l, w = C f B. What belongs to a mode (d, n) is computed in double, with the power
// that starts each block; inside a block float vectors of neighbouring l are multiplied by Ā^kWidth. The gradients need
//   T0 = sum over l of dK[l] Ā^l  and  T1 = sum over l of (l + 1) dK[l + 1] Ā^l,
// from which dL/dw = 2 conj(T0) and dL/dĀ = 2 conj(w T1), also where Ā is 0.
#include "cpp/ops/s4d_kernel.h"

#include "cpp/cpu/complex.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/s4d_rule.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// Vectors of a block: their sums stay in registers.
#if defined(__AVX512F__)
constexpr int kSteps = 16;
#else
constexpr int kSteps = 8;
#endif
constexpr int64_t kBlock = kSteps * kWidth;
// Positions of a task, which are the same on every machine.
constexpr int64_t kSegment = 4096;

struct Mode {
  Complex weight, decay, block_decay;  // 2 w, Ā, Ā^kBlock
  float step_re, step_im;              // Ā^kWidth
  float lane_re[kWidth], lane_im[kWidth];
};

template <typename Op>
Mode* prepare(const Op& op) {
  const int64_t modes = op.A.shape[0] * op.A.shape[1];
  Mode* all = static_cast<Mode*>(scratch(Slot::kernel0, sizeof(Mode) * modes));
  parallel_blocks(modes, 64, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) {
      const Rule rule = rule_of(op, i);
      Mode& mode = all[i];
      mode.weight = 2.0 * (load_pair(op.C, i) * rule.f);
      if (op.B) mode.weight = mode.weight * load_pair(op.B, i);
      mode.decay = rule.decay;
      Complex z = {1, 0};
      for (int lane = 0; lane < kWidth; ++lane) {
        mode.lane_re[lane] = static_cast<float>(z.re);
        mode.lane_im[lane] = static_cast<float>(z.im);
        z = z * rule.decay;
      }
      mode.step_re = static_cast<float>(z.re);
      mode.step_im = static_cast<float>(z.im);
      mode.block_decay = power(z, kSteps);
    }
  });
  return all;
}

// Multiplies (re, im) by Ā^kWidth.
STATESPACE_INLINE void advance(Vec& re, Vec& im, Vec step_re, Vec step_im) {
  const Vec next = fma(re, step_re, -(im * step_im));
  im = fma(re, step_im, im * step_re);
  re = next;
}

void forward_block(const Mode* modes, Complex* starts, int64_t states, float* K, int64_t count) {
  Vec sums[kSteps] = {};
  for (int64_t n = 0; n < states; ++n) {
    const Mode& mode = modes[n];
    const float start_re = static_cast<float>(starts[n].re), start_im = static_cast<float>(starts[n].im);
    starts[n] = starts[n] * mode.block_decay;
    // Nothing is left of a mode that has died away, and subnormal numbers are slow.
    if (__builtin_fabsf(start_re) + __builtin_fabsf(start_im) < 1e-36f) continue;
    const Vec lane_re = load(mode.lane_re), lane_im = load(mode.lane_im);
    const Vec step_re = broadcast(mode.step_re), step_im = broadcast(mode.step_im);
    Vec re = lane_re * start_re - lane_im * start_im, im = lane_re * start_im + lane_im * start_re;
#pragma GCC unroll 16
    for (int s = 0; s < kSteps; ++s) {
      sums[s] += re;
      advance(re, im, step_re, step_im);
    }
  }
#pragma GCC unroll 16
  for (int s = 0; s < kSteps; ++s) {
    if (count >= (s + 1) * kWidth) {
      store(K + s * kWidth, sums[s]);
    } else if (count > s * kWidth) {
      store_partial(K + s * kWidth, sums[s], count - s * kWidth);
    }
  }
}

// One mode's share of T0 and T1 from one block, as if the block began at 0.
struct Sums {
  Complex t0, t1;
};
STATESPACE_INLINE Sums backward_block(const Mode& mode, const float* g, const float* h) {
  const Vec step_re = broadcast(mode.step_re), step_im = broadcast(mode.step_im);
  Vec re = load(mode.lane_re), im = load(mode.lane_im);
  Vec re0{}, im0{}, re1{}, im1{};
#pragma GCC unroll 16
  for (int s = 0; s < kSteps; ++s) {
    const Vec g_s = load(g + s * kWidth), h_s = load(h + s * kWidth);
    re0 = fma(g_s, re, re0);
    im0 = fma(g_s, im, im0);
    re1 = fma(h_s, re, re1);
    im1 = fma(h_s, im, im1);
    advance(re, im, step_re, step_im);
  }
  return {{reduce_add(re0), reduce_add(im0)}, {reduce_add(re1), reduce_add(im1)}};
}

}  // namespace

template <>
void run(const S4dKernelForward& op) {
  const int64_t dim = op.A.shape[0], states = op.A.shape[1], length = op.length;
  const int64_t segments = (length + kSegment - 1) / kSegment;
  const Mode* const all = prepare(op);
  parallel_for(dim * segments, [&](int64_t task) {
    const int64_t d = task / segments, first = task % segments * kSegment;
    const int64_t end = std::min(length, first + kSegment);
    const Mode* const modes = all + d * states;
    Complex* starts = static_cast<Complex*>(scratch(Slot::kernel1, sizeof(Complex) * (states + 1)));
    for (int64_t n = 0; n < states; ++n) starts[n] = modes[n].weight * power(modes[n].decay, first);
    float* K = static_cast<float*>(op.K.data) + d * length;
    for (int64_t l = first; l < end; l += kBlock) forward_block(modes, starts, states, K + l, end - l);
  });
}

template <>
void run(const S4dKernelBackward& op) {
  const int64_t dim = op.A.shape[0], states = op.A.shape[1], length = op.dK.shape[1];
  const int64_t segments = (length + kSegment - 1) / kSegment;
  const Mode* const all = prepare(op);
  Sums* const partial = static_cast<Sums*>(scratch(Slot::kernel1, sizeof(Sums) * (dim * segments * states + 1)));
  parallel_for(dim * segments, [&](int64_t task) {
    const int64_t d = task / segments, first = task % segments * kSegment;
    const int64_t count = std::min(length - first, kSegment), blocks = (count + kBlock - 1) / kBlock;
    // dK[l] and (l + 1) dK[l + 1], zero behind the end of the segment or of the kernel.
    float* g = static_cast<float*>(scratch(Slot::kernel2, sizeof(float) * 2 * kSegment));
    float* h = g + kSegment;
    const float* dK = static_cast<const float*>(op.dK.data) + d * length;
    for (int64_t i = 0; i < blocks * kBlock; ++i) {
      const int64_t l = first + i;
      g[i] = i < count ? dK[l] : 0.0f;
      h[i] = i < count && l + 1 < length ? static_cast<float>(l + 1) * dK[l + 1] : 0.0f;
    }
    for (int64_t n = 0; n < states; ++n) {
      const Mode& mode = all[d * states + n];
      Complex start = power(mode.decay, first);
      Sums total = {};
      for (int64_t block = 0; block < blocks; ++block) {
        if (__builtin_fabs(start.re) + __builtin_fabs(start.im) < 1e-60) break;
        const Sums part = backward_block(mode, g + block * kBlock, h + block * kBlock);
        total = {total.t0 + start * part.t0, total.t1 + start * part.t1};
        start = start * mode.block_decay;
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
      const Complex b = op.B ? load_pair(op.B, i) : Complex{1, 0}, c = load_pair(op.C, i);
      const Complex dweight = 2.0 * conj(total.t0), ddecay = conj(all[i].weight * total.t1);
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
