// One token through a Mamba block and its residual stream; each launch waits for the memory of one weight:
//   u, z = split(norm(residual) weight^T + bias), u = silu(conv(u));
//   delta = softplus(dt dt_weight^T + dt_bias), out = (C h + D u) silu(z) with h = exp(delta A) h + delta u B;
//   residual += out weight^T + bias.
#include "cpp/ops/mamba_step.h"

#include <algorithm>

#include "cuda/kernels/row_dots.cuh"
#include "cuda/kernels/selective_state_update.cuh"

namespace statespace::cuda {

namespace {

// Rows of the batch that share one reading of a weight; a larger batch reads it again.
constexpr int kMaxRows = 8;
constexpr int kTaps = static_cast<int>(kMaxConvWidth);

// What a tensor of this type would hold of `value`.
__device__ float rounded(float value, DType dtype) {
  if (dtype == DType::float32) return value;
  return dtype == DType::bfloat16 ? to_float(from_float<bf16>(value)) : to_float(from_float<f16>(value));
}

struct InputArguments {
  const float *residual, *norm_weight;
  float eps;
  Floats weight, bias;
  int64_t weight_stride;
  Floats conv_state, conv_weight, conv_bias;
  Floats u, z;
  int64_t rows, dim, inner;
  int width;
};

// The convolution of one channel, whose newest input is `value`.
__device__ void convolve(const InputArguments& p, int64_t row, int64_t channel, float value) {
  const int64_t state = (row * p.inner + channel) * (p.width - 1);
  float inputs[kTaps], taps[kTaps];
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    const int tap = k - (kTaps - p.width);  // the newest input is the last one
    taps[k] = tap >= 0 ? load_float(p.conv_weight, channel * p.width + tap) : 0.0f;
    inputs[k] = k + 1 == kTaps ? value : tap >= 0 ? load_float(p.conv_state, state + tap) : 0.0f;
  }
  float sum = p.conv_bias ? load_float(p.conv_bias, channel) : 0.0f;
#pragma unroll
  for (int k = 0; k < kTaps; ++k) {
    const int tap = k - (kTaps - p.width);
    if (tap >= 0) sum = fma_rn(taps[k], inputs[k], sum);
    if (tap >= 1) store_float(p.conv_state, state + tap - 1, inputs[k]);
  }
  store_float(p.u, row * p.inner + channel, silu(sum));
}

constexpr int kInputThreads = 256;
constexpr int kInputWarps = kInputThreads / kWarpSize;
constexpr int kInputColumns = 2;  // of a warp: they share the norm of the rows

// A block finds the norm of every row; then a warp has two columns, each of them a channel of u or of z.
template <int kRows>
__global__ void __launch_bounds__(kInputThreads) mamba_step_input_kernel(const __grid_constant__ InputArguments p) {
  auto& inverse_rms = block_shared<float[kMaxRows], struct InverseRms>();
  const int lane = lane_index();
  const Floats residual(const_cast<float*>(p.residual)), norm_weight(const_cast<float*>(p.norm_weight));
  for (int row = warp_index(); row < p.rows; row += kInputWarps) {
    float squares = 0.0f;
    for (int64_t k = lane * kOctet; k < p.dim; k += kWarpSize * kOctet) {
      float values[kOctet];
      load_octet(values, residual, row * p.dim + k, octet_count(k, p.dim));
#pragma unroll
      for (int i = 0; i < kOctet; ++i) squares = fma_rn(values[i], values[i], squares);
    }
    squares = warp_sum(squares);
    if (lane == 0) inverse_rms[row] = 1.0f / sqrtf(squares / static_cast<float>(p.dim) + p.eps);
  }
  __syncthreads();  // `inverse_rms`

  const int64_t columns = 2 * p.inner;
  const int64_t first = (static_cast<int64_t>(blockIdx.x) * kInputWarps + warp_index()) * kInputColumns;
  float sums[kInputColumns][kRows];
  row_dots<kRows, kInputColumns>(sums, p.weight, p.weight_stride, first, columns, first < columns ? p.dim : 0, p.rows,
                                 [&](float(&values)[kOctet], int row, int64_t k, int count) {
                                   float weights[kOctet];
                                   load_octet(values, residual, row * p.dim + k, count);
                                   load_octet(weights, norm_weight, k, count);
#pragma unroll
                                   for (int i = 0; i < kOctet; ++i) {
                                     values[i] = rounded(values[i] * inverse_rms[row] * weights[i], p.weight.dtype);
                                   }
                                 });
#pragma unroll
  for (int c = 0; c < kInputColumns; ++c) {
    const int64_t column = first + c;
#pragma unroll
    for (int row = 0; row < kRows; ++row) {
      if (lane != c * kRows + row || row >= p.rows || column >= columns) continue;
      const float value = rounded(sums[c][row] + (p.bias ? load_float(p.bias, column) : 0.0f), p.weight.dtype);
      if (column < p.inner) {
        convolve(p, row, column, value);
      } else {
        store_float(p.z, row * p.inner + column - p.inner, value);
      }
    }
  }
}

template <typename T>
struct ScanArguments {
  selective_scan::UpdateParams<T> update;  // without dt and dt_bias; A is its logarithm
  Floats projected, dt_weight, dt_bias;
  int64_t projected_stride, dt_stride, rank;
};

// The lanes of a channel share the product that gives its delta, then its states.
template <typename T>
__global__ void __launch_bounds__(selective_scan::kUpdateThreads)
    mamba_step_scan_kernel(const __grid_constant__ ScanArguments<T> p) {
  const selective_scan::UpdateThread me = selective_scan::update_thread(p.update);
  const int64_t part = me.first_state / selective_scan::kUpdateStates;
  float dt = 0.0f;
  for (int64_t k = part * kOctet; k < p.rank; k += p.update.lanes * kOctet) {
    const int count = octet_count(k, p.rank);
    float weights[kOctet], values[kOctet];
    load_octet(weights, p.dt_weight, me.channel * p.dt_stride + k, count);
    load_octet(values, p.projected, me.batch * p.projected_stride + k, count);
#pragma unroll
    for (int i = 0; i < kOctet; ++i) dt = fma_rn(values[i], weights[i], dt);
  }
  for (int bit = 1; bit < p.update.lanes; bit *= 2) dt = add_rn(dt, __shfl_xor_sync(kFullWarp, dt, bit));
  dt = add_rn(to_float(from_float<T>(dt)), load_float(p.dt_bias, me.channel));
  selective_scan::update_channel<true>(p.update, me, selective_scan::step_size(dt, true));
}

struct OutputArguments {
  float* residual;
  Floats x, weight, bias;
  int64_t x_stride, weight_stride;
  int64_t rows, dim, inner;
};

constexpr int kOutputThreads = 128;

// A warp has one column of the residual.
template <int kRows>
__global__ void __launch_bounds__(kOutputThreads) mamba_step_output_kernel(const __grid_constant__ OutputArguments p) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * (kOutputThreads / kWarpSize) + warp_index();
  float sums[1][kRows];
  row_dots<kRows, 1>(sums, p.weight, p.weight_stride, column, p.dim, column < p.dim ? p.inner : 0, p.rows,
                     [&](float(&values)[kOctet], int row, int64_t k, int count) {
                       load_octet(values, p.x, row * p.x_stride + k, count);
                     });
#pragma unroll
  for (int row = 0; row < kRows; ++row) {
    if (lane_index() != row || row >= p.rows || column >= p.dim) continue;
    const float value = sums[0][row] + (p.bias ? load_float(p.bias, column) : 0.0f);
    p.residual[row * p.dim + column] += rounded(value, p.weight.dtype);
  }
}

