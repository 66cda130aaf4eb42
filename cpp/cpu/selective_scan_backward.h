// The backward selective scan of real and of complex states. Per step, from the last to the first, with
// dy = dout silu(z) and S starting at dlast_state, for real ones:
//   S += dy C;  dC += dy h[t];  dB += S Delta u;  S = a S with a = exp(Delta A);  q = S h[t-1];  dA += Delta q;
//   du = Delta (S B) + D dy;  dDelta = u (S B) + q A.
// States come back window by window: forward again from a checkpoint, into a trace that stays in the cache.
// Every sum over channels or sequences is cut and ordered by the shape alone. What differs is the Recurrence: an Op,
// what A is (as RealDecays), retrace and reverse.
#pragma once
#include "cpp/cpu/run.h"
#include "cpp/cpu/selective_scan_reverse.h"

namespace statespace::cpu::STATESPACE_ISA {

constexpr int64_t kWindow = 32;         // steps whose states are kept at once
constexpr int64_t kPassChannels = 128;  // channels that go through time together
constexpr int64_t kFanOut = 16;         // parts of a stretch between checkpoints that is longer than a window
constexpr int kLevels = 16;
constexpr int64_t kSequenceGroups = 16;  // partial sums over the sequences

// How the work is cut, by the shape alone, and where the partial sums of all tasks lie.
struct Plan {
  int64_t batch, length, channels, numbers, groups, sequences;
  int64_t group_channels, slab_channels, slabs;  // slabs of each group
  int64_t vectors;                               // of each group
  int64_t sequence_groups, sums_stride, gradient_rows;
  float* sums;       // [group][slab][batch * length][sums_stride]: dB and dC
  float* gradients;  // [sequence group][group, vector][gradient row][kWidth]: dA, dB, dC, dD, ddelta_bias

  float* sums_at(int64_t group, int64_t slab, int64_t token) const {
    return sums + ((group * slabs + slab) * batch * length + token) * sums_stride;
  }
  float* gradients_at(int64_t sequence_group, int64_t group, int64_t vector) const {
    return gradients + ((sequence_group * groups + group) * vectors + vector) * gradient_rows * kWidth;
  }
};

template <class Recurrence>
Plan plan_of(const typename Recurrence::Op& op) {
  Plan p{};
  p.batch = op.u.shape[0];
  p.length = op.u.shape[1];
  p.channels = op.A.shape[0];
  p.numbers = op.A.shape[1] * Recurrence::kNumbers;
  p.groups = op.B ? op.B.shape[2] : op.C ? op.C.shape[2] : 1;
  p.sequences = sequence_count(op.cu_seqlens, p.batch);
  p.group_channels = p.channels / p.groups;
  p.vectors = padded(p.group_channels) / kWidth;
  p.sequence_groups = std::min(p.sequences, kSequenceGroups);
  // At most 32 slabs, none narrower than four times the numbers: the sums then take less than one activation.
  const int64_t least = std::max({int64_t{1}, 4 * p.numbers, p.group_channels / 32});
  const int64_t unit = p.sequence_groups * p.channels >= 8 * kPassChannels ? kPassChannels : kPassChannels / 2;
  p.slab_channels = (least + unit - 1) / unit * unit;
  p.slabs = (p.group_channels + p.slab_channels - 1) / p.slab_channels;
  p.sums_stride = op.B || op.C ? block_count<Recurrence::kNumbers>(p.numbers) * kWidth : 0;
  p.gradient_rows = p.numbers * (1 + bool(op.B_fixed) + bool(op.C_fixed)) + 2;
  return p;
}

// One slab of channels of one sequence after the other.
template <class Recurrence, typename T>
class Pass {
  using Op = typename Recurrence::Op;

 public:
  Pass(const Op& op, const Plan& plan) : op_(op), plan_(plan), numbers_(plan.numbers) {
    B_ = {nullptr, bool(op.B_fixed), numbers_};
    C_ = {nullptr, bool(op.C_fixed), numbers_};
    int64_t longest = std::min(op.checkpoint_every, plan.length);
    while (longest > kWindow) {
      ++levels_;
      longest = (longest + kFanOut - 1) / kFanOut;
    }
  }

