// bf16 and f16 products on tensor cores: a block of 8 warps computes a 128 x 128 tile of c with tiles of a and b in
// shared memory, copied three steps of k ahead; a warp keeps 64 x 32 sums in registers.
#include "cuda/device/async_copy.cuh"
#include "cuda/device/shared.cuh"
#include "cuda/device/tensor_core.cuh"
#include "cuda/kernels/gemm.cuh"

namespace statespace::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kTileK = 32;
constexpr int kStages = 3;
constexpr int kWarpRows = 64, kWarpColumns = 32;
// Elements from one line to the next, 8 more than there are: ldmatrix then reads without bank conflicts.
constexpr int kLinePitch = kTileK + 8, kStepPitch = kGemmTile + 8;
constexpr int kTileElements = kGemmTile * kLinePitch;
static_assert(kTileK * kStepPitch <= kTileElements);

// How an operand lies in memory, and then in shared memory: neighbours along k, or along the lines.
enum class Dense { along_k, along_lines };

template <typename T>
struct Operand {
  const T* data;
  int64_t line_stride, k_stride;
  bool is_vector;  // dense, in 16-byte steps
};

// Starts the copy of lines [line, line + 128) at [k, k + 32); zero outside of `lines` and `k_end`.
template <Dense kDense, typename T>
__device__ void copy_tile(T* tile, const Operand<T>& from, int64_t line, int64_t lines, int64_t k, int64_t k_end) {
  constexpr int kVectors = (kDense == Dense::along_k ? kTileK : kGemmTile) / 8;  // of 8 elements
#pragma unroll
  for (int i = 0; i < kGemmTile * kTileK / 8 / kThreads; ++i) {
    const int index = static_cast<int>(threadIdx.x) + i * kThreads;
    const int outer = index / kVectors, inner = index % kVectors * 8;
    T* to = tile + outer * (kDense == Dense::along_k ? kLinePitch : kStepPitch) + inner;
    const int64_t first_line = line + (kDense == Dense::along_k ? outer : inner);
    const int64_t first_k = k + (kDense == Dense::along_k ? inner : outer);
    const bool exists = first_line < lines && first_k < k_end;
    const int64_t left = !exists ? 0 : kDense == Dense::along_k ? k_end - first_k : lines - first_line;
    const int count = left < 8 ? static_cast<int>(left) : 8;
    const T* address = exists ? from.data + first_line * from.line_stride + first_k * from.k_stride : from.data;
    if (from.is_vector) {
      async_copy_or_zero<16>(to, address, count * 2);
    } else {
      const int64_t stride = kDense == Dense::along_k ? from.k_stride : from.line_stride;
      Vector<T> values;
#pragma unroll
      for (int j = 0; j < 8; ++j) values[j] = j < count ? address[j * stride] : from_float<T>(0.0f);
      store_vector(to, values);
    }
  }
}

// Four 8 x 8 tiles of 16 lines and 16 k for one ldmatrix: of a in the order of its fragment's registers, of b two
// fragments of 8 columns after each other.
template <Dense kDense, bool kIsA, typename T>
__device__ void load_fragments(unsigned (&regs)[4], const T* tile, int line, int k, int lane) {
  const int part = lane / 8, row = lane % 8;
  line += (kIsA ? part % 2 : part / 2) * 8;
  k += (kIsA ? part / 2 : part % 2) * 8;
  if constexpr (kDense == Dense::along_k) {
    load_tiles<4>(regs, tile + (line + row) * kLinePitch + k);
  } else {
    load_tiles<4, Tile::kTransposed>(regs, tile + (k + row) * kStepPitch + line);
  }
}