Floats rows_from(const Tensor& t, int64_t row) {
  Floats result = t;
  result.data = static_cast<char*>(t.data) + row * t.stride(0) * static_cast<int64_t>(size_of(t.dtype));
  return result;
}

// Calls f(first row, rows) for groups of rows.
template <typename F>
void for_row_groups(int64_t batch, F f) {
  for (int64_t row = 0; row < batch; row += kMaxRows) f(row, std::min<int64_t>(kMaxRows, batch - row));
}

template <typename Arguments>
void launch_rows(void (*one)(Arguments), void (*four)(Arguments), void (*eight)(Arguments), int64_t warps, int threads,
                 const Arguments& arguments, const Context& context) {
  const dim3 grid(static_cast<unsigned>(ceil_div<int64_t>(warps, threads / kWarpSize)));
  launch(arguments.rows == 1   ? one
         : arguments.rows <= 4 ? four
                               : eight,
         {grid, dim3(static_cast<unsigned>(threads))}, context.stream, arguments);
}

}  // namespace

template <>
void run(const MambaStepInput& op, Context& context) {
  const int64_t inner = op.conv_weight.dim(0);
  if (inner == 0) return;
  for_row_groups(op.residual.dim(0), [&](int64_t row, int64_t rows) {
    InputArguments p = {};
    p.dim = op.residual.dim(1);
    p.inner = inner;
    p.rows = rows;
    p.width = static_cast<int>(op.conv_weight.dim(1));
    p.residual = op.residual.as<float>() + row * p.dim;
    p.norm_weight = op.norm_weight.as<float>();
    p.eps = static_cast<float>(op.eps);
    p.weight = op.weight, p.bias = op.bias;
    p.weight_stride = op.weight.row_stride();
    p.conv_state = rows_from(op.conv_state, row);
    p.conv_weight = op.conv_weight, p.conv_bias = op.conv_bias;
    p.u = rows_from(op.u, row), p.z = rows_from(op.z, row);
    launch_rows(mamba_step_input_kernel<1>, mamba_step_input_kernel<4>, mamba_step_input_kernel<kMaxRows>,
                ceil_div<int64_t>(2 * inner, kInputColumns), kInputThreads, p, context);
  });
}

