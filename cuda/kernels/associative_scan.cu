// h[t] = a[t] h[t-1] + b[t] along the length, three ways. Backward is the same scan from the other end:
//   g[t] = dh[t] + a[t+1] g[t+1];  db = g;  da[t] = g[t] h[t-1];  dinitial_state = a[0] g[0].
#include "cpp/ops/associative_scan.h"

#include <algorithm>

#include "cuda/device/scan.cuh"
#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

namespace {

// A recurrence in the order of its own positions 0, 1, ..., whichever way these run along the length.
template <typename T>
struct ScanArguments {
  const T *a, *b;
  int64_t a_batch, a_step, b_batch, b_step;  // strides
  const float* initial_state;
  T* h;  // [batch, length, dim], or db in a backward scan
  int64_t batch, length, dim;
  bool from_end;  // position 0 is the last step
  // Backward only.
  const T* states;
  int64_t states_batch, states_step;
  T* da;
  float* dinitial_state;

  __device__ int64_t step(int64_t position) const { return from_end ? length - 1 - position : position; }
};

constexpr int kUnroll = 8;

// The map of one position. A backward scan decays by the `a` of the position before, and by nothing that matters first.
template <bool kBackward, typename T>
__device__ Affine map_at(const ScanArguments<T>& arguments, int64_t batch, int64_t position, int64_t channel) {
  const int64_t step = arguments.step(position);
  const int64_t a_step = kBackward ? (position > 0 ? arguments.step(position - 1) : step) : step;
  return {to_float(arguments.a[batch * arguments.a_batch + a_step * arguments.a_step + channel]),
          to_float(arguments.b[batch * arguments.b_batch + step * arguments.b_step + channel])};
}

template <bool kBackward, typename T>
__device__ float first_state(const ScanArguments<T>& arguments, int64_t batch, int64_t channel) {
  return !kBackward && arguments.initial_state ? arguments.initial_state[batch * arguments.dim + channel] : 0.0f;
}

template <bool kBackward, typename T>
__device__ void store_state(const ScanArguments<T>& arguments, int64_t batch, int64_t position, int64_t channel,
                            float h) {
  const int64_t step = arguments.step(position);
  const int64_t index = (batch * arguments.length + step) * arguments.dim + channel;
  arguments.h[index] = from_float<T>(h);
  if constexpr (kBackward) {
    // The recurrence that is differentiated ran the other way: its state before this step is at the next position.
    const bool is_first = position + 1 == arguments.length;
    float before = 0.0f;
    if (!is_first) {
      before = to_float(arguments.states[batch * arguments.states_batch +
                                         arguments.step(position + 1) * arguments.states_step + channel]);
    } else if (arguments.initial_state) {
      before = arguments.initial_state[batch * arguments.dim + channel];
    }
    arguments.da[index] = from_float<T>(h * before);
    if (is_first && arguments.dinitial_state) {
      const float a = to_float(arguments.a[batch * arguments.a_batch + step * arguments.a_step + channel]);
      arguments.dinitial_state[batch * arguments.dim + channel] = a * h;
    }
  }
}

// Walks positions [start, end) with h from `state`, which it leaves at the last.
template <bool kBackward, bool kStores, typename T>
__device__ Affine walk(const ScanArguments<T>& arguments, int64_t batch, int64_t channel, int64_t start, int64_t end,
                       Affine state) {
  for (int64_t position = start; position < end; position += kUnroll) {
    Affine maps[kUnroll];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      maps[i] = map_at<kBackward>(arguments, batch, min(position + i, end - 1), channel);
    }
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      if (position + i >= end) continue;
      state = then(state, maps[i]);
      if constexpr (kStores) store_state<kBackward>(arguments, batch, position + i, channel, state.input);
    }
  }
  return state;
}

// Sequential: one thread per (batch, channel).
template <bool kBackward, typename T>
__global__ void __launch_bounds__(kElementwiseThreads) scan_sequential_kernel(ScanArguments<T> arguments) {
  const int64_t channel = global_thread() % arguments.dim, batch = global_thread() / arguments.dim;
  if (batch >= arguments.batch) return;
  walk<kBackward, true>(arguments, batch, channel, 0, arguments.length,
                        Affine{1.0f, first_state<kBackward>(arguments, batch, channel)});
}

// Blelloch: one block per (batch, kBlellochChannels channels) sweeps up and down a tree over kBlellochSteps positions,
// and carries the state to the next ones.
constexpr int kBlellochSteps = 256, kBlellochChannels = 8, kBlellochThreads = 256;

