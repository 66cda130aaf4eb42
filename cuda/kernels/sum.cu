// y = scale * sum of x over the middle axis. A block sums a chunk of rows for a tile of columns; the partial sums of
// the chunks are summed in a second launch. Chunks depend on the shape alone, and so does the order of additions.
#include "cpp/ops/sum.h"

#include <algorithm>

#include "cuda/device/reduce.cuh"
#include "cuda/kernels/sum.cuh"

namespace statespace::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kUnroll = 4;

struct SumPlan {
  SumShape shape;
  int64_t chunks, chunk_rows, column_tiles;
  int lanes;  // threads along the columns, a power of two; the others share the rows
};

// One block per (outer, chunk, tile of 8 * lanes columns).
__global__ void __launch_bounds__(kThreads) sum_columns_kernel(Floats x, SumPlan plan, float scale, Floats y) {
  auto& sums = block_shared<float[kThreads][kOctet], struct SumsOfThreads>();
  const int64_t tile = blockIdx.x % plan.column_tiles;
  const int64_t outer_chunk = blockIdx.x / plan.column_tiles;
  const int64_t outer = outer_chunk / plan.chunks, chunk = outer_chunk % plan.chunks;
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % plan.lanes, group = thread / plan.lanes, groups = kThreads / plan.lanes;
  const SumShape& shape = plan.shape;
  const int64_t column = (tile * plan.lanes + lane) * kOctet;
  const int count = column < shape.inner ? octet_count(column, shape.inner) : 0;
  const int64_t end = min(shape.length, (chunk + 1) * plan.chunk_rows);
  const int64_t origin = outer * shape.length * shape.row_stride + column;

  float sum[kOctet] = {};
  if (count > 0) {
    for (int64_t row = chunk * plan.chunk_rows + group; row < end; row += kUnroll * groups) {
      Octet octets[kUnroll];
#pragma unroll
      for (int i = 0; i < kUnroll; ++i) {
        const int64_t next = row + i * groups;
        octets[i] = load_octet(x, origin + min(next, end - 1) * shape.row_stride, next < end ? count : 0);
      }
#pragma unroll
      for (int i = 0; i < kUnroll; ++i) {
        float values[kOctet];
        convert(octets[i], x.dtype, values);
#pragma unroll
        for (int j = 0; j < kOctet; ++j) sum[j] += values[j];
      }
    }
  }
#pragma unroll
  for (int j = 0; j < kOctet; ++j) sums[thread][j] = sum[j];
  for (int half = groups / 2; half > 0; half /= 2) {
    __syncthreads();  // `sums` of the groups that are added
    if (group < half) {
#pragma unroll
      for (int j = 0; j < kOctet; ++j) sums[thread][j] += sums[thread + half * plan.lanes][j];
    }
  }
  if (group == 0 && count > 0) {
#pragma unroll
    for (int j = 0; j < kOctet; ++j) sum[j] = scale * sums[thread][j];
    store_octet(y, outer_chunk * shape.inner + column, sum, count);
  }
}

// One block per (outer, chunk) of a dense row.
__global__ void __launch_bounds__(kThreads) sum_row_kernel(Floats x, SumPlan plan, float scale, Floats y) {
  const int64_t outer = blockIdx.x / plan.chunks, chunk = blockIdx.x % plan.chunks;
  const int64_t length = plan.shape.length;
  const int64_t end = min(length, (chunk + 1) * plan.chunk_rows);
  float sum = 0.0f;
  for (int64_t first = chunk * plan.chunk_rows + threadIdx.x * kOctet; first < end; first += kThreads * kOctet) {
    float values[kOctet];
    load_octet(values, x, outer * length + first, octet_count(first, end));
#pragma unroll
    for (int j = 0; j < kOctet; ++j) sum += values[j];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) store_float(y, blockIdx.x, scale * sum);
}

// Enough chunks to fill a large chip, of at least `least` rows.
int64_t chunks_of(int64_t length, int64_t blocks_of_a_chunk, int64_t least) {
  constexpr int64_t kWantedBlocks = 1024;
  const int64_t wanted = ceil_div(kWantedBlocks, std::max<int64_t>(blocks_of_a_chunk, 1));
  return std::max<int64_t>(1, std::min(wanted, length / least));
}

void sum_once(const Floats& x, SumPlan plan, float scale, const Floats& y, bool is_row, Context& context) {
  plan.chunk_rows = ceil_div<int64_t>(plan.shape.length, plan.chunks);
  const dim3 grid(static_cast<unsigned>(plan.shape.outer * plan.chunks * plan.column_tiles));
  launch(is_row ? sum_row_kernel : sum_columns_kernel, {grid, dim3(kThreads)}, context.stream, x, plan, scale, y);
}

}  // namespace

void sum_middle(const Floats& x, const SumShape& shape, float scale, const Floats& y, Context& context) {
  if (shape.outer * shape.inner == 0) return;
  const bool is_row = shape.inner == 1 && shape.row_stride == 1;
  SumPlan plan{shape, 1, 0, 1, 1};
  if (!is_row) {
    while (plan.lanes < kWarpSize && plan.lanes * kOctet < shape.inner) plan.lanes *= 2;
    plan.column_tiles = ceil_div<int64_t>(shape.inner, plan.lanes * kOctet);
  }
  const int64_t least = is_row ? kThreads * kOctet : kUnroll * (kThreads / plan.lanes);
  plan.chunks = chunks_of(shape.length, shape.outer * plan.column_tiles, least);
  if (plan.chunks == 1) return sum_once(x, plan, scale, y, is_row, context);

  float* partial = context.scratch<float>(static_cast<size_t>(shape.outer * plan.chunks * shape.inner));
  sum_once(x, plan, 1.0f, partial, is_row, context);
  SumPlan second = plan;
  second.shape = {shape.outer, plan.chunks, shape.inner, shape.inner};
  second.chunks = 1;
  sum_once(partial, second, scale, y, is_row, context);
}

template <>
void run(const statespace::Sum& op, Context& context) {
  const int64_t inner = op.x.dim(2);
  sum_middle(op.x, {op.x.dim(0), op.x.dim(1), inner, inner}, static_cast<float>(op.scale), op.y, context);
}

}  // namespace statespace::cuda
