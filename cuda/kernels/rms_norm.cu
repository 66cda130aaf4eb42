// y = sum / sqrt(mean(sum^2) + eps) * weight with sum = x + residual, over the last axis, and its gradients:
//   c = mean(dy weight x) / rms^2;  dsum = (dy weight - x c) / rms + what comes in for sum;  dweight = sum of dy x /
//   rms.
#include "cpp/ops/rms_norm.h"

#include "cuda/kernels/norm.cuh"

namespace statespace::cuda {

namespace {

struct ForwardArguments {
  Floats x;
  const float *weight, *residual;
  float* sum;
  Floats y;
  float* inverse_rms;
  float eps;
  int64_t rows, dim;
};

// One team of threads per row, see norm.cuh.
template <Team kTeam>
__global__ void __launch_bounds__(kMaxNormThreads) rms_norm_kernel(ForwardArguments arguments) {
  const NormThread me = norm_thread<kTeam>();
  const int64_t dim = arguments.dim, row = me.row;
  // A warp without a row must still take part in the operations of its block.
  const int64_t width = row < arguments.rows ? dim : 0;

  float cached[kNormOctets][kOctet];
  float squares = 0.0f;
  auto gather = [&](int64_t column, float(&values)[kOctet]) {
    load_residual_sum(values, arguments.x, arguments.residual, row * dim + column, octet_count(column, width));
  };
#pragma unroll
  for (int i = 0; i < kNormOctets; ++i) {
    const int64_t column = me.column(i);
    if (column < width) gather(column, cached[i]);
  }
#pragma unroll
  for (int i = 0; i < kNormOctets; ++i) {
    const int64_t column = me.column(i);
    if (column >= width) continue;
    if (arguments.sum) store_octet(arguments.sum, row * dim + column, cached[i], octet_count(column, width));
    squares = add_squares(squares, cached[i], 0.0f, octet_count(column, width));
  }
  for (int64_t column = me.column(kNormOctets); column < width; column += me.step()) {
    float values[kOctet];
    gather(column, values);
    if (arguments.sum) store_octet(arguments.sum, row * dim + column, values, octet_count(column, width));
    squares = add_squares(squares, values, 0.0f, octet_count(column, width));
  }
  const float inverse_rms = 1.0f / sqrtf(team_sum<kTeam>(squares) / static_cast<float>(dim) + arguments.eps);
  if (width > 0 && me.rank == 0) arguments.inverse_rms[row] = inverse_rms;

  auto scatter = [&](int64_t column, const float(&values)[kOctet]) {
    const int count = octet_count(column, width);
    float weight[kOctet], y[kOctet];
    load_octet(weight, Floats(const_cast<float*>(arguments.weight)), column, count);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) y[i] = values[i] * inverse_rms * weight[i];
    store_octet(arguments.y, row * dim + column, y, count);
  };
#pragma unroll
  for (int i = 0; i < kNormOctets; ++i) {
    if (me.column(i) < width) scatter(me.column(i), cached[i]);
  }
  for (int64_t column = me.column(kNormOctets); column < width; column += me.step()) {
    float values[kOctet];
    gather(column, values);
    scatter(column, values);
  }
}

struct BackwardArguments {
  Floats dy, x;
  const float *weight, *inverse_rms, *dsum;
  Floats dx;
  float *dresidual, *dweight_partial;
  const float* dots;  // of rows that are too long for one team
  int64_t rows, dim, rows_per_block;
};

__device__ float add_dot(float dot, const float (&dy)[kOctet], const float (&weight)[kOctet],
                         const float (&x)[kOctet]) {
#pragma unroll
  for (int i = 0; i < kOctet; ++i) dot += dy[i] * weight[i] * x[i];
  return dot;
}

// One block per row: sum of dy weight x.
__global__ void __launch_bounds__(kMaxNormThreads) rms_norm_dots_kernel(BackwardArguments arguments, float* dots) {
  const int64_t row = blockIdx.x;
  float dot = 0.0f;
  for (int64_t column = threadIdx.x * kOctet; column < arguments.dim; column += blockDim.x * kOctet) {
    const int count = octet_count(column, arguments.dim);
    float dy[kOctet], x[kOctet], weight[kOctet];
    load_octet(dy, arguments.dy, row * arguments.dim + column, count);
    load_octet(x, arguments.x, row * arguments.dim + column, count);
    load_octet(weight, Floats(const_cast<float*>(arguments.weight)), column, count);
    dot = add_dot(dot, dy, weight, x);
  }
  dot = block_sum(dot);
  if (threadIdx.x == 0) dots[row] = dot;
}

// A block takes some rows one after another; a thread keeps to its columns and sums their dweight in registers.
// Tiles of columns on grid.y.
template <Team kTeam>
__global__ void __launch_bounds__(kMaxNormThreads) rms_norm_backward_kernel(BackwardArguments arguments) {
  const NormThread me = norm_thread<kTeam>();
  const int64_t dim = arguments.dim;
  const int64_t tile = static_cast<int64_t>(blockIdx.y) * me.step() * kNormOctets;
  const int64_t block_start = static_cast<int64_t>(blockIdx.x) * arguments.rows_per_block;
  const int64_t block_end = min(arguments.rows, block_start + arguments.rows_per_block);
  const Floats weights(const_cast<float*>(arguments.weight));

  float dweight[kNormOctets][kOctet] = {};
  for (int64_t start = block_start; start < block_end; start += me.teams) {
    const int64_t row = start + me.team, width = row < block_end ? dim : 0;
    Octet dy_octets[kNormOctets], x_octets[kNormOctets];
#pragma unroll
    for (int i = 0; i < kNormOctets; ++i) {
      const int64_t column = tile + me.column(i);
      const int count = column < width ? octet_count(column, width) : 0;
      dy_octets[i] = load_octet(arguments.dy, count > 0 ? row * dim + column : 0, count);
      x_octets[i] = load_octet(arguments.x, count > 0 ? row * dim + column : 0, count);
    }
    const float inverse_rms = width > 0 ? arguments.inverse_rms[row] : 0.0f;

    float dot = 0.0f;
    float dy[kNormOctets][kOctet], x[kNormOctets][kOctet];
#pragma unroll
    for (int i = 0; i < kNormOctets; ++i) {
      const int64_t column = tile + me.column(i);
      float weight[kOctet];
      load_octet(weight, weights, column < width ? column : 0, column < width ? octet_count(column, width) : 0);
      convert(dy_octets[i], arguments.dy.dtype, dy[i]);
      convert(x_octets[i], arguments.x.dtype, x[i]);
      dot = add_dot(dot, dy[i], weight, x[i]);
    }
    if (arguments.dots) {
      dot = width > 0 ? arguments.dots[row] : 0.0f;
    } else {
      dot = team_sum<kTeam>(dot);
    }
    const float c = dot / static_cast<float>(dim) * inverse_rms * inverse_rms;

#pragma unroll
    for (int i = 0; i < kNormOctets; ++i) {
      const int64_t column = tile + me.column(i);
      if (column >= width) continue;
      const int count = octet_count(column, width);
      float weight[kOctet], gradient[kOctet] = {};
      load_octet(weight, weights, column, count);
      if (arguments.dsum) {
        load_octet(gradient, Floats(const_cast<float*>(arguments.dsum)), row * dim + column, count);
      }
#pragma unroll
      for (int j = 0; j < kOctet; ++j) {
        gradient[j] += (dy[i][j] * weight[j] - x[i][j] * c) * inverse_rms;
        dweight[i][j] += dy[i][j] * x[i][j] * inverse_rms;
      }
      store_octet(arguments.dx, row * dim + column, gradient, count);
      if (arguments.dresidual) store_octet(arguments.dresidual, row * dim + column, gradient, count);
    }
  }
#pragma unroll
  for (int i = 0; i < kNormOctets; ++i) {
    add_teams<kTeam>(dweight[i]);
    const int64_t column = tile + me.column(i);
    if (me.team == 0 && column < dim) {
      store_octet(arguments.dweight_partial, blockIdx.x * dim + column, dweight[i], octet_count(column, dim));
    }
  }
}

}  // namespace