  void run(int64_t sequence_group, int64_t group, int64_t slab_index) {
    const int64_t per_group = plan_.sequences / plan_.sequence_groups, more = plan_.sequences % plan_.sequence_groups;
    const int64_t first = sequence_group * per_group + std::min(sequence_group, more);
    const int64_t last = first + per_group + (sequence_group < more ? 1 : 0);
    const int64_t begin = slab_index * plan_.slab_channels;
    const int64_t end = std::min(plan_.group_channels, begin + plan_.slab_channels);
    slab_index_ = slab_index;
    for (int64_t offset = begin; offset < end; offset += kPassChannels) {
      slab_ = slab_at(group, plan_.group_channels, offset, std::min(kPassChannels, end - offset));
      is_first_of_slab_ = offset == begin;
      set_up(plan_.gradients_at(sequence_group, group, offset / kWidth));
      for (int64_t sequence = first; sequence < last; ++sequence) run_sequence(sequence);
    }
  }

 private:
  int64_t lanes(int v) const { return lanes_of(slab_, v); }
  int64_t channel(int v) const { return slab_.first + v * kWidth; }
  const float* decays(int v, int64_t n) const { return A_ + (v * numbers_ + n) * Recurrence::kDecays * kWidth; }
  float* gradient(int v, int64_t row) const { return gradients_ + (v * plan_.gradient_rows + row) * kWidth; }

  size_t lay_out(Pieces pieces) {
    const int64_t all_states = slab_.vectors * numbers_ * kWidth, tile = slab_.vectors * kWindow * kWidth;
    A_ = pieces.take(all_states * Recurrence::kDecays);
    carry_ = pieces.take(all_states);
    state_ = pieces.take(all_states);
    after_ = pieces.take(all_states);
    largest_ = pieces.take(slab_.vectors * kWidth);
    sums_ = pieces.take(slab_.vectors * kWidth);
    B_.data = pieces.take(Coefficients::floats(B_.fixed, slab_.vectors, numbers_, kWindow));
    C_.data = pieces.take(Coefficients::floats(C_.fixed, slab_.vectors, numbers_, kWindow));
    for (float** p : {&delta_, &input_, &dy_, &by_B_, &by_A_, &slope_}) *p = pieces.take(tile);
    trace_ = pieces.take((kWindow + 1) * kTraceStep<kBlock>);
    for (int i = 0; i < levels_; ++i) level_states_[i] = pieces.take(kFanOut * all_states);
    return pieces.bytes();
  }

  void set_up(float* gradients) {
    lay_out(Pieces(static_cast<float*>(scratch(Slot::kernel0, lay_out(Pieces(nullptr))))));
    gradients_ = gradients;
    std::memset(gradients_, 0, sizeof(float) * slab_.vectors * plan_.gradient_rows * kWidth);
    for (int v = 0; v < slab_.vectors; ++v) {
      float* A = A_ + v * numbers_ * Recurrence::kDecays * kWidth;
      const float* source = static_cast<const float*>(op_.A.data) + channel(v) * numbers_;
      Recurrence::load_decays(A, source, lanes(v), op_.A.shape[1]);
      store(largest_ + v * kWidth, Recurrence::largest_decay(A, op_.A.shape[1]));
    }
    if (B_.fixed) B_.load_fixed(op_.B_fixed, slab_);
    if (C_.fixed) C_.load_fixed(op_.C_fixed, slab_);
  }

  // States of a sequence, [sequences, channels, numbers], or zeros where there are none.
  void load_sequence_states(float* target, const Tensor& t, int64_t sequence) const {
    for (int v = 0; v < slab_.vectors; ++v) {
      float* states = target + v * numbers_ * kWidth;
      if (t) {
        const float* source = static_cast<const float*>(t.data) + (sequence * plan_.channels + channel(v)) * numbers_;
        load_states(states, source, lanes(v), numbers_);
      } else {
        for (int64_t n = 0; n < numbers_; ++n) store(states + n * kWidth, Vec{});
      }
    }
  }

