// The kernel from its generating function X_k (s4_cauchy.cuh) at n > length points of a circle of radius rho < 1:
//   K[l] = rho^-l / n sum over k of X_k exp(2 pi i k l / n), up to rho^n K[l + n] and so on.
// All is double, which pays for both the rho^-l that roundings grow by and the rho^n that is left of later taps (Lubich
// 1988, Abate and Whitt 1992; docs/decisions/0012-s4-kernel.md). No pole is met, since Re g > 0, and C stays C.
//
// K is real: half of the points are enough, and a transform of n / 2 complex numbers, each an even and an odd tap. With
// the gradient G_k of X_k from the transform back, each node leaves what the states need:
//   Y = k00 - k01 (1 + k11)^-1 k10,  dY = sum over n of l_n d(resolvent) r_n,  l = C + conj(P) E,  r = B + P F,
//   E = -k01 (1 + k11)^-1,  F = -(1 + k11)^-1 k10.
#include "cpp/ops/s4_kernel.h"

#include <algorithm>
#include <cmath>

#include "cuda/device/reduce.cuh"
#include "cuda/kernels/fft_lines.cuh"
#include "cuda/kernels/floats.cuh"
#include "cuda/kernels/s4_cauchy.cuh"
#include "cuda/kernels/state_sums.cuh"

namespace statespace::cuda {
namespace {

constexpr int kNodeThreads = 128;
constexpr int kStateWarps = 4;
constexpr int kSegment = 2048;  // nodes of a warp in backward
constexpr int kMaxThreads = FftPlan::kMost / kFftItems;
// Scratch memory of the spectra and nodes; more channels wait for their turn.
constexpr int64_t kScratchBytes = int64_t{1} << 29;

struct KernelArguments {
  FftPlan plan;  // of the transforms of n / 2
  Circle circle;
  LowRankSystem system;
  int64_t length;
  int64_t first_channel;  // of this launch
  Point* spectrum;        // [channels, n / 2]: where element k1 n2 + k2 has frequency k1 + n1 k2
  float* K;
  const float* dK;
  Point* nodes;     // [channels, fields of a node, n / 2 + 1]
  Point* partials;  // [channels, segments, states, sums of a state]
};

__device__ int place_of(const FftPlan& plan, int frequency) {
  return (frequency & (plan.n1 - 1)) * plan.n2 + frequency / plan.n1;
}

__device__ double growth(const KernelArguments& a, int64_t l) {
  return exp(-static_cast<double>(l) * a.circle.log_radius);
}

// Taps 2 j and 2 j + 1.
__device__ void store_taps(const KernelArguments& a, int64_t item, int64_t j, Point z) {
  float* K = a.K + (a.first_channel + item) * a.length;
  const double scale = 1.0 / static_cast<double>(a.plan.n);
  if (2 * j < a.length) K[2 * j] = static_cast<float>(scale * growth(a, 2 * j) * z.re);
  if (2 * j + 1 < a.length) K[2 * j + 1] = static_cast<float>(scale * growth(a, 2 * j + 1) * z.im);
}
__device__ Point load_taps(const KernelArguments& a, int64_t item, int64_t j) {
  const float* dK = a.dK + (a.first_channel + item) * a.length;
  return {2 * j < a.length ? growth(a, 2 * j) * static_cast<double>(dK[2 * j]) : 0.0,
          2 * j + 1 < a.length ? growth(a, 2 * j + 1) * static_cast<double>(dK[2 * j + 1]) : 0.0};
}

// Some rows of a spectrum for each block: the first step from frequencies to taps, and the last one back.
template <bool kBackward>
__global__ void __launch_bounds__(kMaxThreads, 1) kernel_rows_kernel(KernelArguments a) {
  const FftLines at(a.plan.n2, a.plan.n1, true);
  Point* const row = a.spectrum + at.item * a.plan.n + static_cast<int64_t>(at.first) * a.plan.n2;
  const bool is_whole = !a.plan.is_cut();
  Point v[kFftItems];
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) {
    const int j = at.thread + i * at.stride;
    v[i] = kBackward && is_whole ? load_taps(a, at.item, j) : row[j];
  }
  block_fft<kBackward ? -1 : 1>(v, dynamic_shared<Point>(), a.plan.n2, at.thread, at.row, at.count);
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) {
    const int j = at.thread + i * at.stride;
    if (kBackward) {
      row[j] = v[i];
    } else if (is_whole) {
      store_taps(a, at.item, j, v[i]);
    } else {
      row[j] = v[i] * between<1, double>(a.plan, at.first, j);
    }
  }
}

