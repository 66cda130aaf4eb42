// What the normalisations share: a team of threads, a warp for short rows and a block for long ones, holds a row of up
// to kNormOctets octets per thread in registers; what is longer is read again.
#pragma once

#include <algorithm>

#include "cuda/device/reduce.cuh"
#include "cuda/kernels/sum.cuh"

namespace statespace::cuda {

enum class Team { warp, block };

constexpr int kNormOctets = 2;
constexpr int kMaxNormThreads = 512;
constexpr int kWarpTeams = 4;  // rows that a block of warps has at a time

struct NormThread {
  int64_t row;  // of the first pass over the grid
  int team, teams;
  int rank, size;  // in its team

  __device__ int64_t step() const { return static_cast<int64_t>(size) * kOctet; }
  __device__ int64_t column(int i) const { return (static_cast<int64_t>(i) * size + rank) * kOctet; }
};

template <Team kTeam>
__device__ NormThread norm_thread() {
  const int thread = static_cast<int>(threadIdx.x);
  if constexpr (kTeam == Team::warp) {
    const int team = thread / kWarpSize;
    return {static_cast<int64_t>(blockIdx.x) * kWarpTeams + team, team, kWarpTeams, thread % kWarpSize, kWarpSize};
  } else {
    return {static_cast<int64_t>(blockIdx.x), 0, 1, thread, static_cast<int>(blockDim.x)};
  }
}

template <Team kTeam>
__device__ float team_sum(float value) {
  if constexpr (kTeam == Team::warp) {
    return warp_sum(value);
  } else {
    return block_sum(value);
  }
}

// The first team gets the sums over all teams of the block, in the order of the teams.
template <Team kTeam>
__device__ void add_teams(float (&values)[kOctet]) {
  if constexpr (kTeam == Team::warp) {
    auto& sums = block_shared<float[kWarpTeams][kWarpSize][kOctet], struct SumsOfTeams>();
    const int team = warp_index(), lane = lane_index();
#pragma unroll
    for (int i = 0; i < kOctet; ++i) sums[team][lane][i] = values[i];
    __syncthreads();  // `sums` of all teams
    if (team == 0) {
#pragma unroll
      for (int i = 0; i < kOctet; ++i) {
        for (int other = 1; other < kWarpTeams; ++other) values[i] += sums[other][lane][i];
      }
    }
    __syncthreads();  // the next call may write `sums`
  }
}

__device__ inline float add_squares(float sum, const float (&values)[kOctet], float mean, int count) {
#pragma unroll
  for (int i = 0; i < kOctet; ++i) {
    const float difference = i < count ? values[i] - mean : 0.0f;
    sum = fma_rn(difference, difference, sum);
  }
  return sum;
}

// x + residual, which may be null.
__device__ inline void load_residual_sum(float (&values)[kOctet], const Floats& x, const float* residual, int64_t index,
                                         int count) {
  const Octet octet = load_octet(x, index, count);
  if (residual) {
    float others[kOctet];
    load_octet(others, Floats(const_cast<float*>(residual)), index, count);
    convert(octet, x.dtype, values);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) values[i] += others[i];
  } else {
    convert(octet, x.dtype, values);
  }
}

inline bool is_warp_row(int64_t dim) { return dim <= kWarpSize * kOctet * kNormOctets; }

inline int norm_threads(int64_t dim) {
  if (is_warp_row(dim)) return kWarpTeams * kWarpSize;
  const int64_t wanted = ceil_div<int64_t>(dim, kOctet * kNormOctets);
  return static_cast<int>(std::min<int64_t>(kMaxNormThreads, ceil_div<int64_t>(wanted, kWarpSize) * kWarpSize));
}

template <typename Arguments>
void launch_norm(void (*warp_kernel)(Arguments), void (*block_kernel)(Arguments), int64_t rows, int64_t dim,
                 const Context& context, const Arguments& arguments) {
  if (rows == 0) return;
  const int64_t blocks = is_warp_row(dim) ? ceil_div<int64_t>(rows, kWarpTeams) : rows;
  launch(is_warp_row(dim) ? warp_kernel : block_kernel,
         {dim3(static_cast<unsigned>(blocks)), dim3(static_cast<unsigned>(norm_threads(dim)))}, context.stream,
         arguments);
}

struct NormBackwardPlan {
  int64_t blocks, rows_per_block, column_tiles;
  int threads;
  bool is_warp_row;
};

// The number of blocks follows from the shape alone, and so does the order in which weight gradients are summed.
inline NormBackwardPlan plan_norm_backward(int64_t rows, int64_t dim) {
  constexpr int64_t kMaxBlocks = 1024;
  NormBackwardPlan plan;
  plan.is_warp_row = is_warp_row(dim);
  plan.threads = norm_threads(dim);
  const int64_t teams = plan.is_warp_row ? kWarpTeams : 1;
  plan.rows_per_block = ceil_div<int64_t>(ceil_div<int64_t>(rows, kMaxBlocks), teams) * teams;
  plan.blocks = rows == 0 ? 0 : ceil_div(rows, plan.rows_per_block);
  const int64_t columns = static_cast<int64_t>(plan.is_warp_row ? kWarpSize : plan.threads) * kOctet * kNormOctets;
  plan.column_tiles = ceil_div(dim, columns);
  return plan;
}

template <typename Arguments>
void launch_norm_backward(void (*warp_kernel)(Arguments), void (*block_kernel)(Arguments), const NormBackwardPlan& plan,
                          const Context& context, const Arguments& arguments) {
  if (plan.blocks * plan.column_tiles == 0) return;
  const dim3 grid(static_cast<unsigned>(plan.blocks), static_cast<unsigned>(plan.column_tiles));
  launch(plan.is_warp_row ? warp_kernel : block_kernel, {grid, dim3(static_cast<unsigned>(plan.threads))},
         context.stream, arguments);
}

}  // namespace statespace::cuda
