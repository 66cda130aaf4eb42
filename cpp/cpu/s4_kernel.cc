// The kernel as the impulse response of the recurrence, channels across the lanes. Cauchy sums need as many operations
// for each state and position, and divisions beside them; where positions need not be independent, stepping in double
// is the shorter and the more accurate way (docs/decisions/0012-s4-kernel.md).
#include "cpp/ops/s4_kernel.h"

#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/s4_system.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// Positions whose results wait for their place in memory.
constexpr int64_t kTile = 64;

template <typename T>
T* scratch_of(Slot slot, int64_t count) {
  return static_cast<T*>(scratch(slot, sizeof(T) * static_cast<size_t>(count)));
}

template <int kRank>
void forward(const S4KernelForward& op, int64_t index) {
  const S4System<kRank> system(op, index);
  const int64_t states = system.block.states;
  S4Mode<kRank>* const modes = scratch_of<S4Mode<kRank>>(Slot::kernel0, states + 1);
  Complexes* const h = scratch_of<Complexes>(Slot::kernel1, states + 1);
  for (int64_t n = 0; n < states; ++n) {
    modes[n] = system.mode(op, n);
    h[n] = modes[n].b;
  }
  S4Readings<kRank> readings = read_state(modes, h, states);
  float* const K = static_cast<float*>(op.K.data) + system.block.first * op.length;
  Doubles tile[kTile];
  for (int64_t begin = 0; begin < op.length; begin += kTile) {
    const int64_t count = std::min(kTile, op.length - begin);
    for (int64_t l = 0; l < count; ++l) {
      tile[l] = readings.y;
      readings = advance<kRank, false>(modes, h, h, states, readings, Doubles{});
    }
    for (int64_t lane = 0; lane < system.block.lanes; ++lane) {
      for (int64_t l = 0; l < count; ++l) K[lane * op.length + begin + l] = static_cast<float>(tile[l][lane]);
    }
  }
}

// Gradients of one state's a, c, U and V, and of the state after the current position.
template <int kRank>
struct ModeGradients {
  Complexes a, c, later;
  Complexes U[kRank], V[kRank];
};

// One position back: h is its state with readings t, g its dL/dK, dt_r the gradients of t. Returns those of the
// position before.
template <int kRank>
S4Readings<kRank> step_back(const S4Mode<kRank>* modes, ModeGradients<kRank>* gradients, const Complexes* h,
                            int64_t states, const Doubles (&t)[kRank], const Doubles (&dt)[kRank], Doubles g) {
  S4Readings<kRank> even, odd;
  const auto step = [&](int64_t n, S4Readings<kRank>& before) {
    const S4Mode<kRank>& mode = modes[n];
    ModeGradients<kRank>& gradient = gradients[n];
    const Complexes conj_h = conj(h[n]), later = gradient.later;
    gradient.a = gradient.a + later * conj_h;
    gradient.c = gradient.c + g * conj_h;
    Complexes now = conj(mode.a) * later + g * conj(mode.c);
    for (int r = 0; r < kRank; ++r) {
      gradient.U[r] = gradient.U[r] - t[r] * later;
      gradient.V[r] = gradient.V[r] + dt[r] * conj_h;
      now = now + dt[r] * conj(mode.V[r]);
    }
    for (int r = 0; r < kRank; ++r) before.t[r] -= inner(mode.U[r], now);
    gradient.later = now;
  };
  int64_t n = 0;
  for (; n + 1 < states; n += 2) {
    step(n, even);
    step(n + 1, odd);
  }
  if (n < states) step(n, even);
  return even + odd;
}

