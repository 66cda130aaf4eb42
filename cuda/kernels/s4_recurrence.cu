// In double, with half = dt / 2, delta = 1 / (1 - half A) and the lanes of a group sharing the states of one system:
//   h <- a h - sum over r of U_r t_r + b u,  t_r = Re sum over n of V_r h,  y = Re sum over n of c h + D u,
//   a = 2 delta - 1,  V_r = 2 conj(P_r) delta,  U = dt delta P H,  H = (1 + half Re sum of V_r P_s)^-1,
//   b = B̄ = dt delta B - half sum over r of U_r Re sum of V_r B,  c = 2 C.
#include "cpp/ops/s4_recurrence.h"

#include "cuda/device/complex.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {
namespace {

using Point = Complex<double>;

constexpr int kThreads = 128;

template <int kRank>
struct SteppedState {
  Point a, b, c, U[kRank], V[kRank];
};

struct RecurrenceArguments {
  const float *dt, *A, *P, *B, *C, *D;  // D may be null
  int64_t batch, length, dim, states;
  int rank;
  Floats u, y;
  int64_t batch_stride, step;  // of u
  const float* initial_state;  // may be null, as last_state
  float* last_state;
  void* systems;  // SteppedState [dim, states]
};

// Re(a b)
__device__ inline double real_of_product(Point a, Point b) { return a.re * b.re - a.im * b.im; }

// The inverse of a matrix with a positive definite symmetric part, which needs no pivots.
template <int kRank>
__device__ void invert(double (&G)[kRank][kRank]) {
#pragma unroll
  for (int k = 0; k < kRank; ++k) {
    const double pivot = 1.0 / G[k][k];
    G[k][k] = 1.0;
#pragma unroll
    for (int j = 0; j < kRank; ++j) G[k][j] *= pivot;
#pragma unroll
    for (int i = 0; i < kRank; ++i) {
      if (i == k) continue;
      const double factor = G[i][k];
      G[i][k] = 0.0;
#pragma unroll
      for (int j = 0; j < kRank; ++j) G[i][j] -= factor * G[k][j];
    }
  }
}

// What the system of a channel is made of, at one state; ranks between kRank's have zeros behind.
template <int kRank>
struct Parts {
  Point delta, B, p[kRank], V[kRank];

