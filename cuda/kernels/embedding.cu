// Rows of a table by id. Backward sorts the positions by id (stably, by digits) and sums each id's rows in the order of
// their positions, so that no atomic addition decides the order.
#include "cpp/ops/embedding.h"

#include <utility>

#include "cuda/device/reduce.cuh"
#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kDigits = 256;  // values of a digit of 8 bits; as many as threads in a block
constexpr int kSumGroups = 8;

struct ForwardArguments {
  const int32_t* ids;
  Floats weight, y;
  int64_t tokens, vocab, dim, octets;
  DeviceFault* fault;
};

// A thread copies eight neighbours of a row.
__global__ void embedding_kernel(ForwardArguments arguments) {
  const int64_t token = global_thread() / arguments.octets;
  if (token >= arguments.tokens) return;
  const int64_t first = (global_thread() - token * arguments.octets) * kOctet;
  const int count = octet_count(first, arguments.dim);
  const int64_t id = arguments.ids[token];
  float values[kOctet] = {};
  if (id >= 0 && id < arguments.vocab) {
    load_octet(values, arguments.weight, id * arguments.dim + first, count);
  } else if (first == 0) {
    raise_fault(arguments.fault, id, arguments.vocab);
  }
  store_octet(arguments.y, token * arguments.dim + first, values, count);
}

struct Positions {
  unsigned* ids;
  int* tokens;
};

// An id outside the table becomes `vocab`, which is behind all rows.
__global__ void list_positions_kernel(const int32_t* ids, Positions positions, int64_t tokens, int64_t vocab,
                                      DeviceFault* fault) {
  const int64_t token = global_thread();
  if (token >= tokens) return;
  const int64_t id = ids[token];
  const bool is_known = id >= 0 && id < vocab;
  if (!is_known) raise_fault(fault, id, vocab);
  positions.ids[token] = static_cast<unsigned>(is_known ? id : vocab);
  positions.tokens[token] = static_cast<int>(token);
}

__device__ int digit_of(unsigned id, int shift) { return static_cast<int>(id >> shift & (kDigits - 1)); }

// One block per tile of 256 positions: how often each digit is there. counts: [digits, tiles].
__global__ void __launch_bounds__(kThreads)
    count_digits_kernel(const unsigned* ids, int64_t tokens, int shift, int* counts) {
  auto& tile_counts = block_shared<int[kDigits], struct TileCounts>();
  const int thread = static_cast<int>(threadIdx.x);
  tile_counts[thread] = 0;
  __syncthreads();  // `tile_counts` is clear
  const int64_t token = global_thread();
  if (token < tokens) atomicAdd(&tile_counts[digit_of(ids[token], shift)], 1);
  __syncthreads();  // `tile_counts` is complete
  counts[static_cast<int64_t>(thread) * gridDim.x + blockIdx.x] = tile_counts[thread];
}

// Each thread gets the sum of the values of the threads before it; `total` becomes that of all.
__device__ int block_sum_before(int value, int& total) {
  auto& sums = block_shared<int[kThreads], struct SumsBefore>();
  const int thread = static_cast<int>(threadIdx.x);
  int sum = value;
  sums[thread] = sum;
  __syncthreads();  // `sums` of all threads
  for (int distance = 1; distance < kThreads; distance *= 2) {
    const int earlier = thread >= distance ? sums[thread - distance] : 0;
    __syncthreads();  // all have read `sums`
    sum += earlier;
    sums[thread] = sum;
    __syncthreads();  // `sums` of this round
  }
  total = sums[kThreads - 1];
  __syncthreads();  // the next call may write `sums`
  return sum - value;
}

// One block per digit: counts become the number of this digit in earlier tiles; `totals` gets that in all.
__global__ void __launch_bounds__(kThreads) scan_digits_kernel(int* counts, int64_t tiles, int* totals) {
  int* mine = counts + static_cast<int64_t>(blockIdx.x) * tiles;
  int before = 0;
  for (int64_t start = 0; start < tiles; start += kThreads) {
    const int64_t tile = start + threadIdx.x;
    int total;
    const int earlier = block_sum_before(tile < tiles ? mine[tile] : 0, total);
    if (tile < tiles) mine[tile] = before + earlier;
    before += total;
  }
  if (threadIdx.x == 0) totals[blockIdx.x] = before;
}