// Some columns for each block, of transforms that are cut.
template <bool kBackward>
__global__ void __launch_bounds__(kMaxThreads, 1) kernel_columns_kernel(KernelArguments a) {
  const FftLines at(a.plan.n1, a.plan.n2, false);
  Point* const spectrum = a.spectrum + at.item * a.plan.n;
  Point v[kFftItems];
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) {
    const int64_t j = static_cast<int64_t>(at.thread + i * at.stride) * a.plan.n2 + at.first;
    v[i] = kBackward ? load_taps(a, at.item, j) : spectrum[j];
  }
  block_fft<kBackward ? -1 : 1>(v, dynamic_shared<Point>(), a.plan.n1, at.thread, at.row, at.count);
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) {
    const int k1 = at.thread + i * at.stride;
    const int64_t j = static_cast<int64_t>(k1) * a.plan.n2 + at.first;
    if (kBackward) {
      spectrum[j] = v[i] * between<-1, double>(a.plan, k1, at.first);
    } else {
      store_taps(a, at.item, j, v[i]);
    }
  }
}

// Which frequencies f and n / 2 - f a thread has: one block per (channel, kNodeThreads pairs), neighbouring threads
// with neighbouring places. Threads behind the end have the last pair, too, and store nothing.
struct Pair {
  int64_t item;
  int f, mirror;
  bool is_own;

  __device__ explicit Pair(const FftPlan& plan) {
    const int pairs = plan.n / 2 + 1, tiles = ceil_div(pairs, kNodeThreads);
    item = blockIdx.x / tiles;
    const int thread = static_cast<int>(blockIdx.x % tiles) * kNodeThreads + static_cast<int>(threadIdx.x);
    is_own = thread < pairs;
    const int i = min(thread, pairs - 1);
    const int half_row = plan.n2 / 2;
    f = i == plan.n / 2 ? i : i / half_row + plan.n1 * (i % half_row);
    mirror = plan.n - f;
  }
};

// Ranks above this meet one point at a time, since a thread has no registers for the sums of two.
constexpr int kMostRankOfTwo = 2;

// The generating function at both points of a pair, as the transform of n / 2 wants it.
template <int kRank>
__global__ void __launch_bounds__(kNodeThreads, 1) cauchy_kernel(KernelArguments a) {
  const Pair pair(a.plan);
  const int64_t d = a.first_channel + pair.item;
  Point X[2];
  if constexpr (kRank <= kMostRankOfTwo) {
    const Node nodes[2] = {node_of(a.circle, pair.f), node_of(a.circle, pair.mirror)};
    CauchySums<kRank> sums[2];
    cauchy_sums(a.system, d, nodes, sums);
#pragma unroll
    for (int i = 0; i < 2; ++i) X[i] = nodes[i].factor * Woodbury<kRank>(sums[i]).value;
  } else {
#pragma unroll 1
    for (int i = 0; i < 2; ++i) {
      const Node nodes[1] = {node_of(a.circle, i == 0 ? pair.f : pair.mirror)};
      CauchySums<kRank> sums[1];
      cauchy_sums(a.system, d, nodes, sums);
      const Point value = nodes[0].factor * Woodbury<kRank>(sums[0]).value;
      (i == 0 ? X[0] : X[1]) = value;
    }
  }
  if (!pair.is_own) return;
  const Point even = scaled(0.5, X[0] + conj(X[1]));
  const Point odd = scaled(0.5, X[0] - conj(X[1])) * cispi(static_cast<double>(pair.f) / static_cast<double>(a.plan.n));
  Point* spectrum = a.spectrum + pair.item * a.plan.n;
  spectrum[place_of(a.plan, pair.f)] = {even.re - odd.im, even.im + odd.re};
  if (pair.f > 0 && pair.f < pair.mirror) {
    spectrum[place_of(a.plan, pair.mirror)] = {even.re + odd.im, odd.re - even.im};
  }
}

