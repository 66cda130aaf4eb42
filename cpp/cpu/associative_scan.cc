// h[t] = a[t] h[t-1] + b[t] by three algorithms over the maps (a, b), and its gradients. Channels lie across the lanes.
#include "cpp/ops/associative_scan.h"

#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

constexpr int64_t kChunks = 16;  // of the chunked algorithm, whatever the number of threads
constexpr int kVectors = 4;      // that go through time together, to hide the latency of the recurrence

// Rows in the order of the recurrence.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;

  Rows(const Tensor& t, int64_t batch, bool reverse)
      : data(static_cast<T*>(t.data) + batch * t.strides[0] + (reverse ? (t.shape[1] - 1) * t.strides[1] : 0)),
        stride(reverse ? -t.strides[1] : t.strides[1]) {}
  T* operator[](int64_t i) const { return data + i * stride; }
};

// An affine map h -> a h + b.
struct Affine {
  Vec a, b;
};
STATESPACE_INLINE Affine compose(const Affine& earlier, const Affine& later) {
  return {later.a * earlier.a, fma(later.a, earlier.b, later.b)};
}

// Neighbouring channels; `vectors` is kVectors, with all lanes there, or 1.
struct Block {
  int64_t first, lanes;
};
template <typename F>
void for_blocks(int64_t begin, int64_t end, F f) {
  for (; begin + kVectors * kWidth <= end; begin += kVectors * kWidth) {
    f(Block{begin, kWidth}, std::integral_constant<int, kVectors>());
  }
  for (; begin < end; begin += kWidth) {
    f(Block{begin, std::min<int64_t>(kWidth, end - begin)}, std::integral_constant<int, 1>());
  }
}

// Steps [begin, end) of a block from the state in `state` [padded dim], which is not changed.
template <typename T, int kCount>
void scan_steps(const AssociativeScanForward& op, int64_t batch, Block block, int64_t begin, int64_t end,
                const float* state) {
  const Rows<const T> a(op.a, batch, op.reverse), b(op.b, batch, op.reverse);
  const Rows<T> out(op.h, batch, op.reverse);
  Vec h[kCount];
  for (int v = 0; v < kCount; ++v) h[v] = state ? load_lanes(state + block.first + v * kWidth, block.lanes) : Vec{};
  for (int64_t i = begin; i < end; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      const int64_t at = block.first + v * kWidth;
      h[v] = fma(load_lanes(a[i] + at, block.lanes), h[v], load_lanes(b[i] + at, block.lanes));
      store_lanes(out[i] + at, h[v], block.lanes);
    }
  }
}

const float* initial_of(const AssociativeScanForward& op, int64_t batch) {
  return op.initial_state ? static_cast<const float*>(op.initial_state.data) + batch * op.a.shape[2] : nullptr;
}

// Channels of a task.
constexpr int64_t kSlab = 64;

template <typename T>
void scan_sequential(const AssociativeScanForward& op) {
  const int64_t length = op.a.shape[1], dim = op.a.shape[2], slabs = (dim + kSlab - 1) / kSlab;
  parallel_for(op.a.shape[0] * slabs, 60000 / (length * kSlab + 1), [&](int64_t task) {
    const int64_t batch = task / slabs, first = task % slabs * kSlab;
    for_blocks(first, std::min(dim, first + kSlab), [&](Block block, auto count) {
      scan_steps<T, count>(op, batch, block, 0, length, initial_of(op, batch));
    });
  });
}