  void run_sequence(int64_t sequence) {
    const auto [batch, begin, end] = sequence_at(op_.cu_seqlens, plan_.length, sequence);
    batch_ = batch;
    begin_ = begin;
    load_sequence_states(carry_, op_.dlast_state, sequence);
    for (int64_t stop = end; stop > begin;) {
      const int64_t chunk = (stop - 1) / op_.checkpoint_every, start = chunk * op_.checkpoint_every;
      if (start < begin) {
        load_sequence_states(state_, op_.initial_state, sequence);
        walk(begin, stop, state_, 0);
        break;
      }
      const float* source = row_of<float>(op_.checkpoints, batch, chunk) + slab_.first;
      for (int64_t n = 0; n < numbers_; ++n) {
        for (int v = 0; v < slab_.vectors; ++v) {
          store(state_ + (v * numbers_ + n) * kWidth, load_lanes(source + n * plan_.channels + v * kWidth, lanes(v)));
        }
      }
      walk(start, stop, state_, 0);
      stop = start;
    }
    if (!op_.dinitial_state) return;
    for (int v = 0; v < slab_.vectors; ++v) {
      float* target =
          static_cast<float*>(op_.dinitial_state.data) + (sequence * plan_.channels + channel(v)) * numbers_;
      store_states(target, carry_ + v * numbers_ * kWidth, lanes(v), numbers_);
    }
  }

  // Back through [begin, end), given the state before it. A stretch longer than a window is first passed forward,
  // keeping the states before each of its parts.
  void walk(int64_t begin, int64_t end, const float* state, int level) {
    if (end - begin <= kWindow) return walk_window(begin, end - begin, state);
    int64_t part = kWindow;
    while (part * kFanOut < end - begin) part *= kFanOut;
    const int64_t parts = (end - begin + part - 1) / part, all_states = slab_.vectors * numbers_ * kWidth;
    float* starts = level_states_[level];
    std::memcpy(starts, state, sizeof(float) * all_states);
    for (int64_t i = 0; i + 1 < parts; ++i) {
      std::memcpy(after_, starts + i * all_states, sizeof(float) * all_states);
      for (int64_t t = 0; t < part; t += kWindow) pass_window(begin + i * part + t, std::min(kWindow, part - t));
      std::memcpy(starts + (i + 1) * all_states, after_, sizeof(float) * all_states);
    }
    for (int64_t i = parts - 1; i >= 0; --i) {
      walk(begin + i * part, std::min(end, begin + (i + 1) * part), starts + i * all_states, level + 1);
    }
  }

  Steps steps_of(int v, int64_t count) const {
    const int64_t tile = v * kWindow * kWidth;
    Steps s{count,   delta_ + tile, input_ + tile, nullptr,     nullptr,
            nullptr, nullptr,       B_.stride(),   C_.stride(), load(largest_ + v * kWidth),
            {}};
    for (auto& rows : s.ahead) rows = {reinterpret_cast<const char*>(delta_ + tile), 0};
    return s;
  }

  // Delta, its slope over what softplus took, and Delta u, of the window.
  void load_input(int64_t begin, int64_t count) const {
    const float* bias = static_cast<const float*>(op_.delta_bias.data);
    for (int64_t t = 0; t < count; ++t) {
      const T* u_row = row_of<T>(op_.u, batch_, begin + t) + slab_.first;
      const T* delta_row = row_of<T>(op_.delta, batch_, begin + t) + slab_.first;
      for (int v = 0; v < slab_.vectors; ++v) {
        const int64_t c = v * kWidth, n = lanes(v), at = c * kWindow + t * kWidth;
        const Vec u = load_lanes(u_row + c, n);
        Vec delta = load_lanes(delta_row + c, n);
        if (bias) delta += load_lanes(bias + slab_.first + c, n);
        if (op_.delta_softplus) {
          store(slope_ + at, sigmoid(delta));
          delta = softplus(delta);
        }
        store(delta_ + at, delta);
        store(input_ + at, delta * u);
      }
    }
    if (!B_.fixed) B_.load_steps<T>(op_.B, batch_, begin, count, slab_.group);
  }