  __device__ Parts(const RecurrenceArguments& s, int64_t d, int64_t n) {
    const int64_t i = d * s.states + n;
    delta = reciprocal(Point{1, 0} - scaled(0.5 * static_cast<double>(s.dt[d]), load_complex(s.A, i)));
    B = load_complex(s.B, i);
#pragma unroll
    for (int r = 0; r < kRank; ++r) {
      p[r] = r < s.rank ? load_complex(s.P, r * s.dim * s.states + i) : Point{0, 0};
      V[r] = scaled(2.0, conj(p[r]) * delta);
    }
  }
};

// One warp for each channel.
template <int kRank>
__global__ void __launch_bounds__(kThreads) prepare_systems_kernel(RecurrenceArguments s) {
  const int64_t index = static_cast<int64_t>(blockIdx.x) * (kThreads / kWarpSize) + warp_index();
  const int64_t d = min(index, s.dim - 1);
  const double dt = static_cast<double>(s.dt[d]), half = 0.5 * dt;
  double H[kRank][kRank] = {}, input[kRank] = {};
  for (int64_t n = lane_index(); n < s.states; n += kWarpSize) {
    const Parts<kRank> parts(s, d, n);
#pragma unroll
    for (int r = 0; r < kRank; ++r) {
      input[r] += real_of_product(parts.V[r], parts.B);
#pragma unroll
      for (int q = 0; q < kRank; ++q) H[r][q] += half * real_of_product(parts.V[r], parts.p[q]);
    }
  }
#pragma unroll
  for (int r = 0; r < kRank; ++r) {
    input[r] = warp_sum(input[r]);
#pragma unroll
    for (int q = 0; q < kRank; ++q) H[r][q] = warp_sum(H[r][q]) + (r == q ? 1.0 : 0.0);
  }
  invert(H);
  if (index >= s.dim) return;
  SteppedState<kRank>* to = static_cast<SteppedState<kRank>*>(s.systems) + d * s.states;
  for (int64_t n = lane_index(); n < s.states; n += kWarpSize) {
    const Parts<kRank> parts(s, d, n);
    SteppedState<kRank> state;
    state.a = scaled(2.0, parts.delta) - Point{1, 0};
    state.b = scaled(dt, parts.delta * parts.B);
    state.c = scaled(2.0, load_complex(s.C, d * s.states + n));
#pragma unroll
    for (int r = 0; r < kRank; ++r) {
      Point sum = {0, 0};
#pragma unroll
      for (int q = 0; q < kRank; ++q) sum = sum + scaled(H[q][r], parts.p[q]);
      state.U[r] = scaled(dt, parts.delta * sum);
      state.V[r] = parts.V[r];
      state.b = state.b - scaled(half * input[r], state.U[r]);
    }
    to[n] = state;
  }
}

// kLanes lanes for each (sequence, channel), kItems states each; neighbouring groups have neighbouring channels, whose
// steps share sectors of memory. Steps come in as many at a time as there are lanes, and leave so.
template <int kRank, int kLanes, int kItems>
__global__ void __launch_bounds__(kThreads) s4_recurrence_kernel(RecurrenceArguments s) {
  const int64_t systems = s.batch * s.dim;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * (kThreads / kLanes) + threadIdx.x / kLanes;
  const int64_t own = min(index, systems - 1), batch = own / s.dim, d = own % s.dim;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  const bool is_own = index < systems;
  const SteppedState<kRank>* from = static_cast<const SteppedState<kRank>*>(s.systems) + d * s.states;
  SteppedState<kRank> state[kItems];
  Point h[kItems];
  double t[kRank] = {};
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int64_t n = lane + i * kLanes;
    state[i] = n < s.states ? from[n] : SteppedState<kRank>{};
    h[i] = n < s.states && s.initial_state ? load_complex(s.initial_state, own * s.states + n) : Point{0, 0};
#pragma unroll
    for (int r = 0; r < kRank; ++r) t[r] += real_of_product(state[i].V[r], h[i]);
  }
#pragma unroll
  for (int r = 0; r < kRank; ++r) t[r] = warp_sum<kLanes>(t[r]);
  const double D = s.D ? static_cast<double>(s.D[d]) : 0.0;
  for (int64_t begin = 0; begin < s.length; begin += kLanes) {
    const int64_t at = begin + lane;
    const float own_u = at < s.length ? load_float(s.u, batch * s.batch_stride + at * s.step + d) : 0.0f;
    float own_y = 0.0f;
    const int count = static_cast<int>(min(s.length - begin, static_cast<int64_t>(kLanes)));
    for (int step = 0; step < count; ++step) {
      const double u = static_cast<double>(__shfl_sync(kFullWarp, own_u, step, kLanes));
      double next[kRank] = {}, y = 0.0;
#pragma unroll
      for (int i = 0; i < kItems; ++i) {
        Point x = state[i].a * h[i] + scaled(u, state[i].b);
#pragma unroll
        for (int r = 0; r < kRank; ++r) x = x - scaled(t[r], state[i].U[r]);
        h[i] = x;
#pragma unroll
        for (int r = 0; r < kRank; ++r) next[r] += real_of_product(state[i].V[r], x);
        y += real_of_product(state[i].c, x);
      }
#pragma unroll
      for (int r = 0; r < kRank; ++r) t[r] = warp_sum<kLanes>(next[r]);
      y = warp_sum<kLanes>(y) + D * u;
      if (lane == step) own_y = static_cast<float>(y);
    }
    if (is_own && at < s.length) store_float(s.y, (batch * s.length + at) * s.dim + d, own_y);
  }
  if (!s.last_state || !is_own) return;
#pragma unroll
  for (int i = 0; i < kItems; ++i) {
    const int64_t n = lane + i * kLanes;
    if (n < s.states) store_complex(s.last_state, own * s.states + n, h[i]);
  }
}

template <int kRank, int kLanes, int kItems>
void step(const RecurrenceArguments& s, Context& context) {
  const int64_t blocks = ceil_div<int64_t>(s.batch * s.dim, kThreads / kLanes);
  launch(s4_recurrence_kernel<kRank, kLanes, kItems>, {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)},
         context.stream, s);
}

template <int kRank>
void run_rank(RecurrenceArguments s, Context& context) {
  s.systems = context.scratch<SteppedState<kRank>>(static_cast<size_t>(s.dim * s.states));
  const int64_t blocks = ceil_div<int64_t>(s.dim, kThreads / kWarpSize);
  launch(prepare_systems_kernel<kRank>, {dim3(static_cast<unsigned>(blocks)), dim3(kThreads)}, context.stream, s);
  if (s.states <= 8) return step<kRank, 8, 1>(s, context);
  if (s.states <= 32) return step<kRank, 32, 1>(s, context);
  static_assert(kMaxRecurrenceStates <= 4 * kWarpSize);
  step<kRank, 32, 4>(s, context);
}

}  // namespace

template <>
void run(const S4Recurrence& op, Context& context) {
  RecurrenceArguments s = {};
  s.dt = op.dt.as<float>();
  s.A = op.A.as<float>();
  s.P = op.P.as<float>();
  s.B = op.B.as<float>();
  s.C = op.C.as<float>();
  s.D = op.D.as<float>();
  s.batch = op.u.dim(0);
  s.length = op.u.dim(1);
  s.dim = op.A.dim(0);
  s.states = op.A.dim(1);
  s.rank = static_cast<int>(op.P.dim(0));
  s.u = op.u;
  s.batch_stride = op.u.stride(0);
  s.step = op.u.stride(1);
  s.y = op.y;
  s.initial_state = op.initial_state.as<float>();
  s.last_state = op.last_state.as<float>();
  if (s.batch * s.dim == 0) return;
  if (s.rank == 1) return run_rank<1>(s, context);
  if (s.rank == 2) return run_rank<2>(s, context);
  run_rank<4>(s, context);
}

}  // namespace statespace::cuda