template <typename T, Dense kDenseA, Dense kDenseB>
__global__ void __launch_bounds__(kThreads, 2)
    gemm_tensor_core_kernel(GemmArguments arguments, Operand<T> a, Operand<T> b) {
  T* tiles = dynamic_shared<T>();  // [stages, a and b, elements]
  const GemmBlock block = gemm_block<kGemmTile, kGemmTile>(arguments);
  a.data += block.product * arguments.a.batch_stride;
  b.data += block.product * arguments.b.batch_stride;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_row = warp % 2 * kWarpRows, warp_column = warp / 2 * kWarpColumns;

  auto start = [&](int stage, int64_t k) {
    if (k < block.k_end) {
      T* to = tiles + stage * 2 * kTileElements;
      copy_tile<kDenseA>(to, a, block.row, arguments.m, k, block.k_end);
      copy_tile<kDenseB>(to + kTileElements, b, block.column, arguments.n, k, block.k_end);
    }
    async_commit();
  };
  for (int stage = 0; stage < kStages - 1; ++stage) start(stage, block.k_start + stage * kTileK);

  FragmentC sums[kWarpRows / 16][kWarpColumns / 8];
  int stage = 0;
  for (int64_t k = block.k_start; k < block.k_end; k += kTileK) {
    async_wait<kStages - 2>();
    __syncthreads();  // this stage has come, and all are done with the one before it
    start(stage == 0 ? kStages - 1 : stage - 1, k + (kStages - 1) * kTileK);
    const T* tile_a = tiles + stage * 2 * kTileElements;
    const T* tile_b = tile_a + kTileElements;
#pragma unroll
    for (int step = 0; step < kTileK; step += 16) {
      FragmentA<T> rows[kWarpRows / 16];
      FragmentB<T> columns[kWarpColumns / 8];
#pragma unroll
      for (int i = 0; i < kWarpRows / 16; ++i) {
        load_fragments<kDenseA, true>(rows[i].regs, tile_a, warp_row + 16 * i, step, lane);
      }
#pragma unroll
      for (int j = 0; j < kWarpColumns / 16; ++j) {
        unsigned regs[4];
        load_fragments<kDenseB, false>(regs, tile_b, warp_column + 16 * j, step, lane);
        columns[2 * j] = {{regs[0], regs[1]}};
        columns[2 * j + 1] = {{regs[2], regs[3]}};
      }
#pragma unroll
      for (int i = 0; i < kWarpRows / 16; ++i) {
#pragma unroll
        for (int j = 0; j < kWarpColumns / 8; ++j) multiply_add(sums[i][j], rows[i], columns[j]);
      }
    }
    stage = stage == kStages - 1 ? 0 : stage + 1;
  }
  async_wait<0>();
#pragma unroll
  for (int i = 0; i < kWarpRows / 16; ++i) {
#pragma unroll
    for (int j = 0; j < kWarpColumns / 8; ++j) {
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        arguments.store(block.split, block.product, block.row + warp_row + 16 * i + c_row(lane, r),
                        block.column + warp_column + 8 * j + c_col(lane, r), sums[i][j].regs[r]);
      }
    }
  }
}

Dense dense_axis(const GemmOperand& operand) {
  return operand.k_stride != 1 && operand.line_stride == 1 ? Dense::along_lines : Dense::along_k;
}

template <typename T>
Operand<T> operand_of(const GemmOperand& operand) {
  const bool along_k = dense_axis(operand) == Dense::along_k;
  const int64_t dense_stride = along_k ? operand.k_stride : operand.line_stride;
  const int64_t other_stride = along_k ? operand.line_stride : operand.k_stride;
  const bool is_vector =
      dense_stride == 1 && other_stride % 8 == 0 && operand.batch_stride % 8 == 0 && is_aligned(operand.data, 16);
  return {static_cast<const T*>(operand.data), operand.line_stride, operand.k_stride, is_vector};
}

template <typename T>
void launch_typed(const GemmArguments& arguments, Context& context) {
  using Kernel = void (*)(GemmArguments, Operand<T>, Operand<T>);
  constexpr Dense kK = Dense::along_k, kLines = Dense::along_lines;
  constexpr Kernel kKernels[2][2] = {
      {gemm_tensor_core_kernel<T, kK, kK>, gemm_tensor_core_kernel<T, kK, kLines>},
      {gemm_tensor_core_kernel<T, kLines, kK>, gemm_tensor_core_kernel<T, kLines, kLines>}};
  const int64_t blocks = arguments.tiles_m * arguments.tiles_n * arguments.batch * arguments.splits;
  launch(kKernels[dense_axis(arguments.a) == kLines][dense_axis(arguments.b) == kLines],
         {dim3(static_cast<unsigned>(blocks)), dim3(kThreads), kStages * 2 * kTileElements * sizeof(T)}, context.stream,
         arguments, operand_of<T>(arguments.a), operand_of<T>(arguments.b));
}

}  // namespace

void launch_gemm_tensor_core(const GemmArguments& arguments, DType dtype, Context& context) {
  if (dtype == DType::bfloat16) {
    launch_typed<bf16>(arguments, context);
  } else {
    launch_typed<f16>(arguments, context);
  }
}

}  // namespace statespace::cuda
