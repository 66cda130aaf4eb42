// y = x in another memory order or element type.
#include "cpp/ops/copy.h"

#include "cuda/device/shared.cuh"
#include "cuda/kernels/floats.cuh"
#include "cuda/kernels/layout.cuh"

namespace statespace::cuda {

namespace {

constexpr int kX = 0, kY = 1;  // the tensors of a StridedRows<2>
constexpr int kTile = 32, kTileThreadRows = 8;

// Elements as words of their size. A thread moves 16 bytes of a row.
template <typename Word>
__global__ void copy_words_kernel(const Word* x, Word* y, StridedRows<2> layout) {
  constexpr int kWords = 16 / sizeof(Word);
  const int64_t groups = ceil_div<int64_t>(layout.inner, kWords);
  const int64_t row = quotient(global_thread(), groups);
  if (row >= layout.rows) return;
  const int64_t first = (global_thread() - row * groups) * kWords;
  int64_t offset[2];
  layout.offsets(row, offset);
  const int64_t x_stride = layout.inner_stride[kX], y_stride = layout.inner_stride[kY];
  const Word* from = x + offset[kX] + first * x_stride;
  Word* to = y + offset[kY] + first * y_stride;
  const bool is_whole = first + kWords <= layout.inner && x_stride == 1 && y_stride == 1;
  if (is_whole && is_aligned(from, 16) && is_aligned(to, 16)) {
    *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
    return;
  }
  Word words[kWords];
#pragma unroll
  for (int i = 0; i < kWords; ++i) words[i] = first + i < layout.inner ? from[i * x_stride] : Word{};
#pragma unroll
  for (int i = 0; i < kWords; ++i) {
    if (first + i < layout.inner) to[i * y_stride] = words[i];
  }
}

// Two axes of which x is dense along the first and y along the last, for each of `layout`'s rows.
struct Transposition {
  int64_t first_size, last_size;
  int64_t x_last_stride, y_first_stride;
  StridedRows<2> others;  // its inner axis has one element
};

// One block per tile of 32 x 32, which it reads along x's dense axis and writes along y's.
template <typename Word>
__global__ void transpose_kernel(const Word* x, Word* y, Transposition shape) {
  auto& tile = block_shared<Word[kTile][kTile + 1], struct TransposedTile>();
  const int64_t first_tiles = ceil_div<int64_t>(shape.first_size, kTile);
  const int64_t last_tiles = ceil_div<int64_t>(shape.last_size, kTile);
  int64_t index = blockIdx.x;
  const int64_t last_start = index % last_tiles * kTile;
  index /= last_tiles;
  const int64_t first_start = index % first_tiles * kTile;
  int64_t offset[2];
  shape.others.offsets(index / first_tiles, offset);

  const int column = static_cast<int>(threadIdx.x);
  for (int row = static_cast<int>(threadIdx.y); row < kTile; row += kTileThreadRows) {
    const int64_t first = first_start + column, last = last_start + row;
    if (first < shape.first_size && last < shape.last_size) {
      tile[row][column] = x[offset[kX] + first + last * shape.x_last_stride];
    }
  }
  __syncthreads();  // `tile` is read across
  for (int row = static_cast<int>(threadIdx.y); row < kTile; row += kTileThreadRows) {
    const int64_t first = first_start + row, last = last_start + column;
    if (first < shape.first_size && last < shape.last_size) {
      y[offset[kY] + first * shape.y_first_stride + last] = tile[column][row];
    }
  }
}

__global__ void convert_kernel(Floats x, Floats y, StridedRows<2> layout) {
  const int64_t octets = ceil_div<int64_t>(layout.inner, kOctet);
  const int64_t row = quotient(global_thread(), octets);
  if (row >= layout.rows) return;
  const int64_t first = (global_thread() - row * octets) * kOctet;
  const int count = octet_count(first, layout.inner);
  int64_t offset[2];
  layout.offsets(row, offset);
  float values[kOctet];
  load_octet_strided(values, x, offset[kX] + first * layout.inner_stride[kX], layout.inner_stride[kX], count);
  store_octet_strided(y, offset[kY] + first * layout.inner_stride[kY], layout.inner_stride[kY], values, count);
}

enum class Direction { from_int, to_int };

// One thread per element.
template <Direction kDirection>
__global__ void convert_int_kernel(Floats x, Floats y, StridedRows<2> layout) {
  const int64_t row = quotient(global_thread(), layout.inner);
  if (row >= layout.rows) return;
  const int64_t position = global_thread() - row * layout.inner;
  int64_t offset[2];
  layout.offsets(row, offset);
  const int64_t from = offset[kX] + position * layout.inner_stride[kX];
  const int64_t to = offset[kY] + position * layout.inner_stride[kY];
  if constexpr (kDirection == Direction::from_int) {
    store_float(y, to, static_cast<float>(static_cast<const int32_t*>(x.data)[from]));
  } else {
    // Towards zero; what int32 cannot hold becomes its nearest end, and NaN zero.
    const float value = load_float(x, from);
    int32_t result = value >= 2147483648.0f ? 2147483647 : value <= -2147483648.0f ? -2147483647 - 1 : 0;
    if (fabsf(value) < 2147483648.0f) result = static_cast<int32_t>(value);
    static_cast<int32_t*>(y.data)[to] = result;
  }
}

// Takes an outer axis of `layout` along which x is dense, if y is dense along the inner one and x is not.
bool find_transposition(const StridedRows<2>& layout, Transposition& found) {
  if (layout.inner_stride[kY] != 1 || layout.inner_stride[kX] == 1 || layout.inner < kTile / 2) return false;
  for (int axis = 0; axis < layout.outer_axes; ++axis) {
    if (layout.outer_stride[kX][axis] != 1 || layout.outer_shape[axis] < kTile / 2) continue;
    found.first_size = layout.outer_shape[axis];
    found.last_size = layout.inner;
    found.x_last_stride = layout.inner_stride[kX];
    found.y_first_stride = layout.outer_stride[kY][axis];
    found.others = layout;
    found.others.rows /= found.first_size;
    --found.others.outer_axes;
    for (int next = axis; next < found.others.outer_axes; ++next) {
      found.others.outer_shape[next] = layout.outer_shape[next + 1];
      for (int i = 0; i < 2; ++i) found.others.outer_stride[i][next] = layout.outer_stride[i][next + 1];
    }
    return true;
  }
  return false;
}

template <typename Word>
void copy_words(const Copy& op, const StridedRows<2>& layout, Context& context) {
  Transposition shape;
  if (find_transposition(layout, shape)) {
    const int64_t tiles =
        shape.others.rows * ceil_div<int64_t>(shape.first_size, kTile) * ceil_div<int64_t>(shape.last_size, kTile);
    launch(transpose_kernel<Word>, {dim3(static_cast<unsigned>(tiles)), dim3(kTile, kTileThreadRows)}, context.stream,
           op.x.as<Word>(), op.y.as<Word>(), shape);
    return;
  }
  launch_each(copy_words_kernel<Word>, layout.rows * ceil_div<int64_t>(layout.inner, 16 / sizeof(Word)), context,
              op.x.as<Word>(), op.y.as<Word>(), layout);
}

}  // namespace

template <>
void run(const Copy& op, Context& context) {
  if (op.x.size() == 0) return;
  const StridedRows<2> layout = strided_rows<2>({&op.x, &op.y});
  if (op.x.dtype == op.y.dtype) {
    if (size_of(op.x.dtype) == 4) {
      copy_words<uint32_t>(op, layout, context);
    } else {
      copy_words<uint16_t>(op, layout, context);
    }
  } else if (op.x.dtype == DType::int32) {
    launch_each(convert_int_kernel<Direction::from_int>, layout.rows * layout.inner, context, op.x, op.y, layout);
  } else if (op.y.dtype == DType::int32) {
    launch_each(convert_int_kernel<Direction::to_int>, layout.rows * layout.inner, context, op.x, op.y, layout);
  } else {
    launch_each(convert_kernel, layout.rows * ceil_div<int64_t>(layout.inner, kOctet), context, op.x, op.y, layout);
  }
}

}  // namespace statespace::cuda