// What a node keeps for its states: g, conj(dL/dX) 2 / (1 + omega), E and F.
template <int kRank>
constexpr int kNodeFields = 2 + 2 * kRank;

template <int kRank>
__device__ void store_node(const KernelArguments& a, int64_t item, int k, const Node& node,
                           const CauchySums<kRank>& sums, Point gradient) {
  const Woodbury<kRank> woodbury(sums);
  const int64_t count = a.plan.n + 1;
  Point* to = a.nodes + item * kNodeFields<kRank> * count + k;
  to[0] = node.g;
  to[count] = conj(gradient) * node.factor;
#pragma unroll
  for (int r = 0; r < kRank; ++r) {
    to[(2 + r) * count] = scaled(-1.0, woodbury.left[r]);
    to[(2 + kRank + r) * count] = scaled(-1.0, woodbury.right[r]);
  }
}

// The blocks of cauchy_kernel.
template <int kRank>
__global__ void __launch_bounds__(kNodeThreads, 1) cauchy_nodes_backward_kernel(KernelArguments a) {
  const Pair pair(a.plan);
  const int64_t d = a.first_channel + pair.item;
  const Point* spectrum = a.spectrum + pair.item * a.plan.n;
  const Point one = spectrum[place_of(a.plan, pair.f)];
  const Point other = conj(spectrum[place_of(a.plan, pair.mirror & (a.plan.n - 1))]);
  const Point turn = cispi(-static_cast<double>(pair.f) / static_cast<double>(a.plan.n));
  const Point even = scaled(0.5, one + other), difference = scaled(0.5, one - other);
  const Point odd = turn * Point{difference.im, -difference.re};
  // Points 0 and n / 2 stand once in the sum over k, the others for two.
  const double scale = (pair.f == 0 ? 0.5 : 1.0) / static_cast<double>(a.plan.n);
  const Point gradients[2] = {scaled(scale, even + odd), scaled(scale, conj(even - odd))};
#pragma unroll 1
  for (int i = 0; i < 2; ++i) {
    const int k = i == 0 ? pair.f : pair.mirror;
    const Node nodes[1] = {node_of(a.circle, k)};
    CauchySums<kRank> sums[1];
    cauchy_sums(a.system, d, nodes, sums);
    if (pair.is_own) store_node(a, pair.item, k, nodes[0], sums[0], i == 0 ? gradients[0] : gradients[1]);
  }
}

// Sums of a state: those of x_a and y_b, and that of w.
template <int kRank>
constexpr int kStateSums = 2 * (kRank + 1) + 1;

// One warp per (channel, segment of nodes, state); the warps of a block have neighbouring states.
template <int kRank>
__global__ void __launch_bounds__(kStateWarps* kWarpSize) cauchy_states_backward_kernel(KernelArguments a) {
  const int states = static_cast<int>(a.system.states), groups = ceil_div(states, kStateWarps);
  const int count = a.plan.n + 1, segments = ceil_div(count, kSegment);
  const int64_t task = blockIdx.x / groups, item = task / segments, d = a.first_channel + item;
  const int segment = static_cast<int>(task % segments);
  const int n = static_cast<int>(blockIdx.x % groups) * kStateWarps + warp_index(), own = min(n, states - 1);
  const LowRankState<kRank> state(a.system, d, own);
  const Point w = scaled(static_cast<double>(a.system.dt[d]), load_complex(a.system.A, d * states + own));
  Point sums[kStateSums<kRank>] = {};
  const Point* nodes = a.nodes + item * kNodeFields<kRank> * count;
  const int end = min(count, (segment + 1) * kSegment);
  for (int k = segment * kSegment + lane_index(); k < end; k += kWarpSize) {
    Point g = nodes[k], gradient = nodes[count + k], E[kRank], F[kRank];
#pragma unroll
    for (int r = 0; r < kRank; ++r) {
      E[r] = nodes[static_cast<int64_t>(2 + r) * count + k];
      F[r] = nodes[static_cast<int64_t>(2 + kRank + r) * count + k];
    }
    // The state, and its conjugate at the conjugate node: the same formula with everything of the node conjugate.
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      Point left = state.x[0], right = state.y[0];
#pragma unroll
      for (int r = 0; r < kRank; ++r) {
        left = left + state.x[r + 1] * E[r];
        right = right + state.y[r + 1] * F[r];
      }
      const Point resolvent = reciprocal(g - w), scaled_by = gradient * resolvent;
      const Point to_x = scaled_by * right, to_y = scaled_by * left;
      sums[0] = sums[0] + to_x;
      sums[1] = sums[1] + to_y;
      sums[2] = sums[2] + to_x * left * resolvent;
#pragma unroll
      for (int r = 0; r < kRank; ++r) {
        sums[3 + 2 * r] = sums[3 + 2 * r] + E[r] * to_x;
        sums[4 + 2 * r] = sums[4 + 2 * r] + F[r] * to_y;
        E[r] = conj(E[r]);
        F[r] = conj(F[r]);
      }
      g = conj(g);
      gradient = conj(gradient);
    }
  }
  Point* to = a.partials + ((item * segments + segment) * states + own) * kStateSums<kRank>;