// One block per tile: each position goes behind the smaller digits, and the equal ones before it.
__global__ void __launch_bounds__(kThreads) move_positions_kernel(Positions from, Positions to, int64_t tokens,
                                                                  int shift, const int* counts, const int* totals) {
  auto& digits = block_shared<int[kThreads], struct TileDigits>();
  auto& starts = block_shared<int[kDigits], struct DigitStarts>();
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t token = global_thread();
  const unsigned id = token < tokens ? from.ids[token] : 0;
  const int digit = token < tokens ? digit_of(id, shift) : -1;
  int all;
  starts[thread] =
      block_sum_before(totals[thread], all) + counts[static_cast<int64_t>(thread) * gridDim.x + blockIdx.x];
  digits[thread] = digit;
  __syncthreads();  // `digits` and `starts`
  int rank = 0;
  for (int other = 0; other < thread; ++other) rank += digits[other] == digit;
  if (digit >= 0) {
    const int place = starts[digit] + rank;
    to.ids[place] = id;
    to.tokens[place] = from.tokens[token];
  }
}

// The first position whose id is at least `id`.
__device__ int64_t lower_bound(const unsigned* ids, int64_t tokens, int64_t id) {
  int64_t low = 0, high = tokens;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (static_cast<int64_t>(ids[middle]) < id) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// One block per (id, tile of 32 octets): its warps share the rows of the id.
__global__ void __launch_bounds__(kWarpSize* kSumGroups)
    sum_rows_kernel(Positions sorted, Floats dy, float* dweight, int64_t tokens, int64_t dim, int64_t column_tiles) {
  auto& sums = block_shared<float[kSumGroups][kWarpSize][kOctet], struct SumsOfGroups>();
  const int64_t id = blockIdx.x / column_tiles;
  const int lane = lane_index(), group = warp_index();
  const int64_t column = (blockIdx.x % column_tiles * kWarpSize + lane) * kOctet;
  const int count = column < dim ? octet_count(column, dim) : 0;
  const int64_t start = lower_bound(sorted.ids, tokens, id), end = lower_bound(sorted.ids, tokens, id + 1);

  float sum[kOctet] = {};
  if (count > 0) {
    for (int64_t place = start + group; place < end; place += kSumGroups) {
      float values[kOctet];
      load_octet(values, dy, sorted.tokens[place] * dim + column, count);
#pragma unroll
      for (int i = 0; i < kOctet; ++i) sum[i] += values[i];
    }
  }
  if (end - start > 1) {  // the same for the whole block
#pragma unroll
    for (int i = 0; i < kOctet; ++i) sums[group][lane][i] = sum[i];
    __syncthreads();  // `sums` of all groups
    if (group == 0) {
      for (int other = 1; other < kSumGroups; ++other) {
#pragma unroll
        for (int i = 0; i < kOctet; ++i) sum[i] += sums[other][lane][i];
      }
    }
  }
  if (group == 0 && count > 0) store_octet(dweight, id * dim + column, sum, count);
}

}  // namespace

template <>
void run(const EmbeddingForward& op, Context& context) {
  const int64_t dim = op.weight.dim(1), octets = ceil_div<int64_t>(dim, kOctet), tokens = op.ids.size();
  const ForwardArguments arguments = {op.ids.as<int32_t>(), op.weight, op.y,   tokens,
                                      op.weight.dim(0),     dim,       octets, context.fault};
  launch_each(embedding_kernel, tokens * octets, context, arguments);
}

template <>
void run(const EmbeddingBackward& op, Context& context) {
  const int64_t tokens = op.ids.size(), dim = op.dweight.dim(1);
  if (op.vocab * dim == 0) return;
  auto positions = [&] {
    return Positions{context.scratch<unsigned>(static_cast<size_t>(tokens)),
                     context.scratch<int>(static_cast<size_t>(tokens))};
  };
  Positions sorted = positions(), other = positions();
  if (tokens > 0) {
    const int64_t tiles = ceil_div<int64_t>(tokens, kThreads);
    int* counts = context.scratch<int>(static_cast<size_t>(tiles * kDigits));
    int* totals = context.scratch<int>(kDigits);
    const LaunchShape tile_shape = {dim3(static_cast<unsigned>(tiles)), dim3(kThreads)};
    launch_each(list_positions_kernel, tokens, context, op.ids.as<int32_t>(), sorted, tokens, op.vocab, context.fault);
    for (int shift = 0; op.vocab >> shift > 0; shift += 8) {
      launch(count_digits_kernel, tile_shape, context.stream, sorted.ids, tokens, shift, counts);
      launch(scan_digits_kernel, {dim3(kDigits), dim3(kThreads)}, context.stream, counts, tiles, totals);
      launch(move_positions_kernel, tile_shape, context.stream, sorted, other, tokens, shift, counts, totals);
      std::swap(sorted, other);
    }
  }
  const int64_t column_tiles = ceil_div<int64_t>(dim, kWarpSize * kOctet);
  launch(sum_rows_kernel, {dim3(static_cast<unsigned>(op.vocab * column_tiles)), dim3(kWarpSize * kSumGroups)},
         context.stream, sorted, op.dy, op.dweight.as<float>(), tokens, dim, column_tiles);
}

}  // namespace statespace::cuda
