// The generating function of an S4 kernel, sum over l of K[l] omega^l = C (1 - Ā omega)^-1 B̄, at points of a circle
// around 0. With the bilinear rule it is a resolvent of A - P P* (math.md 2.5, with g = 2 (1 - omega) / (1 + omega)),
//   2 / (1 + omega) (k00 - k01 (1 + k11)^-1 k10),  k_ab = sum over n of v / (g - w) + conj(v) / (g - conj(w)),
//   v = dt x_a y_b,  w = dt A,  x = (C, conj(P)),  y = (B, P),
// the conjugates being those of the other half of the states.
#pragma once

#include "cuda/device/complex.cuh"
#include "cuda/device/shared.cuh"

namespace statespace::cuda {

using Point = Complex<double>;

// n points omega_k = radius exp(-2 pi i k / n).
struct Circle {
  int n;
  double log_radius, radius, gap;  // gap = 1 - radius
};

struct Node {
  Point g, factor;  // factor = 2 / (1 + omega)
};

// By halves of the angle, so that 1 - omega and 1 + omega keep their digits where they are small.
__device__ inline Node node_of(const Circle& circle, int k) {
  const Point half = cispi(static_cast<double>(k) / static_cast<double>(circle.n));
  const double twice = 2 * circle.radius;
  const Point below = {circle.gap + twice * half.im * half.im, twice * half.im * half.re};
  const Point factor = scaled(2.0, reciprocal(Point{circle.gap + twice * half.re * half.re, -below.im}));
  return {below * factor, factor};
}

struct LowRankSystem {
  const float *dt, *A, *P, *B, *C;
  int64_t dim, states;
  int rank;
};

// One state's share of the sums: with both fractions on one denominator, v / (g - w) + conj(v) / (g - conj(w)) is
// (alpha g - beta) / ((g - w) (g - conj(w))).
template <int kRank>
struct CauchyTerm {
  Point w;
  double alpha[kRank + 1][kRank + 1], beta[kRank + 1][kRank + 1];
};

// State n of channel d, scaled so that dt stands in v alone; ranks between kRank's have zeros behind.
template <int kRank>
struct LowRankState {
  Point x[kRank + 1], y[kRank + 1];

  __device__ LowRankState(const LowRankSystem& system, int64_t d, int64_t n) {
    const int64_t i = d * system.states + n;
    x[0] = load_complex(system.C, i);
    y[0] = load_complex(system.B, i);
#pragma unroll
    for (int r = 1; r <= kRank; ++r) {
      y[r] = r <= system.rank ? load_complex(system.P, (r - 1) * system.dim * system.states + i) : Point{0, 0};
      x[r] = conj(y[r]);
    }
  }
};

template <int kRank>
__device__ CauchyTerm<kRank> term_of(const LowRankSystem& system, int64_t d, int64_t n) {
  const double dt = static_cast<double>(system.dt[d]);
  const LowRankState<kRank> state(system, d, n);
  CauchyTerm<kRank> term;
  term.w = scaled(dt, load_complex(system.A, d * system.states + n));
#pragma unroll
  for (int a = 0; a <= kRank; ++a) {
#pragma unroll
    for (int b = 0; b <= kRank; ++b) {
      const Point v = scaled(2 * dt, state.x[a] * state.y[b]);
      term.alpha[a][b] = v.re;
      term.beta[a][b] = v.re * term.w.re + v.im * term.w.im;
    }
  }
  return term;
}

template <int kRank>
struct CauchySums {
  Point k[kRank + 1][kRank + 1];
};

// Terms of a channel that a block holds at a time.
constexpr int kTerms = 16;

// The sums of channel d at kNodes points; all threads of the block must call it, for one channel.
template <int kRank, int kNodes>
__device__ void cauchy_sums(const LowRankSystem& system, int64_t d, const Node (&nodes)[kNodes],
                            CauchySums<kRank> (&sums)[kNodes]) {
  auto& terms = block_shared<CauchyTerm<kRank>[kTerms], struct Terms>();
#pragma unroll
  for (int i = 0; i < kNodes; ++i) sums[i] = {};
  for (int64_t first = 0; first < system.states; first += kTerms) {
    const int count = static_cast<int>(min(system.states - first, static_cast<int64_t>(kTerms)));
    __syncthreads();  // the terms before these have been read
    if (static_cast<int>(threadIdx.x) < count) terms[threadIdx.x] = term_of<kRank>(system, d, first + threadIdx.x);
    __syncthreads();  // `terms` are written
    for (int n = 0; n < count; ++n) {
      const CauchyTerm<kRank>& term = terms[n];
#pragma unroll
      for (int i = 0; i < kNodes; ++i) {
        const Point g = nodes[i].g, inverse = reciprocal((g - term.w) * (g - conj(term.w)));
#pragma unroll
        for (int a = 0; a <= kRank; ++a) {
#pragma unroll
          for (int b = 0; b <= kRank; ++b) {
            const Point numerator = {term.alpha[a][b] * g.re - term.beta[a][b], term.alpha[a][b] * g.im};
            sums[i].k[a][b] = sums[i].k[a][b] + numerator * inverse;
          }
        }
      }
    }
  }
}

// (1 + k11)^-1 k10, and k01 (1 + k11)^-1. Where Re g > 0 >= Re A, 1 + k11 has a positive definite Hermitian part and
// needs no pivots.
template <int kRank>
struct Woodbury {
  Point right[kRank], left[kRank];
  Point value;  // k00 - k01 (1 + k11)^-1 k10

  __device__ explicit Woodbury(const CauchySums<kRank>& sums) {
    Point lu[kRank][kRank];
#pragma unroll
    for (int r = 0; r < kRank; ++r) {
      right[r] = sums.k[r + 1][0];
      left[r] = sums.k[0][r + 1];
#pragma unroll
      for (int s = 0; s < kRank; ++s) lu[r][s] = sums.k[r + 1][s + 1] + Point{r == s ? 1.0 : 0.0, 0};
    }
    // L U with L's diagonal 1 and the inverses of U's in their places; L of `right` and U of `left` at once.
#pragma unroll
    for (int i = 0; i < kRank; ++i) {
      lu[i][i] = reciprocal(lu[i][i]);
      left[i] = left[i] * lu[i][i];
#pragma unroll
      for (int r = i + 1; r < kRank; ++r) {
        const Point factor = lu[r][i] * lu[i][i];
        lu[r][i] = factor;
        right[r] = right[r] - factor * right[i];
        left[r] = left[r] - left[i] * lu[i][r];
#pragma unroll
        for (int s = i + 1; s < kRank; ++s) lu[r][s] = lu[r][s] - factor * lu[i][s];
      }
    }
#pragma unroll
    for (int i = kRank - 1; i >= 0; --i) {
      right[i] = right[i] * lu[i][i];
#pragma unroll
      for (int r = 0; r < i; ++r) {
        right[r] = right[r] - lu[r][i] * right[i];
        left[r] = left[r] - left[i] * lu[i][r];
      }
    }
    value = sums.k[0][0];
#pragma unroll
    for (int r = 0; r < kRank; ++r) value = value - sums.k[0][r + 1] * right[r];
  }
};

}  // namespace statespace::cuda