#pragma unroll
  for (int i = 0; i < kStateSums<kRank>; ++i) {
    const Point total = {warp_sum(sums[i].re), warp_sum(sums[i].im)};
    if (lane_index() == 0 && n < states) to[i] = total;
  }
}

struct Gradients {
  float *dA, *dP, *dB, *dC;
  double* ddt;  // each state's share
};

// One thread for each state: adds the segments in order. K knows dt only in dt A, sqrt(dt) P and dt B, which gives ddt.
__global__ void __launch_bounds__(kElementwiseThreads)
    s4_kernel_gradients_kernel(KernelArguments a, int64_t channels, int segments, int sums, Gradients to) {
  const LowRankSystem& system = a.system;
  if (global_thread() >= channels * system.states) return;
  const int64_t item = global_thread() / system.states, n = global_thread() % system.states;
  const int64_t i = (a.first_channel + item) * system.states + n;
  const double dt = static_cast<double>(system.dt[a.first_channel + item]);
  const auto total = [&](int which) {
    Point sum = {0, 0};
    for (int segment = 0; segment < segments; ++segment) {
      sum = sum + a.partials[((item * segments + segment) * system.states + n) * sums + which];
    }
    return scaled(dt, sum);
  };
  const auto share = [](Point x, Point dx) { return x.re * dx.re + x.im * dx.im; };
  const Point dA = scaled(dt, conj(total(2))), dB = conj(total(1));
  store_complex(to.dC, i, conj(total(0)));
  store_complex(to.dB, i, dB);
  store_complex(to.dA, i, dA);
  double ddt = share(load_complex(system.A, i), dA) + share(load_complex(system.B, i), dB);
  for (int r = 0; r < system.rank; ++r) {
    // P is one of the y, and conj(P) one of the x.
    const Point dP = conj(total(4 + 2 * r)) + total(3 + 2 * r);
    const int64_t at = r * system.dim * system.states + i;
    store_complex(to.dP, at, dP);
    ddt += 0.5 * share(load_complex(system.P, at), dP);
  }
  to.ddt[i] = ddt / dt;
}

template <typename Op>
KernelArguments arguments_of(const Op& op, int64_t length) {
  KernelArguments a = {};
  // A half more than the taps leaves enough between the two errors.
  a.plan = FftPlan::of(ceil_div<int64_t>(3 * length, 4));
  a.circle.n = 2 * a.plan.n;
  // rho^n, what is left of later taps, equals 1e-12 rho^-length, the roundings.
  const double size = static_cast<double>(a.circle.n);
  a.circle.log_radius = std::log(1e-12) / (size + static_cast<double>(length));
  a.circle.radius = std::exp(a.circle.log_radius);
  a.circle.gap = -std::expm1(a.circle.log_radius);
  a.system = {op.dt.template as<float>(),
              op.A.template as<float>(),
              op.P.template as<float>(),
              op.B.template as<float>(),
              op.C.template as<float>(),
              op.A.dim(0),
              op.A.dim(1),
              static_cast<int>(op.P.dim(0))};
  a.length = length;
  return a;
}

LaunchShape pairs_shape(const KernelArguments& a, int64_t channels) {
  const int64_t tiles = ceil_div(a.plan.n / 2 + 1, kNodeThreads);
  return {dim3(static_cast<unsigned>(channels * tiles)), dim3(kNodeThreads)};
}