  // Moves after_ forward through the window.
  void pass_window(int64_t begin, int64_t count) {
    load_input(begin, count);
    for (int v = 0; v < slab_.vectors; ++v) {
      Steps steps = steps_of(v, count);
      for_blocks<Recurrence::kNumbers>(numbers_, [&](int64_t n, auto block) {
        float* state = after_ + (v * numbers_ + n) * kWidth;
        steps.A = decays(v, n);
        steps.B = B_.at(v, n);
        B_.fixed ? Recurrence::template retrace<block, true>(steps, state, trace_, state)
                 : Recurrence::template retrace<block, false>(steps, state, trace_, state);
      });
    }
  }

  // dy, dz and the sums they start, of the window.
  void load_gradients(int64_t begin, int64_t count) const {
    for (int v = 0; v < slab_.vectors; ++v) store(sums_ + v * kWidth, Vec{});
    for (int64_t t = 0; t < count; ++t) {
      const T* u_row = row_of<T>(op_.u, batch_, begin + t) + slab_.first;
      const T* dout_row = row_of<T>(op_.dout, batch_, begin + t) + slab_.first;
      const T *z_row = nullptr, *y_row = nullptr;
      T* dz_row = nullptr;
      if (op_.z) {
        z_row = row_of<T>(op_.z, batch_, begin + t) + slab_.first;
        y_row = row_of<T>(op_.y, batch_, begin + t) + slab_.first;
        dz_row = row_of<T>(op_.dz, batch_, begin + t) + slab_.first;
      }
      for (int v = 0; v < slab_.vectors; ++v) {
        const int64_t c = v * kWidth, n = lanes(v), at = c * kWindow + t * kWidth;
        Vec dy = load_lanes(dout_row + c, n);
        if (z_row) {
          const Vec z = load_lanes(z_row + c, n), y = load_lanes(y_row + c, n), s = sigmoid(z);
          store_lanes(dz_row + c, dy * y * s * fma(z, 1.0f - s, broadcast(1.0f)), n);
          dy *= z * s;
        }
        store(sums_ + c, fma(dy, load_lanes(u_row + c, n), load(sums_ + c)));
        store(dy_ + at, dy);
        store(by_B_ + at, Vec{});
        store(by_A_ + at, Vec{});
      }
    }
    add_sums(plan_.gradient_rows - 2);
    if (!C_.fixed) C_.load_steps<T>(op_.C, batch_, begin, count, slab_.group);
  }

  // du and ddelta of the window.
  void store_gradients(int64_t begin, int64_t count) const {
    const float* skip = static_cast<const float*>(op_.D.data);
    for (int v = 0; v < slab_.vectors; ++v) store(sums_ + v * kWidth, Vec{});
    for (int64_t t = 0; t < count; ++t) {
      const T* u_row = row_of<T>(op_.u, batch_, begin + t) + slab_.first;
      T* du_row = row_of<T>(op_.du, batch_, begin + t) + slab_.first;
      T* ddelta_row = row_of<T>(op_.ddelta, batch_, begin + t) + slab_.first;
      for (int v = 0; v < slab_.vectors; ++v) {
        const int64_t c = v * kWidth, n = lanes(v), at = c * kWindow + t * kWidth;
        const Vec u = load_lanes(u_row + c, n), by_B = load(by_B_ + at);
        Vec du = load(delta_ + at) * by_B;
        if (skip) du = fma(load_lanes(skip + slab_.first + c, n), load(dy_ + at), du);
        store_lanes(du_row + c, du, n);
        Vec ddelta = fma(u, by_B, load(by_A_ + at) * kLn2);
        if (op_.delta_softplus) ddelta *= load(slope_ + at);
        store_lanes(ddelta_row + c, ddelta, n);
        store(sums_ + c, load(sums_ + c) + ddelta);
      }
    }
    add_sums(plan_.gradient_rows - 1);
  }

  // To one row of the gradients of each vector.
  void add_sums(int64_t row) const {
    for (int v = 0; v < slab_.vectors; ++v) {
      float* total = gradient(v, row);
      store(total, load(total) + load(sums_ + v * kWidth));
    }
  }

