// Diagonal plus low rank systems under the bilinear rule, in double, neighbouring channels across the lanes. On the
// stored half of the conjugate pairs, with half = dt / 2 and delta = 1 / (1 - half A), the step of s4_kernel.h is again
// diagonal plus low rank:
//   Ā h = a h - sum over r of U_r t_r,  t_r = Re sum over n of V_r h,
//   a = 2 delta - 1,  V_r = 2 conj(P_r) delta,  U = dt delta P H,  H = (1 + half Re sum of V_r P_s)^-1,
//   B̄ = dt delta B - half sum over r of U_r Re sum of V_r B.
// Where Re A <= 0, Ā is a contraction and H is the inverse of a matrix whose symmetric part is at least 1.
#pragma once
#include <algorithm>

#include "cpp/cpu/complex.h"
#include "cpp/cpu/simd_vector.h"

namespace statespace::cpu::STATESPACE_ISA {

constexpr int64_t kChannels = kWidth / 2;
typedef double Doubles __attribute__((vector_size(8 * kChannels)));

STATESPACE_INLINE Doubles spread(double x) { return x - Doubles{}; }

struct Complexes {
  Doubles re, im;
};
STATESPACE_INLINE Complexes operator+(Complexes a, Complexes b) { return {a.re + b.re, a.im + b.im}; }
STATESPACE_INLINE Complexes operator-(Complexes a, Complexes b) { return {a.re - b.re, a.im - b.im}; }
STATESPACE_INLINE Complexes operator*(Doubles k, Complexes a) { return {k * a.re, k * a.im}; }
STATESPACE_INLINE Complexes operator*(double k, Complexes a) { return {k * a.re, k * a.im}; }
STATESPACE_INLINE Complexes operator*(Complexes a, Complexes b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
STATESPACE_INLINE Complexes conj(Complexes a) { return {a.re, -a.im}; }
// Re(a b), and Re(conj(a) b).
STATESPACE_INLINE Doubles real_of_product(Complexes a, Complexes b) { return a.re * b.re - a.im * b.im; }
STATESPACE_INLINE Doubles inner(Complexes a, Complexes b) { return a.re * b.re + a.im * b.im; }

// A block of neighbouring channels: `lanes` of them, the others are zero.
struct ChannelBlock {
  int64_t first, lanes, dim, states;

  static int64_t count(int64_t dim) { return (dim + kChannels - 1) / kChannels; }
  ChannelBlock(int64_t block, int64_t dim, int64_t states)
      : first(block * kChannels), lanes(std::min(kChannels, dim - first)), dim(dim), states(states) {}

  Doubles load(const Tensor& t) const {
    Doubles v{};
    for (int64_t i = 0; i < lanes; ++i) v[i] = static_cast<const float*>(t.data)[first + i];
    return v;
  }
  // State n of (rows, dim, states, 2).
  Complexes load_pairs(const Tensor& t, int64_t n, int64_t row = 0) const {
    Complexes v{};
    for (int64_t i = 0; i < lanes; ++i) {
      const Complex z = load_pair(t, (row * dim + first + i) * states + n);
      v.re[i] = z.re;
      v.im[i] = z.im;
    }
    return v;
  }
  void store_pairs(const Tensor& t, int64_t n, Complexes v, int64_t row = 0) const {
    for (int64_t i = 0; i < lanes; ++i) {
      store_pair(t, (row * dim + first + i) * states + n, {v.re[i], v.im[i]});
    }
  }
};

// One state of the discrete system; `c` is 2 C. Ranks between kRank's have zeros behind.
template <int kRank>
struct S4Mode {
  Complexes a, c, b;
  Complexes U[kRank], V[kRank];
};

// The inverse of a matrix with a positive definite symmetric part, which needs no pivots.
template <int kRank>
STATESPACE_INLINE void invert(Doubles (&G)[kRank][kRank]) {
  for (int k = 0; k < kRank; ++k) {
    const Doubles pivot = 1.0 / G[k][k];
    G[k][k] = spread(1.0);
    for (int j = 0; j < kRank; ++j) G[k][j] *= pivot;
    for (int i = 0; i < kRank; ++i) {
      if (i == k) continue;
      const Doubles factor = G[i][k];
      G[i][k] = Doubles{};
      for (int j = 0; j < kRank; ++j) G[i][j] -= factor * G[k][j];
    }
  }
}

template <int kRank>
struct S4System {
  ChannelBlock block;
  int rank;
  Doubles dt, half;
  Doubles H[kRank][kRank], input[kRank];  // input[r] = Re sum of V_r B

  template <typename Op>
  S4System(const Op& op, int64_t block_index)
      : block(block_index, op.A.shape[0], op.A.shape[1]),
        rank(static_cast<int>(op.P.shape[0])),
        dt(block.load(op.dt)),
        half(0.5 * dt) {
    for (int r = 0; r < kRank; ++r) {
      input[r] = Doubles{};
      for (int s = 0; s < kRank; ++s) H[r][s] = spread(r == s ? 1.0 : 0.0);
    }
    for (int64_t n = 0; n < block.states; ++n) {
      Complexes p[kRank];
      load_low_rank(op.P, n, p);
      const Complexes delta = delta_of(op.A, n), b = block.load_pairs(op.B, n);
      for (int r = 0; r < kRank; ++r) {
        const Complexes V = 2.0 * (conj(p[r]) * delta);
        input[r] += real_of_product(V, b);
        for (int s = 0; s < kRank; ++s) H[r][s] += half * real_of_product(V, p[s]);
      }
    }
    invert(H);
  }

  Complexes delta_of(const Tensor& A, int64_t n) const {
    const Complexes z = half * block.load_pairs(A, n), one_minus = {1.0 - z.re, -z.im};
    const Doubles scale = 1.0 / (one_minus.re * one_minus.re + one_minus.im * one_minus.im);
    return {one_minus.re * scale, -one_minus.im * scale};
  }

  void load_low_rank(const Tensor& P, int64_t n, Complexes (&p)[kRank]) const {
    for (int r = 0; r < kRank; ++r) p[r] = r < rank ? block.load_pairs(P, n, r) : Complexes{};
  }

  template <typename Op>
  S4Mode<kRank> mode(const Op& op, int64_t n) const {
    Complexes p[kRank];
    load_low_rank(op.P, n, p);
    const Complexes delta = delta_of(op.A, n);
    S4Mode<kRank> m;
    m.a = {2.0 * delta.re - 1.0, 2.0 * delta.im};
    m.c = 2.0 * block.load_pairs(op.C, n);
    m.b = dt * (delta * block.load_pairs(op.B, n));
    for (int s = 0; s < kRank; ++s) {
      Complexes sum{};
      for (int r = 0; r < kRank; ++r) sum = sum + H[r][s] * p[r];
      m.U[s] = dt * (delta * sum);
      m.V[s] = 2.0 * (conj(p[s]) * delta);
      m.b = m.b - (half * input[s]) * m.U[s];
    }
    return m;
  }
};

// What a state says to the next step and to the output: t_r, and y = Re sum of c h.
template <int kRank>
struct S4Readings {
  Doubles t[kRank] = {}, y = {};

  STATESPACE_INLINE void add(const S4Mode<kRank>& mode, Complexes h) {
    for (int r = 0; r < kRank; ++r) t[r] += real_of_product(mode.V[r], h);
    y += real_of_product(mode.c, h);
  }
  STATESPACE_INLINE S4Readings operator+(const S4Readings& other) const {
    S4Readings sum;
    for (int r = 0; r < kRank; ++r) sum.t[r] = t[r] + other.t[r];
    sum.y = y + other.y;
    return sum;
  }
};

template <int kRank>
S4Readings<kRank> read_state(const S4Mode<kRank>* modes, const Complexes* h, int64_t states) {
  S4Readings<kRank> readings;
  for (int64_t n = 0; n < states; ++n) readings.add(modes[n], h[n]);
  return readings;
}

// next = Ā h + B̄ u, with the t of h; next may be h. Two chains of sums, since one would wait for itself.
template <int kRank, bool kHasInput>
STATESPACE_INLINE S4Readings<kRank> advance(const S4Mode<kRank>* modes, const Complexes* h, Complexes* next,
                                            int64_t states, const S4Readings<kRank>& now, Doubles u) {
  S4Readings<kRank> even, odd;
  const auto step = [&](int64_t n, S4Readings<kRank>& readings) {
    const S4Mode<kRank>& mode = modes[n];
    Complexes x = mode.a * h[n];
    for (int r = 0; r < kRank; ++r) x = x - now.t[r] * mode.U[r];
    if constexpr (kHasInput) x = x + u * mode.b;
    next[n] = x;
    readings.add(mode, x);
  };
  int64_t n = 0;
  for (; n + 1 < states; n += 2) {
    step(n, even);
    step(n + 1, odd);
  }
  if (n < states) step(n, even);
  return even + odd;
}

// f with the least rank that has code: 1, 2 or 4.
template <typename F>
void for_rank(int64_t rank, const F& f) {
  if (rank == 1) return f.template operator()<1>();
  if (rank == 2) return f.template operator()<2>();
  f.template operator()<4>();
}

}  // namespace statespace::cpu::STATESPACE_ISA
