// One state of a block of channels at a time, in double; the systems are made once and serve every sequence.
#include "cpp/ops/s4_recurrence.h"

#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/s4_system.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

template <typename T>
STATESPACE_INLINE Doubles load_steps(const T* p, int64_t lanes) {
  Doubles v{};
  for (int64_t i = 0; i < lanes; ++i) v[i] = static_cast<double>(load_one(p + i));
  return v;
}

template <int kRank, typename T>
void walk(const S4Recurrence& op, const ChannelBlock& block, const S4Mode<kRank>* modes, int64_t row) {
  const int64_t states = block.states, length = op.u.shape[1];
  Complexes* const h = static_cast<Complexes*>(scratch(Slot::kernel1, sizeof(Complexes) * (states + 1)));
  for (int64_t n = 0; n < states; ++n) {
    h[n] = op.initial_state ? block.load_pairs(op.initial_state, n, row) : Complexes{};
  }
  S4Readings<kRank> readings = read_state(modes, h, states);
  const Doubles D = op.D ? block.load(op.D) : Doubles{};
  const T* u = static_cast<const T*>(op.u.data) + row * op.u.strides[0] + block.first;
  T* y = static_cast<T*>(op.y.data) + row * length * block.dim + block.first;
  for (int64_t t = 0; t < length; ++t) {
    const Doubles input = load_steps(u + t * op.u.strides[1], block.lanes);
    readings = advance<kRank, true>(modes, h, h, states, readings, input);
    const Doubles value = readings.y + D * input;
    for (int64_t i = 0; i < block.lanes; ++i) store_one(y + t * block.dim + i, static_cast<float>(value[i]));
  }
  if (!op.last_state) return;
  for (int64_t n = 0; n < states; ++n) block.store_pairs(op.last_state, n, h[n], row);
}

template <int kRank>
void run_rank(const S4Recurrence& op) {
  const int64_t batch = op.u.shape[0], dim = op.A.shape[0], states = op.A.shape[1];
  const int64_t blocks = ChannelBlock::count(dim);
  S4Mode<kRank>* const modes =
      static_cast<S4Mode<kRank>*>(scratch(Slot::kernel0, sizeof(S4Mode<kRank>) * (blocks * states + 1)));
  parallel_for(blocks, [&](int64_t block) {
    const S4System<kRank> system(op, block);
    for (int64_t n = 0; n < states; ++n) modes[block * states + n] = system.mode(op, n);
  });
  parallel_for(blocks * batch, [&](int64_t task) {
    const int64_t index = task % blocks;
    const ChannelBlock block(index, dim, states);
    const auto walk_as = [&]<typename T>(T) { walk<kRank, T>(op, block, modes + index * states, task / blocks); };
    if (op.u.dtype == DType::float32) return walk_as(float{});
    if (op.u.dtype == DType::bfloat16) return walk_as(bf16{});
    walk_as(f16{});
  });
}

}  // namespace

template <>
void run(const S4Recurrence& op) {
  for_rank(op.P.shape[0], [&]<int kRank>() { run_rank<kRank>(op); });
}

}  // namespace statespace::cpu::STATESPACE_ISA
