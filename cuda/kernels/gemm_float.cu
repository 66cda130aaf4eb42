// float32 products: a block computes a 128 x 128 tile of c with tiles of a and b in shared memory, copied three steps
// of k ahead; each thread keeps 8 x 8 sums in registers.
#include "cuda/device/async_copy.cuh"
#include "cuda/device/shared.cuh"
#include "cuda/kernels/gemm.cuh"

namespace statespace::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kTileK = 16;
constexpr int kStages = 3;
constexpr int kPitch = kGemmTile + 4;  // floats from one k to the next: rows start in different banks

struct FloatTile {
  float values[kTileK][kPitch];
};
struct FloatStage {
  FloatTile a, b;
};

struct FloatTiles {
  const float* data;
  int64_t line_stride, k_stride;
  bool is_vector;  // lines are neighbours, in 16-byte steps
};

// Starts the copies of lines [line, line + 128) at [k, k + 16); zero outside of `lines` and `k_end`.
__device__ void copy_tile(FloatTile& tile, const FloatTiles& from, int64_t line, int64_t lines, int64_t k,
                          int64_t k_end) {
  const int thread = static_cast<int>(threadIdx.x);
  if (from.is_vector) {
    constexpr int kVectors = kGemmTile / 4;
#pragma unroll
    for (int i = 0; i < kTileK * kVectors / kThreads; ++i) {
      const int index = thread + i * kThreads;
      const int step = index / kVectors, column = index % kVectors * 4;
      const int64_t left = k + step < k_end ? lines - line - column : 0;
      const float* address = left > 0 ? from.data + (k + step) * from.k_stride + line + column : from.data;
      async_copy_or_zero<16>(&tile.values[step][column], address,
                             left >= 4  ? 16
                             : left > 0 ? static_cast<int>(4 * left)
                                        : 0);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kTileK * kGemmTile / kThreads; ++i) {
      const int index = thread + i * kThreads;
      const int step = index % kTileK, column = index / kTileK;
      const bool exists = k + step < k_end && line + column < lines;
      const float* address =
          exists ? from.data + (line + column) * from.line_stride + (k + step) * from.k_stride : from.data;
      async_copy_or_zero<4>(&tile.values[step][column], address, exists ? 4 : 0);
    }
  }
}

__global__ void __launch_bounds__(kThreads) gemm_float_kernel(GemmArguments arguments, FloatTiles a, FloatTiles b) {
  FloatStage* stages = dynamic_shared<FloatStage>();
  const GemmBlock block = gemm_block<kGemmTile, kGemmTile>(arguments);
  a.data += block.product * arguments.a.batch_stride;
  b.data += block.product * arguments.b.batch_stride;
  const int thread_row = static_cast<int>(threadIdx.x) / 16 * 4, thread_column = static_cast<int>(threadIdx.x) % 16 * 4;

  auto start = [&](int stage, int64_t k) {
    if (k < block.k_end) {
      copy_tile(stages[stage].a, a, block.row, arguments.m, k, block.k_end);
      copy_tile(stages[stage].b, b, block.column, arguments.n, k, block.k_end);
    }
    async_commit();
  };
  for (int stage = 0; stage < kStages - 1; ++stage) start(stage, block.k_start + stage * kTileK);

  // Rows thread_row + {0..3, 64..67}, columns alike: a warp then reads shared memory without conflicts.
  float sums[8][8] = {};
  int stage = 0;
  for (int64_t k = block.k_start; k < block.k_end; k += kTileK) {
    async_wait<kStages - 2>();
    __syncthreads();  // this stage has come, and all are done with the one before it
    start(stage == 0 ? kStages - 1 : stage - 1, k + (kStages - 1) * kTileK);
    const FloatStage& now = stages[stage];
#pragma unroll
    for (int step = 0; step < kTileK; ++step) {
      float rows[8], columns[8];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Vector<float> from_a = load_vector(&now.a.values[step][thread_row + 64 * half]);
        const Vector<float> from_b = load_vector(&now.b.values[step][thread_column + 64 * half]);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          rows[4 * half + i] = from_a[i];
          columns[4 * half + i] = from_b[i];
        }
      }
#pragma unroll
      for (int i = 0; i < 8; ++i) {
#pragma unroll
        for (int j = 0; j < 8; ++j) sums[i][j] = fma_rn(rows[i], columns[j], sums[i][j]);
      }
    }
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  async_wait<0>();
#pragma unroll
  for (int i = 0; i < 8; ++i) {
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      arguments.store(block.split, block.product, block.row + thread_row + i % 4 + i / 4 * 64,
                      block.column + thread_column + j % 4 + j / 4 * 64, sums[i][j]);
    }
  }
}

FloatTiles tiles_of(const GemmOperand& operand) {
  const bool is_vector = operand.line_stride == 1 && operand.k_stride % 4 == 0 && operand.batch_stride % 4 == 0 &&
                         is_aligned(operand.data, 16);
  return {static_cast<const float*>(operand.data), operand.line_stride, operand.k_stride, is_vector};
}

}  // namespace

void launch_gemm_float(const GemmArguments& arguments, Context& context) {
  const int64_t blocks = arguments.tiles_m * arguments.tiles_n * arguments.batch * arguments.splits;
  launch(gemm_float_kernel, {dim3(static_cast<unsigned>(blocks)), dim3(kThreads), kStages * sizeof(FloatStage)},
         context.stream, arguments, tiles_of(arguments.a), tiles_of(arguments.b));
}

}  // namespace statespace::cuda
