// y = (sum - mean) / sqrt(var + eps) * weight + bias with sum = x + residual, over the last axis, and its gradients:
//   n = (x - mean) / std, g = dy weight;  dsum = (g - mean(g) - n mean(g n)) / std + what comes in for sum.
#include "cpp/ops/layer_norm.h"

#include "cuda/kernels/norm.cuh"

namespace statespace::cuda {

namespace {

struct ForwardArguments {
  Floats x;
  const float *weight, *bias, *residual;
  float* sum;
  Floats y;
  float *mean, *inverse_std;
  float eps;
  int64_t rows, dim;
};

__device__ float add_values(float sum, const float (&values)[kOctet]) {
#pragma unroll
  for (int i = 0; i < kOctet; ++i) sum += values[i];
  return sum;
}

// One team of threads per row, see norm.cuh.
template <Team kTeam>
__global__ void __launch_bounds__(kMaxNormThreads) layer_norm_kernel(ForwardArguments arguments) {
  const NormThread me = norm_thread<kTeam>();
  const int64_t dim = arguments.dim, row = me.row;
  // A warp without a row must still take part in the operations of its block.
  const int64_t width = row < arguments.rows ? dim : 0;

  float cached[kNormOctets][kOctet];
  auto gather = [&](int64_t column, float(&values)[kOctet]) {
    load_residual_sum(values, arguments.x, arguments.residual, row * dim + column, octet_count(column, width));
  };
  float sum = 0.0f;
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
    sum = add_values(sum, cached[i]);
  }
  for (int64_t column = me.column(kNormOctets); column < width; column += me.step()) {
    float values[kOctet];
    gather(column, values);
    if (arguments.sum) store_octet(arguments.sum, row * dim + column, values, octet_count(column, width));
    sum = add_values(sum, values);
  }
  const float mean = team_sum<kTeam>(sum) / static_cast<float>(dim);

  float squares = 0.0f;
#pragma unroll
  for (int i = 0; i < kNormOctets; ++i) {
    const int64_t column = me.column(i);
    if (column < width) squares = add_squares(squares, cached[i], mean, octet_count(column, width));
  }
  for (int64_t column = me.column(kNormOctets); column < width; column += me.step()) {
    float values[kOctet];
    gather(column, values);
    squares = add_squares(squares, values, mean, octet_count(column, width));
  }
  const float inverse_std = 1.0f / sqrtf(team_sum<kTeam>(squares) / static_cast<float>(dim) + arguments.eps);
  if (width > 0 && me.rank == 0) {
    arguments.mean[row] = mean;
    arguments.inverse_std[row] = inverse_std;
  }

