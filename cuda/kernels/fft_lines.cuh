// Which lines of a transform that is cut into columns and rows (FftPlan) a block has, and the launch for it.
#pragma once

#include <algorithm>

#include "cuda/device/fft.cuh"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda {

// `size` is that of the block's transforms, and `across` how many of them an item has.
struct FftLines {
  int thread, row, count, stride;
  int64_t item;
  int first;  // row or column in the item

  __device__ FftLines(int size, int across, bool is_row) {
    const int threads = static_cast<int>(blockDim.x), blocks = across / (threads * kFftItems / size);
    count = threads * kFftItems / size;
    // Neighbouring threads have neighbouring elements in memory: of a row, or of several columns.
    row = is_row ? static_cast<int>(threadIdx.x) / (size / kFftItems) : static_cast<int>(threadIdx.x) % count;
    thread = is_row ? static_cast<int>(threadIdx.x) % (size / kFftItems) : static_cast<int>(threadIdx.x) / count;
    stride = size / kFftItems;
    item = blockIdx.x / blocks;
    first = static_cast<int>(blockIdx.x % blocks) * count + row;
  }
};

// One block for some lines of an item, or for its only one.
template <typename T>
LaunchShape lines_shape(int64_t items, int size, int across) {
  const int count = std::min(across, FftPlan::count_for(size));
  return {dim3(static_cast<unsigned>(items * (across / count))), dim3(static_cast<unsigned>(count * size / kFftItems)),
          sizeof(Complex<T>) * fft_shared_size(size, count)};
}

}  // namespace statespace::cuda