// From the gradients of a, c, U, V and B̄ to those of A, P, B, C and dt; the formulas of s4_system.h backwards.
template <int kRank>
void store_gradients(const S4KernelBackward& op, const S4System<kRank>& system, const S4Mode<kRank>* modes,
                     ModeGradients<kRank>* gradients) {
  const ChannelBlock& block = system.block;
  Doubles dinput[kRank] = {}, dH[kRank][kRank] = {};
  for (int64_t n = 0; n < block.states; ++n) {
    ModeGradients<kRank>& gradient = gradients[n];
    Complexes p[kRank];
    system.load_low_rank(op.P, n, p);
    const Complexes delta = system.delta_of(op.A, n), db = gradient.later;
    for (int s = 0; s < kRank; ++s) {
      dinput[s] -= system.half * inner(modes[n].U[s], db);
      gradient.U[s] = gradient.U[s] - (system.half * system.input[s]) * db;
      for (int r = 0; r < kRank; ++r) dH[r][s] += system.dt * inner(delta * p[r], gradient.U[s]);
    }
  }
  // dG = -H^T dH H^T, and G = 1 + half times the sums.
  Doubles dsums[kRank][kRank] = {};
  for (int r = 0; r < kRank; ++r) {
    for (int s = 0; s < kRank; ++s) {
      for (int i = 0; i < kRank; ++i) {
        for (int j = 0; j < kRank; ++j) dsums[r][s] -= system.half * (system.H[i][r] * dH[i][j] * system.H[s][j]);
      }
    }
  }
  // The kernel knows dt only in dt A, sqrt(dt) P and dt B.
  Doubles dt_ddt{};
  for (int64_t n = 0; n < block.states; ++n) {
    const ModeGradients<kRank>& gradient = gradients[n];
    Complexes p[kRank], dp[kRank] = {};
    system.load_low_rank(op.P, n, p);
    const Complexes delta = system.delta_of(op.A, n), db = gradient.later;
    const Complexes A = block.load_pairs(op.A, n), B = block.load_pairs(op.B, n);
    Complexes ddelta = 2.0 * gradient.a + system.dt * (conj(B) * db);
    Complexes dB = system.dt * (conj(delta) * db);
    for (int s = 0; s < kRank; ++s) {
      Complexes p_H{}, dV = gradient.V[s] + dinput[s] * conj(B);
      for (int r = 0; r < kRank; ++r) {
        p_H = p_H + system.H[r][s] * p[r];
        dp[r] = dp[r] + (system.dt * system.H[r][s]) * (conj(delta) * gradient.U[s]);
        dV = dV + dsums[s][r] * conj(p[r]);
        dp[s] = dp[s] + dsums[r][s] * conj(modes[n].V[r]);
      }
      ddelta = ddelta + system.dt * (conj(p_H) * gradient.U[s]);
      dB = dB + dinput[s] * conj(modes[n].V[s]);
      ddelta = ddelta + 2.0 * (p[s] * dV);
      dp[s] = dp[s] + 2.0 * (delta * conj(dV));
    }
    const Complexes dA = system.half * (conj(delta * delta) * ddelta);
    block.store_pairs(op.dA, n, dA);
    block.store_pairs(op.dB, n, dB);
    block.store_pairs(op.dC, n, 2.0 * gradient.c);
    dt_ddt += inner(A, dA) + inner(B, dB);
    for (int r = 0; r < system.rank; ++r) {
      block.store_pairs(op.dP, n, dp[r], r);
      dt_ddt += 0.5 * inner(p[r], dp[r]);
    }
  }
  for (int64_t i = 0; i < block.lanes; ++i) {
    static_cast<float*>(op.ddt.data)[block.first + i] = static_cast<float>(dt_ddt[i] / system.dt[i]);
  }
}

// States are kept at the begin of each segment, and made again inside it on the way back.
template <int kRank>
void backward(const S4KernelBackward& op, int64_t index) {
  const S4System<kRank> system(op, index);
  const int64_t states = system.block.states, length = op.dK.shape[1];
  const int64_t root = static_cast<int64_t>(__builtin_sqrt(static_cast<double>(length)));
  const int64_t segment = std::clamp<int64_t>(root, 64, 1024), segments = (length + segment - 1) / segment;
  S4Mode<kRank>* const modes = scratch_of<S4Mode<kRank>>(Slot::kernel0, states + 1);
  ModeGradients<kRank>* const gradients = scratch_of<ModeGradients<kRank>>(Slot::kernel1, states + 1);
  // One state more of each, since a step makes the next one.
  Complexes* const kept = scratch_of<Complexes>(Slot::kernel2, (segments + segment + 1) * states + 1);
  Complexes* const history = kept + segments * states;
  S4Readings<kRank>* const readings = scratch_of<S4Readings<kRank>>(Slot::kernel3, segment + segments + 1);
  S4Readings<kRank>* const kept_readings = readings + segment;
  for (int64_t n = 0; n < states; ++n) {
    modes[n] = system.mode(op, n);
    gradients[n] = ModeGradients<kRank>{};
    history[n] = modes[n].b;
  }
  S4Readings<kRank> now = read_state(modes, history, states);
  for (int64_t i = 0; i < segments; ++i) {
    std::copy(history, history + states, kept + i * states);
    kept_readings[i] = now;
    if (i + 1 == segments) break;
    for (int64_t l = 0; l < segment; ++l) now = advance<kRank, false>(modes, history, history, states, now, Doubles{});
  }
  S4Readings<kRank> later = {};
  const float* const dK = static_cast<const float*>(op.dK.data) + system.block.first * length;
  for (int64_t i = segments - 1; i >= 0; --i) {
    const int64_t begin = i * segment, count = std::min(segment, length - begin);
    std::copy(kept + i * states, kept + (i + 1) * states, history);
    readings[0] = kept_readings[i];
    for (int64_t l = 0; l + 1 < count; ++l) {
      Complexes* const h = history + l * states;
      readings[l + 1] = advance<kRank, false>(modes, h, h + states, states, readings[l], Doubles{});
    }
    for (int64_t l = count - 1; l >= 0; --l) {
      Doubles g{};
      for (int64_t lane = 0; lane < system.block.lanes; ++lane) g[lane] = dK[lane * length + begin + l];
      later = step_back(modes, gradients, history + l * states, states, readings[l].t, later.t, g);
    }
  }
  store_gradients(op, system, modes, gradients);
}

}  // namespace

template <>
void run(const S4KernelForward& op) {
  for_rank(op.P.shape[0], [&]<int kRank>() {
    parallel_for(ChannelBlock::count(op.A.shape[0]), [&](int64_t block) { forward<kRank>(op, block); });
  });
}

template <>
void run(const S4KernelBackward& op) {
  for_rank(op.P.shape[0], [&]<int kRank>() {
    parallel_for(ChannelBlock::count(op.A.shape[0]), [&](int64_t block) { backward<kRank>(op, block); });
  });
}

}  // namespace statespace::cpu::STATESPACE_ISA
