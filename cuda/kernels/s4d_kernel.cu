// K[d][l] = 2 Re sum over n of w Ā^l, w = C f B. What belongs to a mode (d, n) is computed in double; powers are
// floats, each begun by an exponential whose angle is reduced to one turn first, and multiplied on at most kRestart
// times. With
//   T0 = sum over l of dK[l] Ā^l  and  T1 = sum over l of (l + 1) dK[l + 1] Ā^l
// the gradients are dL/dw = 2 conj(T0) and dL/dĀ = 2 conj(w T1), also where Ā is 0.
#include "cpp/ops/s4d_kernel.h"

#include "cuda/device/numeric.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/floats.cuh"
#include "cuda/kernels/s4d_rule.cuh"
#include "cuda/kernels/state_sums.cuh"

namespace statespace::cuda {
namespace {

constexpr int kRestart = 16;
constexpr int kForwardThreads = 128;
constexpr int kForwardTile = kForwardThreads * kRestart;
constexpr int kBackwardWarps = 4;
constexpr int64_t kSegment = 4096;  // positions of a warp in backward

// log2 |Ā| and the angle of Ā in turns, each as two floats; 2 w; and Ā^stride.
struct Mode {
  float log2_high, log2_low, turns_high, turns_low;
  Complex<float> weight, step;
};

__device__ inline Complex<float> narrowed(Complex<double> z) {
  return {static_cast<float>(z.re), static_cast<float>(z.im)};
}

// One thread for each mode.
__global__ void __launch_bounds__(kElementwiseThreads)
    prepare_modes_kernel(DiagonalSystem system, int stride, Mode* modes) {
  const int64_t i = global_thread();
  if (i >= system.modes) return;
  const Rule rule = rule_of(system, i);
  const double squares = rule.decay.re * rule.decay.re + rule.decay.im * rule.decay.im;
  const double log2_size = squares > 0 ? 0.5 * log2(squares) : -1e30;
  const double angle = atan2(rule.decay.im, rule.decay.re) / (2 * kPi);
  Mode mode;
  mode.log2_high = static_cast<float>(log2_size);
  mode.log2_low = static_cast<float>(log2_size - static_cast<double>(mode.log2_high));
  mode.turns_high = static_cast<float>(angle);
  mode.turns_low = static_cast<float>(angle - static_cast<double>(mode.turns_high));
  mode.weight = narrowed(scaled(2.0, load_complex(system.C, i) * rule.f * input_of(system, i)));
  mode.step = narrowed(power(rule.decay, stride));
  modes[i] = mode;
}

// Ā^l for l that floats hold exactly. The products l times the high parts are split into a float and what it lacks.
__device__ inline Complex<float> power_of(const Mode& mode, float l) {
  const float turns = l * mode.turns_high, missing = fma_rn(l, mode.turns_high, -turns);
  const Complex<float> z = cispi(2.0f * ((turns - rintf(turns)) + fma_rn(l, mode.turns_low, missing)));
  const float exponent = l * mode.log2_high, rest = fma_rn(l, mode.log2_high, -exponent);
  return scaled(ex2(exponent + fma_rn(l, mode.log2_low, rest)), z);
}

// One block per (channel, kForwardTile positions): a thread has kRestart of them, kForwardThreads apart.
__global__ void __launch_bounds__(kForwardThreads)
    s4d_kernel_kernel(const Mode* modes, int states, int64_t length, float* K) {
  const int64_t tiles = ceil_div<int64_t>(length, kForwardTile);
  const int64_t d = blockIdx.x / tiles, first = blockIdx.x % tiles * kForwardTile + threadIdx.x;
  float sums[kRestart] = {};
  for (int n = 0; n < states; ++n) {
    const Mode mode = modes[d * states + n];
    Complex<float> z = mode.weight * power_of(mode, static_cast<float>(first));
#pragma unroll
    for (int i = 0; i < kRestart; ++i) {
      sums[i] += z.re;
      z = z * mode.step;
    }
  }
#pragma unroll
  for (int i = 0; i < kRestart; ++i) {
    const int64_t l = first + i * kForwardThreads;
    if (l < length) K[d * length + l] = sums[i];
  }
}

struct Sums {
  float re0, im0, re1, im1;  // T0 and T1
};

// One warp per (channel, segment, mode); the warps of a block have neighbouring modes of one channel.
__global__ void __launch_bounds__(kBackwardWarps* kWarpSize)
    s4d_kernel_sums_kernel(const Mode* modes, int states, int64_t length, const float* dK, Sums* partial) {
  const int groups = ceil_div(states, kBackwardWarps);
  const int64_t segments = ceil_div<int64_t>(length, kSegment);
  const int64_t task = blockIdx.x / groups, d = task / segments, segment = task % segments;
  const int n = static_cast<int>(blockIdx.x % groups) * kBackwardWarps + warp_index();
  const int64_t begin = segment * kSegment, end = min(length, begin + kSegment);
  const Mode mode = modes[d * states + min(n, states - 1)];
  const float* g = dK + d * length;
  Sums sums = {};
  for (int64_t base = begin + lane_index(); base < end; base += kRestart * kWarpSize) {
    Complex<float> z = power_of(mode, static_cast<float>(base));
#pragma unroll
    for (int i = 0; i < kRestart; ++i) {
      const int64_t l = base + i * kWarpSize;
      const float now = l < end ? g[l] : 0.0f;
      const float next = l < end && l + 1 < length ? static_cast<float>(l + 1) * g[l + 1] : 0.0f;
      sums.re0 += now * z.re;
      sums.im0 += now * z.im;
      sums.re1 += next * z.re;
      sums.im1 += next * z.im;
      z = z * mode.step;
    }
  }
  sums = {warp_sum(sums.re0), warp_sum(sums.im0), warp_sum(sums.re1), warp_sum(sums.im1)};
  if (lane_index() == 0 && n < states) partial[(d * segments + segment) * states + n] = sums;
}

// One thread for each mode: adds the segments in order, and leaves its share of ddt.
__global__ void __launch_bounds__(kElementwiseThreads)
    s4d_kernel_gradients_kernel(DiagonalSystem system, const Sums* partial, int64_t segments, double* ddt, float* dA,
                                float* dB, float* dC) {
  const int64_t i = global_thread();
  if (i >= system.modes) return;
  const int64_t d = i / system.states, n = i % system.states;
  Complex<double> t0 = {0, 0}, t1 = {0, 0};
  for (int64_t segment = 0; segment < segments; ++segment) {
    const Sums sums = partial[(d * segments + segment) * system.states + n];
    t0 = t0 + Complex<double>{sums.re0, sums.im0};
    t1 = t1 + Complex<double>{sums.re1, sums.im1};
  }
  const Rule rule = rule_of(system, i);
  const Complex<double> b = input_of(system, i), c = load_complex(system.C, i);
  const Complex<double> dweight = scaled(2.0, conj(t0)), ddecay = scaled(2.0, conj(c * rule.f * b * t1));
  const Complex<double> df = dweight * conj(c * b);
  store_complex(dC, i, dweight * conj(rule.f * b));
  if (dB) store_complex(dB, i, dweight * conj(rule.f * c));
  store_complex(dA, i, ddecay * conj(rule.decay_by_a) + df * conj(rule.f_by_a));
  ddt[i] = (ddecay * conj(rule.decay_by_dt) + df * conj(rule.f_by_dt)).re;
}

Mode* prepare(const DiagonalSystem& system, int stride, Context& context) {
  Mode* modes = context.scratch<Mode>(static_cast<size_t>(system.modes));
  launch_each(prepare_modes_kernel, system.modes, context, system, stride, modes);
  return modes;
}

}  // namespace

template <>
void run(const S4dKernelForward& op, Context& context) {
  const DiagonalSystem system = system_of(op);
  if (op.K.size() == 0) return;
  const Mode* modes = prepare(system, kForwardThreads, context);
  const int64_t blocks = op.A.dim(0) * ceil_div<int64_t>(op.length, kForwardTile);
  launch(s4d_kernel_kernel, {dim3(static_cast<unsigned>(blocks)), dim3(kForwardThreads)}, context.stream, modes,
         static_cast<int>(system.states), op.length, op.K.as<float>());
}

template <>
void run(const S4dKernelBackward& op, Context& context) {
  const DiagonalSystem system = system_of(op);
  const int64_t dim = op.A.dim(0), length = op.dK.dim(1), segments = ceil_div<int64_t>(length, kSegment);
  if (dim == 0) return;
  double* ddt = context.scratch<double>(static_cast<size_t>(system.modes));
  if (system.modes > 0) {
    const Mode* modes = prepare(system, kWarpSize, context);
    Sums* partial = context.scratch<Sums>(static_cast<size_t>(system.modes * segments));
    const int64_t blocks = dim * segments * ceil_div<int64_t>(system.states, kBackwardWarps);
    launch(s4d_kernel_sums_kernel, {dim3(static_cast<unsigned>(blocks)), dim3(kBackwardWarps * kWarpSize)},
           context.stream, modes, static_cast<int>(system.states), length, op.dK.as<float>(), partial);
    launch_each(s4d_kernel_gradients_kernel, system.modes, context, system, partial, segments, ddt, op.dA.as<float>(),
                op.B ? op.dB.as<float>() : nullptr, op.dC.as<float>());
  }
  sum_states(ddt, dim, system.states, op.ddt.as<float>(), context);
}

}  // namespace statespace::cuda