template <bool kBackward, typename T>
__global__ void __launch_bounds__(kBlellochThreads, 1) scan_blelloch_kernel(ScanArguments<T> arguments) {
  auto& tree = block_shared<Affine[kBlellochSteps][kBlellochChannels], struct BlellochTree>();
  const int64_t channel_tiles = ceil_div<int64_t>(arguments.dim, kBlellochChannels);
  const int64_t batch = blockIdx.x / channel_tiles;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % kBlellochChannels, worker = thread / kBlellochChannels;
  constexpr int kWorkers = kBlellochThreads / kBlellochChannels;
  const int64_t channel = blockIdx.x % channel_tiles * kBlellochChannels + lane;
  const bool is_there = channel < arguments.dim;

  float carry = is_there ? first_state<kBackward>(arguments, batch, channel) : 0.0f;
  for (int64_t start = 0; start < arguments.length; start += kBlellochSteps) {
    for (int i = worker; i < kBlellochSteps; i += kWorkers) {
      const bool exists = is_there && start + i < arguments.length;
      tree[i][lane] = exists ? map_at<kBackward>(arguments, batch, start + i, channel) : Affine{1.0f, 0.0f};
    }
    // Up: each node becomes the composition of its leaves.
    for (int distance = 1; distance < kBlellochSteps; distance *= 2) {
      __syncthreads();  // nodes of the level below
      for (int i = worker; i < kBlellochSteps / 2 / distance; i += kWorkers) {
        const int right = 2 * distance * (i + 1) - 1, left = right - distance;
        tree[right][lane] = then(tree[left][lane], tree[right][lane]);
      }
    }
    __syncthreads();  // the root
    const Affine whole = tree[kBlellochSteps - 1][lane];
    __syncthreads();  // all have read the root
    if (worker == 0) tree[kBlellochSteps - 1][lane] = Affine{1.0f, 0.0f};
    // Down: each node becomes the composition of what comes before its leaves.
    for (int distance = kBlellochSteps / 2; distance > 0; distance /= 2) {
      __syncthreads();  // nodes of the level above
      for (int i = worker; i < kBlellochSteps / 2 / distance; i += kWorkers) {
        const int right = 2 * distance * (i + 1) - 1, left = right - distance;
        const Affine before = tree[right][lane];
        tree[right][lane] = then(before, tree[left][lane]);
        tree[left][lane] = before;
      }
    }
    __syncthreads();  // the leaves
    for (int i = worker; i < kBlellochSteps; i += kWorkers) {
      if (!is_there || start + i >= arguments.length) continue;
      const float before = tree[i][lane](carry);
      const float h = map_at<kBackward>(arguments, batch, start + i, channel)(before);
      store_state<kBackward>(arguments, batch, start + i, channel, h);
    }
    carry = whole(carry);
    __syncthreads();  // the next steps overwrite the tree
  }
}

// Chunked: compose each chunk, carry the states from chunk to chunk, then walk each chunk from its state.
constexpr int64_t kChunk = 128;

// One thread per (batch, chunk, channel).
template <bool kBackward, typename T>
__global__ void __launch_bounds__(kElementwiseThreads)
    compose_chunks_kernel(ScanArguments<T> arguments, Affine* maps, int64_t chunks) {
  const int64_t channel = global_thread() % arguments.dim, batch_chunk = global_thread() / arguments.dim;
  const int64_t batch = batch_chunk / chunks, start = batch_chunk % chunks * kChunk;
  if (batch >= arguments.batch) return;
  maps[global_thread()] = walk<kBackward, false>(arguments, batch, channel, start,
                                                 min(arguments.length, start + kChunk), Affine{1.0f, 0.0f});
}

// One thread per (batch, channel). The input of a chunk's map becomes the state before the chunk.
template <bool kBackward, typename T>
__global__ void __launch_bounds__(kElementwiseThreads)
    carry_chunks_kernel(ScanArguments<T> arguments, Affine* maps, int64_t chunks) {
  const int64_t channel = global_thread() % arguments.dim, batch = global_thread() / arguments.dim;
  if (batch >= arguments.batch) return;
  float h = first_state<kBackward>(arguments, batch, channel);
  for (int64_t first = 0; first < chunks; first += kUnroll) {
    Affine loaded[kUnroll];
    auto at = [&](int64_t chunk) { return (batch * chunks + chunk) * arguments.dim + channel; };
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) loaded[i] = maps[at(min(first + i, chunks - 1))];
#pragma unroll
    for (int i = 0; i < kUnroll; ++i) {
      if (first + i >= chunks) continue;
      maps[at(first + i)].input = h;
      h = loaded[i](h);
    }
  }
}