// Each chunk as one map, the states between the chunks, then each chunk from its state.
template <typename T>
void scan_chunked(const AssociativeScanForward& op) {
  const int64_t batch = op.a.shape[0], length = op.a.shape[1], dim = op.a.shape[2];
  const int64_t row = padded(dim), slabs = (dim + kSlab - 1) / kSlab;
  const int64_t chunk = (length + kChunks - 1) / kChunks, tasks = batch * kChunks * slabs;
  // [batch][chunk][a, b][row]; the states before the chunks take the place of a.
  float* maps = static_cast<float*>(scratch(Slot::kernel1, sizeof(float) * batch * kChunks * 2 * row));
  const auto begin_of = [&](int64_t index) { return std::min(length, index * chunk); };

  parallel_for(tasks, [&](int64_t task) {
    const int64_t first = task % slabs * kSlab, index = task / slabs % kChunks, b = task / slabs / kChunks;
    const Rows<const T> rows_a(op.a, b, op.reverse), rows_b(op.b, b, op.reverse);
    float* target = maps + (b * kChunks + index) * 2 * row;
    for_blocks(first, std::min(dim, first + kSlab), [&](Block block, auto count) {
      Affine total[count];
      for (int v = 0; v < count; ++v) total[v] = {broadcast(1.0f), Vec{}};
      for (int64_t i = begin_of(index); i < begin_of(index + 1); ++i) {
        for (int v = 0; v < count; ++v) {
          const int64_t at = block.first + v * kWidth;
          total[v] =
              compose(total[v], {load_lanes(rows_a[i] + at, block.lanes), load_lanes(rows_b[i] + at, block.lanes)});
        }
      }
      for (int v = 0; v < count; ++v) {
        store(target + block.first + v * kWidth, total[v].a);
        store(target + row + block.first + v * kWidth, total[v].b);
      }
    });
  });
  for (int64_t b = 0; b < batch; ++b) {
    const float* initial = initial_of(op, b);
    for (int64_t d = 0; d < dim; d += kWidth) {
      Vec h = initial ? load_lanes(initial + d, std::min<int64_t>(kWidth, dim - d)) : Vec{};
      for (int64_t index = 0; index < kChunks; ++index) {
        float* map = maps + (b * kChunks + index) * 2 * row + d;
        const Vec before = h;
        h = fma(load(map), h, load(map + row));
        store(map, before);
      }
    }
  }
  parallel_for(tasks, [&](int64_t task) {
    const int64_t first = task % slabs * kSlab, index = task / slabs % kChunks, b = task / slabs / kChunks;
    for_blocks(first, std::min(dim, first + kSlab), [&](Block block, auto count) {
      scan_steps<T, count>(op, b, block, begin_of(index), begin_of(index + 1), maps + (b * kChunks + index) * 2 * row);
    });
  });
}

// Blelloch's tree over time, filled up with identities to a power of two: up to sums of subtrees, then down with the
// prefix before each subtree. Maps do not commute: the prefix is the earlier one.
template <typename T>
void scan_tree(const AssociativeScanForward& op) {
  const int64_t length = op.a.shape[1], dim = op.a.shape[2], vectors = (dim + kWidth - 1) / kWidth;
  int64_t leaves = 1;
  while (leaves < length) leaves *= 2;
  parallel_for(op.a.shape[0] * vectors, 4096 / (leaves + 1), [&](int64_t task) {
    const int64_t batch = task / vectors, first = task % vectors * kWidth,
                  lanes = std::min<int64_t>(kWidth, dim - first);
    const Rows<const T> a(op.a, batch, op.reverse), b(op.b, batch, op.reverse);
    const Rows<T> out(op.h, batch, op.reverse);
    const Affine identity = {broadcast(1.0f), Vec{}};
    Affine* tree = static_cast<Affine*>(scratch(Slot::kernel0, sizeof(Affine) * leaves));
    for (int64_t i = 0; i < leaves; ++i) {
      tree[i] = i < length ? Affine{load_lanes(a[i] + first, lanes), load_lanes(b[i] + first, lanes)} : identity;
    }
    for (int64_t d = 1; d < leaves; d *= 2) {
      for (int64_t i = 2 * d - 1; i < leaves; i += 2 * d) tree[i] = compose(tree[i - d], tree[i]);
    }
    tree[leaves - 1] = identity;
    for (int64_t d = leaves / 2; d > 0; d /= 2) {
      for (int64_t i = 2 * d - 1; i < leaves; i += 2 * d) {
        const Affine left = tree[i - d], prefix = tree[i];
        tree[i - d] = prefix;
        tree[i] = compose(prefix, left);
      }
    }
    const float* initial = initial_of(op, batch);
    const Vec start = initial ? load_lanes(initial + first, lanes) : Vec{};
    for (int64_t i = 0; i < length; ++i) {
      const Vec before = fma(tree[i].a, start, tree[i].b);
      store_lanes(out[i] + first, fma(load_lanes(a[i] + first, lanes), before, load_lanes(b[i] + first, lanes)), lanes);
    }
  });
}