template <>
void run(const MambaStepScan& op, Context& context) {
  using namespace selective_scan;
  const int64_t batch = op.u.dim(0), inner = op.u.dim(1), states = op.A_log.dim(1), rank = op.dt_weight.dim(1);
  if (batch == 0 || inner == 0) return;
  for_element_type(op.u.dtype, [&](auto element) {
    using T = decltype(element);
    ScanArguments<T> p = {};
    p.update.state = op.scan_state.as<float>();
    p.update.x = one_step<T>(op.u), p.update.z = one_step<T>(op.z);
    const T* const projected = op.projected.as<const T>();
    const int64_t stride = op.projected.row_stride();
    p.update.B = GroupRows<const T>(projected + rank, stride, 0, 0);
    p.update.C = GroupRows<const T>(projected + rank + states, stride, 0, 0);
    p.update.A = op.A_log.as<float>(), p.update.D = op.D.as<float>();
    p.update.out = op.out.as<T>();
    p.update.dim = inner, p.update.states = states;
    p.projected = op.projected, p.dt_weight = op.dt_weight, p.dt_bias = op.dt_bias;
    p.projected_stride = stride, p.dt_stride = op.dt_weight.row_stride(), p.rank = rank;
    const LaunchShape shape = plan_update(p.update, batch, 1);
    launch(mamba_step_scan_kernel<T>, shape, context.stream, p);
  });
}

template <>
void run(const MambaStepOutput& op, Context& context) {
  const int64_t dim = op.residual.dim(1);
  if (dim == 0) return;
  for_row_groups(op.residual.dim(0), [&](int64_t row, int64_t rows) {
    OutputArguments p = {};
    p.dim = dim;
    p.inner = op.x.dim(1);
    p.rows = rows;
    p.residual = op.residual.as<float>() + row * dim;
    p.x = rows_from(op.x, row), p.weight = op.weight, p.bias = op.bias;
    p.x_stride = op.x.row_stride(), p.weight_stride = op.weight.row_stride();
    launch_rows(mamba_step_output_kernel<1>, mamba_step_output_kernel<4>, mamba_step_output_kernel<kMaxRows>, dim,
                kOutputThreads, p, context);
  });
}

}  // namespace statespace::cuda