  auto scatter = [&](int64_t column, const float(&values)[kOctet]) {
    const int count = octet_count(column, width);
    float weight[kOctet], y[kOctet] = {};
    load_octet(weight, Floats(const_cast<float*>(arguments.weight)), column, count);
    if (arguments.bias) load_octet(y, Floats(const_cast<float*>(arguments.bias)), column, count);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) y[i] += (values[i] - mean) * inverse_std * weight[i];
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

// Sums over a row: g = dy weight, and g n.
struct Dots {
  float g = 0.0f, gn = 0.0f;
};

struct BackwardArguments {
  Floats dy, x;
  const float *weight, *mean, *inverse_std, *dsum;
  Floats dx;
  float *dresidual, *dweight_partial, *dbias_partial;
  const Dots* dots;  // of rows that are too long for one team
  int64_t rows, dim, rows_per_block;
};

__device__ void add_dots(Dots& dots, const float (&dy)[kOctet], const float (&weight)[kOctet], const float (&x)[kOctet],
                         float mean, float inverse_std) {
#pragma unroll
  for (int i = 0; i < kOctet; ++i) {
    const float g = dy[i] * weight[i];
    dots.g += g;
    dots.gn += g * ((x[i] - mean) * inverse_std);
  }
}

// One block per row.
__global__ void __launch_bounds__(kMaxNormThreads) layer_norm_dots_kernel(BackwardArguments arguments, Dots* dots) {
  const int64_t row = blockIdx.x;
  const float mean = arguments.mean[row], inverse_std = arguments.inverse_std[row];
  Dots mine;
  for (int64_t column = threadIdx.x * kOctet; column < arguments.dim; column += blockDim.x * kOctet) {
    const int count = octet_count(column, arguments.dim);
    float dy[kOctet], x[kOctet], weight[kOctet];
    load_octet(dy, arguments.dy, row * arguments.dim + column, count);
    load_octet(x, arguments.x, row * arguments.dim + column, count);
    load_octet(weight, Floats(const_cast<float*>(arguments.weight)), column, count);
    add_dots(mine, dy, weight, x, mean, inverse_std);
  }
  mine.g = block_sum(mine.g);
  mine.gn = block_sum(mine.gn);
  if (threadIdx.x == 0) dots[row] = mine;
}

// A block takes some rows one after another; a thread keeps to its columns and sums their dweight and dbias in
// registers. Tiles of columns on grid.y.
template <Team kTeam>
__global__ void __launch_bounds__(kMaxNormThreads) layer_norm_backward_kernel(BackwardArguments arguments) {
  const NormThread me = norm_thread<kTeam>();
  const int64_t dim = arguments.dim;
  const int64_t tile = static_cast<int64_t>(blockIdx.y) * me.step() * kNormOctets;
  const int64_t block_start = static_cast<int64_t>(blockIdx.x) * arguments.rows_per_block;
  const int64_t block_end = min(arguments.rows, block_start + arguments.rows_per_block);
  const Floats weights(const_cast<float*>(arguments.weight));

  float dweight[kNormOctets][kOctet] = {}, dbias[kNormOctets][kOctet] = {};
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
    const float inverse_std = width > 0 ? arguments.inverse_std[row] : 0.0f;
    const float mean = width > 0 ? arguments.mean[row] : 0.0f;

    Dots dots;
    if (arguments.dots) {
      if (width > 0) dots = arguments.dots[row];
    } else {
#pragma unroll
      for (int i = 0; i < kNormOctets; ++i) {
        const int64_t column = tile + me.column(i);
        float weight[kOctet], dy[kOctet], x[kOctet];
        load_octet(weight, weights, column < width ? column : 0, column < width ? octet_count(column, width) : 0);
        convert(dy_octets[i], arguments.dy.dtype, dy);
        convert(x_octets[i], arguments.x.dtype, x);
        add_dots(dots, dy, weight, x, mean, inverse_std);
      }
      dots.g = team_sum<kTeam>(dots.g);
      dots.gn = team_sum<kTeam>(dots.gn);
    }
    const float mean_g = dots.g / static_cast<float>(dim), mean_gn = dots.gn / static_cast<float>(dim);

#pragma unroll
    for (int i = 0; i < kNormOctets; ++i) {
      const int64_t column = tile + me.column(i);
      if (column >= width) continue;
      const int count = octet_count(column, width);
      float weight[kOctet], dy[kOctet], x[kOctet], gradient[kOctet] = {};
      load_octet(weight, weights, column, count);
      convert(dy_octets[i], arguments.dy.dtype, dy);
      convert(x_octets[i], arguments.x.dtype, x);
      if (arguments.dsum) {
        load_octet(gradient, Floats(const_cast<float*>(arguments.dsum)), row * dim + column, count);
      }
#pragma unroll
      for (int j = 0; j < kOctet; ++j) {
        const float n = (x[j] - mean) * inverse_std;
        gradient[j] += (dy[j] * weight[j] - mean_g - n * mean_gn) * inverse_std;
        dweight[i][j] += dy[j] * n;
        dbias[i][j] += dy[j];
      }
      store_octet(arguments.dx, row * dim + column, gradient, count);
      if (arguments.dresidual) store_octet(arguments.dresidual, row * dim + column, gradient, count);
    }
  }
#pragma unroll
  for (int i = 0; i < kNormOctets; ++i) {
    add_teams<kTeam>(dweight[i]);
    add_teams<kTeam>(dbias[i]);
    const int64_t column = tile + me.column(i);
    if (me.team == 0 && column < dim) {
      const int count = octet_count(column, dim);
      store_octet(arguments.dweight_partial, blockIdx.x * dim + column, dweight[i], count);
      store_octet(arguments.dbias_partial, blockIdx.x * dim + column, dbias[i], count);
    }
  }
}

}  // namespace

template <>
void run(const LayerNormForward& op, Context& context) {
  const ForwardArguments arguments = {op.x,
                                      op.weight.as<float>(),
                                      op.bias.as<float>(),
                                      op.residual.as<float>(),
                                      op.residual ? op.sum.as<float>() : nullptr,
                                      op.y,
                                      op.mean.as<float>(),
                                      op.inverse_std.as<float>(),
                                      static_cast<float>(op.eps),
                                      op.mean.size(),
                                      op.weight.size()};
  launch_norm(layer_norm_kernel<Team::warp>, layer_norm_kernel<Team::block>, arguments.rows, arguments.dim, context,
              arguments);
}

template <>
void run(const LayerNormBackward& op, Context& context) {
  const int64_t rows = op.inverse_std.size(), dim = op.weight.size();
  const NormBackwardPlan plan = plan_norm_backward(rows, dim);
  const size_t partials = static_cast<size_t>(plan.blocks * dim);
  BackwardArguments arguments = {op.dy,
                                 op.x,
                                 op.weight.as<float>(),
                                 op.mean.as<float>(),
                                 op.inverse_std.as<float>(),
                                 op.dsum.as<float>(),
                                 op.dx,
                                 op.with_residual ? op.dresidual.as<float>() : nullptr,
                                 context.scratch<float>(partials),
                                 context.scratch<float>(partials),
                                 nullptr,
                                 rows,
                                 dim,
                                 plan.rows_per_block};
  if (plan.column_tiles > 1 && rows > 0) {
    Dots* dots = context.scratch<Dots>(static_cast<size_t>(rows));
    launch(layer_norm_dots_kernel, {dim3(static_cast<unsigned>(rows)), dim3(kMaxNormThreads)}, context.stream,
           arguments, dots);
    arguments.dots = dots;
  }
  launch_norm_backward(layer_norm_backward_kernel<Team::warp>, layer_norm_backward_kernel<Team::block>, plan, context,
                       arguments);
  sum_middle(arguments.dweight_partial, {1, plan.blocks, dim, dim}, 1.0f, op.dweight, context);
  if (op.with_bias) sum_middle(arguments.dbias_partial, {1, plan.blocks, dim, dim}, 1.0f, op.dbias, context);
}

}  // namespace statespace::cuda