template <typename T>
void scan(const AssociativeScanForward& op) {
  if (op.a.size() == 0) return;
  auto algorithm = static_cast<ScanAlgorithm>(op.algorithm);
  if (algorithm == ScanAlgorithm::automatic) {
    // By the shape alone: two passes pay where there are few channels and a long way to go.
    const bool narrow = op.a.shape[0] * ((op.a.shape[2] + kSlab - 1) / kSlab) < 4 && op.a.shape[1] >= 8192;
    algorithm = narrow ? ScanAlgorithm::chunked : ScanAlgorithm::sequential;
  }
  if (algorithm == ScanAlgorithm::blelloch) return scan_tree<T>(op);
  if (algorithm == ScanAlgorithm::chunked) return scan_chunked<T>(op);
  scan_sequential<T>(op);
}

// g[t] = dh[t] + a[t+1] g[t+1];  db = g;  da[t] = g[t] h[t-1].
template <typename T, int kCount>
void backward_block(const AssociativeScanBackward& op, int64_t batch, Block block) {
  const int64_t length = op.a.shape[1], dim = op.a.shape[2];
  const Rows<const T> a(op.a, batch, op.reverse), h(op.h, batch, op.reverse), dh(op.dh, batch, op.reverse);
  const Rows<T> da(op.da, batch, op.reverse), db(op.db, batch, op.reverse);
  const float* initial = op.initial_state ? static_cast<const float*>(op.initial_state.data) + batch * dim : nullptr;
  Vec carry[kCount]{};  // a[t+1] g[t+1]
  for (int64_t i = length - 1; i >= 0; --i) {
#pragma GCC unroll 4
    for (int v = 0; v < kCount; ++v) {
      const int64_t at = block.first + v * kWidth;
      const Vec g = load_lanes(dh[i] + at, block.lanes) + carry[v];
      Vec before{};
      if (i > 0) {
        before = load_lanes(h[i - 1] + at, block.lanes);
      } else if (initial) {
        before = load_lanes(initial + at, block.lanes);
      }
      carry[v] = load_lanes(a[i] + at, block.lanes) * g;
      store_lanes(db[i] + at, g, block.lanes);
      store_lanes(da[i] + at, g * before, block.lanes);
    }
  }
  if (!op.dinitial_state) return;
  float* dinitial = static_cast<float*>(op.dinitial_state.data) + batch * dim + block.first;
  for (int v = 0; v < kCount; ++v) store_lanes(dinitial + v * kWidth, carry[v], block.lanes);
}

template <typename T>
void scan_back(const AssociativeScanBackward& op) {
  const int64_t dim = op.a.shape[2], slabs = (dim + kSlab - 1) / kSlab;
  parallel_for(op.a.shape[0] * slabs, 30000 / (op.a.shape[1] * kSlab + 1), [&](int64_t task) {
    const int64_t batch = task / slabs, first = task % slabs * kSlab;
    for_blocks(first, std::min(dim, first + kSlab),
               [&](Block block, auto count) { backward_block<T, count>(op, batch, block); });
  });
}

}  // namespace

template <>
void run(const AssociativeScanForward& op) {
  switch (op.a.dtype) {
    case DType::bfloat16:
      return scan<bf16>(op);
    case DType::float16:
      return scan<f16>(op);
    default:
      return scan<float>(op);
  }
}

template <>
void run(const AssociativeScanBackward& op) {
  switch (op.a.dtype) {
    case DType::bfloat16:
      return scan_back<bf16>(op);
    case DType::float16:
      return scan_back<f16>(op);
    default:
      return scan_back<float>(op);
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
