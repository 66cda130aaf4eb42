// What the losses over a vocabulary share: a row's log of the sum of exponentials, and the mean over the rows.
#pragma once

#include <limits>

#include "cuda/device/reduce.cuh"
#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

// Up to this vocabulary a warp takes a row, else a block.
constexpr int64_t kWarpVocab = 1024;

constexpr float kLowest = -std::numeric_limits<float>::infinity();

// The maximum so far and the sum relative to it go together, so that a row is read once. `rank` of `team_size` threads.
struct OnlineSum {
  float max = kLowest;
  float sum = 0.0f;  // of exp(x - max)

  __device__ void add(const Floats& row, int64_t start, int64_t size, int rank, int team_size) {
    for (int64_t first = static_cast<int64_t>(rank) * kOctet; first < size; first += team_size * kOctet) {
      const int count = octet_count(first, size);
      float values[kOctet];
      load_octet(values, row, start + first, count);
      float new_max = max;
#pragma unroll
      for (int i = 0; i < kOctet; ++i) new_max = fmaxf(new_max, i < count ? values[i] : kLowest);
      if (new_max == kLowest) continue;  // -infinity less itself would be NaN
      sum *= ex2((max - new_max) * kLog2E);
#pragma unroll
      for (int i = 0; i < kOctet; ++i) sum += i < count ? ex2((values[i] - new_max) * kLog2E) : 0.0f;
      max = new_max;
    }
  }

  // The log of the sum over all threads of the team, which all take part.
  template <bool kWarpTeam>
  __device__ float finish() const {
    const float team_max = kWarpTeam ? warp_max(max) : block_max(max);
    const float own = max == kLowest ? 0.0f : sum * ex2((max - team_max) * kLog2E);
    return team_max + logf(kWarpTeam ? warp_sum(own) : block_sum(own));
  }
};

// loss = the mean of `losses` over the rows whose count is 1, and how many these are.
void launch_mean_loss(const float* losses, const float* row_counts, int64_t rows, float* loss, float* counted,
                      const Context& context);

}  // namespace statespace::cuda