// One thread per (batch, chunk, channel).
template <bool kBackward, typename T>
__global__ void __launch_bounds__(kElementwiseThreads)
    walk_chunks_kernel(ScanArguments<T> arguments, const Affine* maps, int64_t chunks) {
  const int64_t channel = global_thread() % arguments.dim, batch_chunk = global_thread() / arguments.dim;
  const int64_t batch = batch_chunk / chunks, start = batch_chunk % chunks * kChunk;
  if (batch >= arguments.batch) return;
  walk<kBackward, true>(arguments, batch, channel, start, min(arguments.length, start + kChunk),
                        Affine{1.0f, maps[global_thread()].input});
}

// Enough channels keep the chip busy without reading anything twice; few and short ones fit the tree of a block.
ScanAlgorithm choose(int64_t batch, int64_t length, int64_t dim) {
  constexpr int64_t kBusy = 65536;
  if (batch * dim >= kBusy || length <= 64) return ScanAlgorithm::sequential;
  return length <= 4 * kBlellochSteps ? ScanAlgorithm::blelloch : ScanAlgorithm::chunked;
}

template <bool kBackward, typename T>
void launch_scan(const ScanArguments<T>& arguments, ScanAlgorithm algorithm, Context& context) {
  const int64_t channels = arguments.batch * arguments.dim;
  if (channels * arguments.length == 0) return;
  if (algorithm == ScanAlgorithm::automatic) algorithm = choose(arguments.batch, arguments.length, arguments.dim);
  if (algorithm == ScanAlgorithm::sequential) {
    launch_each(scan_sequential_kernel<kBackward, T>, channels, context, arguments);
  } else if (algorithm == ScanAlgorithm::blelloch) {
    const int64_t blocks = arguments.batch * ceil_div<int64_t>(arguments.dim, kBlellochChannels);
    launch(scan_blelloch_kernel<kBackward, T>, {dim3(static_cast<unsigned>(blocks)), dim3(kBlellochThreads)},
           context.stream, arguments);
  } else {
    const int64_t chunks = ceil_div(arguments.length, kChunk);
    Affine* maps = context.scratch<Affine>(static_cast<size_t>(channels * chunks));
    launch_each(compose_chunks_kernel<kBackward, T>, channels * chunks, context, arguments, maps, chunks);
    launch_each(carry_chunks_kernel<kBackward, T>, channels, context, arguments, maps, chunks);
    launch_each(walk_chunks_kernel<kBackward, T>, channels * chunks, context, arguments, maps, chunks);
  }
}

__global__ void clear_kernel(float* target, int64_t size) {
  if (global_thread() < size) target[global_thread()] = 0.0f;
}

}  // namespace

template <>
void run(const AssociativeScanForward& op, Context& context) {
  for_floating_type(op.a.dtype, [&]<typename T>(std::type_identity<T>) {
    ScanArguments<T> arguments = {};
    arguments.a = op.a.as<T>();
    arguments.b = op.b.as<T>();
    arguments.a_batch = op.a.stride(0);
    arguments.a_step = op.a.stride(1);
    arguments.b_batch = op.b.stride(0);
    arguments.b_step = op.b.stride(1);
    arguments.initial_state = op.initial_state.as<float>();
    arguments.h = op.h.as<T>();
    arguments.batch = op.a.dim(0);
    arguments.length = op.a.dim(1);
    arguments.dim = op.a.dim(2);
    arguments.from_end = op.reverse;
    launch_scan<false>(arguments, static_cast<ScanAlgorithm>(op.algorithm), context);
  });
}

template <>
void run(const AssociativeScanBackward& op, Context& context) {
  for_floating_type(op.a.dtype, [&]<typename T>(std::type_identity<T>) {
    ScanArguments<T> arguments = {};
    arguments.a = op.a.as<T>();
    arguments.b = op.dh.as<T>();
    arguments.a_batch = op.a.stride(0);
    arguments.a_step = op.a.stride(1);
    arguments.b_batch = op.dh.stride(0);
    arguments.b_step = op.dh.stride(1);
    arguments.initial_state = op.initial_state.as<float>();
    arguments.h = op.db.as<T>();
    arguments.batch = op.a.dim(0);
    arguments.length = op.a.dim(1);
    arguments.dim = op.a.dim(2);
    arguments.from_end = !op.reverse;
    arguments.states = op.h.as<T>();
    arguments.states_batch = op.h.stride(0);
    arguments.states_step = op.h.stride(1);
    arguments.da = op.da.as<T>();
    arguments.dinitial_state = op.initial_state ? op.dinitial_state.as<float>() : nullptr;
    launch_scan<true>(arguments, ScanAlgorithm::automatic, context);
    if (arguments.length == 0 && arguments.dinitial_state) {
      const int64_t size = op.dinitial_state.size();
      launch_each(clear_kernel, size, context, arguments.dinitial_state, size);
    }
  });
}

}  // namespace statespace::cuda