  void walk_window(int64_t begin, int64_t count, const float* state) {
    float* sums = plan_.sums_at(slab_.group, slab_index_, batch_ * plan_.length + begin);
    if (is_first_of_slab_) std::memset(sums, 0, sizeof(float) * count * plan_.sums_stride);
    load_input(begin, count);
    load_gradients(begin, count);
    // The window before this one comes next.
    const int64_t next = std::max(begin_, begin - kWindow);
    const Tensor* streams[] = {&op_.u, &op_.delta, &op_.dout, &op_.z, &op_.y, &op_.du, &op_.ddelta, &op_.dz};
    for (int v = 0; v < slab_.vectors; ++v) {
      Steps steps = steps_of(v, count);
      const int64_t tile = v * kWindow * kWidth;
      Gradients g{};
      g.dy = dy_ + tile;
      g.by_B = by_B_ + tile;
      g.by_A = by_A_ + tile;
      g.sums_stride = plan_.sums_stride;
      int64_t index = 0;
      for_blocks<Recurrence::kNumbers>(numbers_, [&](int64_t n, auto block) {
        const int64_t at = (v * numbers_ + n) * kWidth;
        steps.A = decays(v, n);
        steps.B = B_.at(v, n);
        steps.C = C_.at(v, n);
        const auto fetch = [&](int first) {
          for (int i = 0; i < 4; ++i) {
            const Tensor& t = *streams[first + i];
            if (index < 1 && t) steps.ahead[i] = rows_ahead(t, batch_, next, channel(v));
          }
        };
        fetch(0);
        B_.fixed ? Recurrence::template retrace<block, true>(steps, state + at, trace_, after_ + at)
                 : Recurrence::template retrace<block, false>(steps, state + at, trace_, after_ + at);
        fetch(4);
        g.carry = carry_ + at;
        g.dA = gradient(v, n);
        g.dB = gradient(v, numbers_ + n);
        g.dC = gradient(v, numbers_ * (1 + B_.fixed) + n);
        g.sums = sums + index * kWidth;
        (B_.fixed   ? C_.fixed ? Recurrence::template reverse<block, true, true>
                               : Recurrence::template reverse<block, true, false>
           : C_.fixed ? Recurrence::template reverse<block, false, true>
                    : Recurrence::template reverse<block, false, false>)(steps, g, trace_);
        ++index;
        for (auto& rows : steps.ahead) rows = {reinterpret_cast<const char*>(trace_), 0};
      });
    }
    store_gradients(begin, count);
  }