// f(arguments, channels) for as many neighbouring channels at a time as fit.
template <typename F>
void for_channels(KernelArguments& a, int64_t bytes_per_channel, F f) {
  const int64_t most = std::clamp<int64_t>(kScratchBytes / bytes_per_channel, 1, a.system.dim);
  for (a.first_channel = 0; a.first_channel < a.system.dim; a.first_channel += most) {
    f(std::min(most, a.system.dim - a.first_channel));
  }
}

template <bool kBackward>
void transform(const KernelArguments& a, int64_t channels, cudaStream_t stream) {
  const LaunchShape rows = lines_shape<double>(channels, a.plan.n2, a.plan.n1);
  if (!a.plan.is_cut()) return launch(kernel_rows_kernel<kBackward>, rows, stream, a);
  const LaunchShape columns = lines_shape<double>(channels, a.plan.n1, a.plan.n2);
  if constexpr (kBackward) launch(kernel_columns_kernel<true>, columns, stream, a);
  launch(kernel_rows_kernel<kBackward>, rows, stream, a);
  if constexpr (!kBackward) launch(kernel_columns_kernel<false>, columns, stream, a);
}

template <int kRank>
void backward(const S4KernelBackward& op, Context& context) {
  KernelArguments a = arguments_of(op, op.dK.dim(1));
  a.dK = op.dK.as<float>();
  const int64_t states = a.system.states, spectrum = a.plan.n, nodes = kNodeFields<kRank> * (a.plan.n + 1);
  const int segments = ceil_div(a.plan.n + 1, kSegment);
  const int64_t partials = segments * states * kStateSums<kRank>;
  const int64_t bytes = static_cast<int64_t>(sizeof(Point)) * (spectrum + nodes + partials);
  double* ddt = context.scratch<double>(static_cast<size_t>(a.system.dim * states));
  Point* memory = nullptr;
  for_channels(a, bytes, [&](int64_t channels) {
    if (!memory)
      memory = context.scratch<Point>(static_cast<size_t>(bytes / static_cast<int64_t>(sizeof(Point)) * channels));
    a.spectrum = memory;
    a.nodes = memory + channels * spectrum;
    a.partials = a.nodes + channels * nodes;
    transform<true>(a, channels, context.stream);
    if (states > 0) {
      launch(cauchy_nodes_backward_kernel<kRank>, pairs_shape(a, channels), context.stream, a);
      const int64_t blocks = channels * segments * ceil_div<int64_t>(states, kStateWarps);
      launch(cauchy_states_backward_kernel<kRank>, {dim3(static_cast<unsigned>(blocks)), dim3(kStateWarps * kWarpSize)},
             context.stream, a);
      launch_each(s4_kernel_gradients_kernel, channels * states, context, a, channels, segments, kStateSums<kRank>,
                  Gradients{op.dA.as<float>(), op.dP.as<float>(), op.dB.as<float>(), op.dC.as<float>(), ddt});
    }
  });
  sum_states(ddt, a.system.dim, states, op.ddt.as<float>(), context);
}

// f with the least rank that has code: 1, 2 or 4.
template <typename F>
void for_rank(int64_t rank, const F& f) {
  if (rank == 1) return f.template operator()<1>();
  if (rank == 2) return f.template operator()<2>();
  f.template operator()<4>();
}

}  // namespace

template <>
void run(const S4KernelForward& op, Context& context) {
  if (op.K.size() == 0) return;
  KernelArguments a = arguments_of(op, op.length);
  a.K = op.K.as<float>();
  const int64_t bytes = static_cast<int64_t>(sizeof(Point)) * a.plan.n;
  for_channels(a, bytes, [&](int64_t channels) {
    if (!a.spectrum) a.spectrum = context.scratch<Point>(static_cast<size_t>(channels * a.plan.n));
    for_rank(a.system.rank,
             [&]<int kRank>() { launch(cauchy_kernel<kRank>, pairs_shape(a, channels), context.stream, a); });
    transform<false>(a, channels, context.stream);
  });
}

template <>
void run(const S4KernelBackward& op, Context& context) {
  if (op.A.dim(0) == 0) return;
  for_rank(op.P.dim(0), [&]<int kRank>() { backward<kRank>(op, context); });
}

}  // namespace statespace::cuda