template <>
void run(const RmsNormForward& op, Context& context) {
  const ForwardArguments arguments = {op.x,
                                      op.weight.as<float>(),
                                      op.residual.as<float>(),
                                      op.residual ? op.sum.as<float>() : nullptr,
                                      op.y,
                                      op.inverse_rms.as<float>(),
                                      static_cast<float>(op.eps),
                                      op.inverse_rms.size(),
                                      op.weight.size()};
  launch_norm(rms_norm_kernel<Team::warp>, rms_norm_kernel<Team::block>, arguments.rows, arguments.dim, context,
              arguments);
}

template <>
void run(const RmsNormBackward& op, Context& context) {
  const int64_t rows = op.inverse_rms.size(), dim = op.weight.size();
  const NormBackwardPlan plan = plan_norm_backward(rows, dim);
  BackwardArguments arguments = {op.dy,
                                 op.x,
                                 op.weight.as<float>(),
                                 op.inverse_rms.as<float>(),
                                 op.dsum.as<float>(),
                                 op.dx,
                                 op.with_residual ? op.dresidual.as<float>() : nullptr,
                                 context.scratch<float>(static_cast<size_t>(plan.blocks * dim)),
                                 nullptr,
                                 rows,
                                 dim,
                                 plan.rows_per_block};
  if (plan.column_tiles > 1 && rows > 0) {
    float* dots = context.scratch<float>(static_cast<size_t>(rows));
    launch(rms_norm_dots_kernel, {dim3(static_cast<unsigned>(rows)), dim3(kMaxNormThreads)}, context.stream, arguments,
           dots);
    arguments.dots = dots;
  }
  launch_norm_backward(rms_norm_backward_kernel<Team::warp>, rms_norm_backward_kernel<Team::block>, plan, context,
                       arguments);
  sum_middle(arguments.dweight_partial, {1, plan.blocks, dim, dim}, 1.0f, op.dweight, context);
}

}  // namespace statespace::cuda