  const Op& op_;
  const Plan& plan_;
  int64_t numbers_;
  Coefficients B_, C_;
  Slab slab_;
  int64_t slab_index_, batch_, begin_;
  bool is_first_of_slab_;
  int levels_ = 0;
  float* gradients_;
  float *A_, *carry_, *state_, *after_, *trace_;          // [vector][numbers][kWidth]; the trace of one block
  float *largest_, *sums_;                                // [vector][kWidth]
  float *delta_, *input_, *dy_, *by_B_, *by_A_, *slope_;  // [vector][kWindow][kWidth]
  float* level_states_[kLevels];                          // [part][vector][numbers][kWidth]
};

// dB and dC of a few tokens: the sums of the slabs.
template <class Recurrence, typename T>
void add_slabs(const typename Recurrence::Op& op, const Plan& p, int64_t begin, int64_t end) {
  const int64_t half = padded(p.numbers) + kWidth;
  float* dB = static_cast<float*>(scratch(Slot::kernel0, sizeof(float) * 2 * half));
  float* dC = dB + half;
  for (int64_t token = begin; token < end; ++token) {
    const int64_t batch = token / p.length, step = token % p.length;
    for (int64_t group = 0; group < p.groups; ++group) {
      int64_t at = 0;
      for_blocks<Recurrence::kNumbers>(p.numbers, [&](int64_t n, auto) {
        Vec sum = load(p.sums_at(group, 0, token) + at);
        for (int64_t slab = 1; slab < p.slabs; ++slab) sum += load(p.sums_at(group, slab, token) + at);
        alignas(64) float lanes[kWidth];
        store(lanes, sum);
        std::memcpy(dB + n, lanes, sizeof(float) * kBlock);
        std::memcpy(dC + n, lanes + kBlock, sizeof(float) * kBlock);
        at += kWidth;
      });
      for (int64_t n = 0; n < p.numbers; n += kWidth) {
        const int64_t count = std::min<int64_t>(kWidth, p.numbers - n);
        if (op.dB) store_lanes(row_of<T>(op.dB, batch, step) + group * op.dB.strides[2] + n, load(dB + n), count);
        if (op.dC) store_lanes(row_of<T>(op.dC, batch, step) + group * op.dC.strides[2] + n, load(dC + n), count);
      }
    }
  }
}

// The gradients of a vector of channels: the sums of the groups of sequences, which stay in the first one's place.
template <class Recurrence>
void add_sequence_groups(const typename Recurrence::Op& op, const Plan& p, int64_t group, int64_t vector) {
  float* total = p.gradients_at(0, group, vector);
  for (int64_t i = 1; i < p.sequence_groups; ++i) {
    const float* partial = p.gradients_at(i, group, vector);
    for (int64_t row = 0; row < p.gradient_rows * kWidth; row += kWidth) {
      store(total + row, load(total + row) + load(partial + row));
    }
  }
  const Slab slab = slab_at(group, p.group_channels, vector * kWidth, kWidth);
  for (const Tensor* t : {&op.dA, &op.dB_fixed, &op.dC_fixed}) {
    if (!*t) continue;
    store_states(static_cast<float*>(t->data) + slab.first * p.numbers, total, slab.count, p.numbers);
    total += p.numbers * kWidth;
  }
  for (const Tensor* t : {&op.dD, &op.ddelta_bias}) {
    if (*t) store_lanes(static_cast<float*>(t->data) + slab.first, load(total), slab.count);
    total += kWidth;
  }
}

template <class Recurrence, typename T>
void scan_back(const typename Recurrence::Op& op) {
  Plan plan = plan_of<Recurrence>(op);
  if (plan.channels == 0) return;
  const int64_t tokens = plan.batch * plan.length, vectors = plan.groups * plan.vectors;
  const int64_t sums = plan.groups * plan.slabs * tokens * plan.sums_stride;
  const int64_t gradients = std::max<int64_t>(1, plan.sequence_groups) * vectors * plan.gradient_rows * kWidth;
  plan.sums = static_cast<float*>(scratch(Slot::kernel1, sizeof(float) * sums));
  plan.gradients = static_cast<float*>(scratch(Slot::kernel2, sizeof(float) * gradients));
  if (plan.sequence_groups == 0) std::memset(plan.gradients, 0, sizeof(float) * gradients);

  const int64_t slabs = plan.groups * plan.slabs, tasks = plan.sequence_groups * slabs;
  const int64_t work = tokens * plan.channels * (op.A.shape[1] * Recurrence::kWork + 8) / (tasks + 1);
  parallel_for(tasks, std::max<int64_t>(1, 100000 / (work + 1)), [&](int64_t task) {
    const int64_t slab = task % slabs;
    Pass<Recurrence, T>(op, plan).run(task / slabs, slab / plan.slabs, slab % plan.slabs);
  });
  if (plan.sums_stride > 0) {
    parallel_blocks(tokens, 256, [&](int64_t begin, int64_t end) { add_slabs<Recurrence, T>(op, plan, begin, end); });
  }
  parallel_for(vectors, 16,
               [&](int64_t i) { add_sequence_groups<Recurrence>(op, plan, i / plan.vectors, i % plan.vectors); });
}

template <class Recurrence>
void run_backward(const typename Recurrence::Op& op) {
  check_boundaries(op.cu_seqlens, op.u.shape[1], Recurrence::Op::row.name);
  switch (op.u.dtype) {
    case DType::bfloat16:
      return scan_back<Recurrence, bf16>(op);
    case DType::float16:
      return scan_back<Recurrence, f16>(op);
    default:
      return scan_back<Recurrence, float>(op);
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
