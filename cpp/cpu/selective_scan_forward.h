// The forward selective scan of real and of complex states. A task is a sequence and a slab of channels. It goes
// through time in tiles: what is element-wise first, then the recurrence, one vector of channels after the other, then
// the gate; the states leave the cache only as checkpoints. What differs is the Recurrence: an Op, what A is (as
// RealDecays), and advance_all.
#pragma once
#include "cpp/cpu/run.h"
#include "cpp/cpu/selective_scan_block.h"

namespace statespace::cpu::STATESPACE_ISA {

// Fastest of 8 to 64 steps and 32 to 512 channels at length 2048, 1536 channels, 16 states.
constexpr int64_t kTile = 16, kSlabChannels = 256;

struct Tiles {
  float *delta, *input, *y;  // [vector][kTile][kWidth]
};

// A tile as floats: Delta, Delta u, and D u, to which the recurrence adds.
template <typename T, class Op>
void load_tile(const Op& op, const Slab& slab, int64_t batch, int64_t begin, int64_t count, const Tiles& tiles) {
  const float* bias = static_cast<const float*>(op.delta_bias.data);
  const float* skip = static_cast<const float*>(op.D.data);
  for (int64_t t = 0; t < count; ++t) {
    const T* u_row = row_of<T>(op.u, batch, begin + t) + slab.first;
    const T* delta_row = row_of<T>(op.delta, batch, begin + t) + slab.first;
    for (int v = 0; v < slab.vectors; ++v) {
      const int64_t lanes = lanes_of(slab, v), channel = v * kWidth, at = (v * kTile + t) * kWidth;
      const Vec u = load_lanes(u_row + channel, lanes);
      Vec delta = load_lanes(delta_row + channel, lanes);
      if (bias) delta += load_lanes(bias + slab.first + channel, lanes);
      if (op.delta_softplus) delta = softplus(delta);
      store(tiles.delta + at, delta);
      store(tiles.input + at, delta * u);
      store(tiles.y + at, skip ? u * load_lanes(skip + slab.first + channel, lanes) : Vec{});
    }
  }
}

template <typename T, class Op>
void store_tile(const Op& op, const Slab& slab, int64_t batch, int64_t begin, int64_t count, const Tiles& tiles) {
  for (int64_t t = 0; t < count; ++t) {
    T* out_row = row_of<T>(op.out, batch, begin + t) + slab.first;
    const T* z_row = op.z ? row_of<T>(op.z, batch, begin + t) + slab.first : nullptr;
    T* y_row = op.y ? row_of<T>(op.y, batch, begin + t) + slab.first : nullptr;
    for (int v = 0; v < slab.vectors; ++v) {
      const int64_t lanes = lanes_of(slab, v), channel = v * kWidth;
      Vec y = load(tiles.y + (v * kTile + t) * kWidth);
      if (y_row) store_lanes(y_row + channel, y, lanes);
      if (z_row) y *= silu(load_lanes(z_row + channel, lanes));
      store_lanes(out_row + channel, y, lanes);
    }
  }
}

template <class Recurrence, typename T>
void scan(const typename Recurrence::Op& op, int64_t sequence, const Slab& slab) {
  const int64_t numbers = op.A.shape[1] * Recurrence::kNumbers, all_numbers = slab.vectors * numbers * kWidth;
  const auto [batch, begin, end] = sequence_at(op.cu_seqlens, op.u.shape[1], sequence);
  Tiles tiles{};
  Coefficients B{nullptr, bool(op.B_fixed), numbers}, C{nullptr, bool(op.C_fixed), numbers};
  float *A = nullptr, *h = nullptr, *largest = nullptr;
  const auto lay_out = [&](Pieces pieces) {
    A = pieces.take(all_numbers * Recurrence::kDecays);
    h = pieces.take(all_numbers);
    largest = pieces.take(slab.vectors * kWidth);
    B.data = pieces.take(Coefficients::floats(B.fixed, slab.vectors, numbers, kTile));
    C.data = pieces.take(Coefficients::floats(C.fixed, slab.vectors, numbers, kTile));
    for (float** tile : {&tiles.delta, &tiles.input, &tiles.y}) *tile = pieces.take(slab.vectors * kTile * kWidth);
    return pieces.bytes();
  };
  lay_out(Pieces(static_cast<float*>(scratch(Slot::kernel0, lay_out(Pieces(nullptr))))));

  for (int v = 0; v < slab.vectors; ++v) {
    const int64_t lanes = lanes_of(slab, v), channel = slab.first + v * kWidth;
    float* decays = A + v * numbers * Recurrence::kDecays * kWidth;
    Recurrence::load_decays(decays, static_cast<const float*>(op.A.data) + channel * numbers, lanes, op.A.shape[1]);
    store(largest + v * kWidth, Recurrence::largest_decay(decays, op.A.shape[1]));
    float* state = h + v * numbers * kWidth;
    if (op.initial_state) {
      const float* initial = static_cast<const float*>(op.initial_state.data);
      load_states(state, initial + (sequence * op.A.shape[0] + channel) * numbers, lanes, numbers);
    } else {
      for (int64_t n = 0; n < numbers; ++n) store(state + n * kWidth, Vec{});
    }
  }
  if (B.fixed) B.load_fixed(op.B_fixed, slab);
  if (C.fixed) C.load_fixed(op.C_fixed, slab);

  for (int64_t t = begin; t < end;) {
    // A tile of a saving pass ends where the next checkpoint is due.
    int64_t count = std::min(kTile, end - t);
    if (op.save) {
      const int64_t chunk = t / op.checkpoint_every, next = (chunk + 1) * op.checkpoint_every;
      count = std::min(count, next - t);
      if (t == chunk * op.checkpoint_every) {
        float* target = row_of<float>(op.checkpoints, batch, chunk) + slab.first;
        for (int64_t n = 0; n < numbers; ++n) {
          for (int v = 0; v < slab.vectors; ++v) {
            store_lanes(target + n * op.A.shape[0] + v * kWidth, load(h + (v * numbers + n) * kWidth),
                        lanes_of(slab, v));
          }
        }
      }
    }
    load_tile<T>(op, slab, batch, t, count, tiles);
    if (!B.fixed) B.load_steps<T>(op.B, batch, t, count, slab.group);
    if (!C.fixed) C.load_steps<T>(op.C, batch, t, count, slab.group);
    for (int v = 0; v < slab.vectors; ++v) {
      const int64_t channel = v * kWidth;
      const Steps steps{count,
                        tiles.delta + channel * kTile,
                        tiles.input + channel * kTile,
                        tiles.y + channel * kTile,
                        nullptr,
                        nullptr,
                        nullptr,
                        B.stride(),
                        C.stride(),
                        load(largest + channel),
                        {rows_ahead(op.u, batch, t + count, slab.first + channel),
                         rows_ahead(op.delta, batch, t + count, slab.first + channel),
                         rows_ahead(op.z ? op.z : op.u, batch, t + count, slab.first + channel),
                         rows_ahead(op.out, batch, t + count, slab.first + channel)}};
      Recurrence::advance_all(steps, h + channel * numbers, A + channel * numbers * Recurrence::kDecays, B, C, v,
                              numbers);
    }
    store_tile<T>(op, slab, batch, t, count, tiles);
    t += count;
  }

  if (!op.last_state) return;
  for (int v = 0; v < slab.vectors; ++v) {
    const int64_t channel = slab.first + v * kWidth;
    float* last = static_cast<float*>(op.last_state.data) + (sequence * op.A.shape[0] + channel) * numbers;
    store_states(last, h + v * numbers * kWidth, lanes_of(slab, v), numbers);
  }
}

template <class Recurrence, typename T>
void scan_all(const typename Recurrence::Op& op) {
  const int64_t groups = op.B ? op.B.shape[2] : op.C ? op.C.shape[2] : 1;
  const int64_t channels = op.A.shape[0] / groups, sequences = sequence_count(op.cu_seqlens, op.u.shape[0]);
  // Narrower slabs where there would be too few for the threads; the numbers do not depend on it.
  int64_t width = kSlabChannels;
  const auto slabs_of = [&] { return (channels + width - 1) / width; };
  while (width > kWidth && sequences * groups * slabs_of() < 2 * available_threads()) width /= 2;
  const int64_t slabs = slabs_of(), tasks = sequences * groups * slabs;
  if (tasks == 0) return;
  // A thread is worth waking for some 20 microseconds.
  const int64_t work = op.u.shape[0] * op.u.shape[1] * op.A.shape[0] * (op.A.shape[1] * Recurrence::kWork + 8) / tasks;
  parallel_for(tasks, std::max<int64_t>(1, 300000 / (work + 1)), [&](int64_t task) {
    const int64_t sequence = task / (groups * slabs), slab = task % (groups * slabs);
    scan<Recurrence, T>(op, sequence, slab_at(slab / slabs, channels, slab % slabs * width, width));
  });
}

template <class Recurrence>
void run_forward(const typename Recurrence::Op& op) {
  check_boundaries(op.cu_seqlens, op.u.shape[1], Recurrence::Op::row.name);
  switch (op.u.dtype) {
    case DType::bfloat16:
      return scan_all<Recurrence, bf16>(op);
    case DType::float16:
      return scan_all<Recurrence, f16>(op);
    default:
      return scan_all<Recurrence, float>(op);
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
