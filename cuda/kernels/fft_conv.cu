// Convolutions through complex transforms of two batch rows at once, u0 + i u1: the kernel is real, so that the product
// with its transform K is the transform of y0 + i y1. With G of dy0 + i dy1 and U of u0 + i u1, G conj(K) is that of
// du0 + i du1, and the real part of G conj(U) in time is the sum of both rows' dk.
//
// Short ones are done by one block from start to end. Long ones are cut into columns and rows (FftPlan): columns first,
// into scratch memory; then each row is transformed, multiplied and transformed back; then the columns back.
#include "cpp/ops/fft_conv.h"

#include <algorithm>

#include "cuda/device/reduce.cuh"
#include "cuda/kernels/fft_lines.cuh"
#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {
namespace {

// Scratch memory of a long convolution; more channels wait for their turn.
constexpr int64_t kScratchBytes = int64_t{1} << 28;
constexpr int kMaxThreads = FftPlan::kMost / kFftItems;

// A tensor [batch, length, dim] with a dense last axis.
struct Rows {
  Floats data;
  int64_t batch_stride, step;
};

struct ConvArguments {
  FftPlan plan;
  int64_t batch, length, dim, taps, all_taps;
  int directions;
  int64_t pairs, groups;            // pairs of batch rows, and blocks that share those of a channel
  int64_t first_channel, channels;  // of this launch
  Rows u, dy;
  const float *k, *D;  // D may be null
  Floats y;            // or du; dense
  float *dk, *dD;      // of each group
  // Long ones only: [channel, pair, n], [channel, pair, n] and [channel, n].
  Complex<float>*scratch_u, *scratch_dy, *scratch_k;
};

__device__ Complex<float> load_pair(const ConvArguments& a, const Rows& x, int64_t pair, int64_t t, int64_t d) {
  if (t >= a.length) return {0.0f, 0.0f};
  const int64_t at = 2 * pair * x.batch_stride + t * x.step + d;
  return {load_float(x.data, at), 2 * pair + 1 < a.batch ? load_float(x.data, at + x.batch_stride) : 0.0f};
}

// k0[j] at j, k1[j] at n - 1 - j.
__device__ Complex<float> load_tap(const ConvArguments& a, int64_t t, int64_t d) {
  float value = t < a.taps ? a.k[d * a.all_taps + t] : 0.0f;
  const int64_t back = a.plan.n - 1 - t;
  if (a.directions == 2 && back < a.taps) value += a.k[(a.dim + d) * a.all_taps + back];
  return {value, 0.0f};
}

// `skipped` is u beside y, and dy beside du.
__device__ void store_pair(const ConvArguments& a, const Rows& skipped, int64_t pair, int64_t t, int64_t d,
                           Complex<float> value) {
  if (t >= a.length) return;
  if (a.D) value = value + scaled(a.D[d], load_pair(a, skipped, pair, t, d));
  const int64_t at = (2 * pair * a.length + t) * a.dim + d;
  store_float(a.y, at, value.re);
  if (2 * pair + 1 < a.batch) store_float(a.y, at + a.length * a.dim, value.im);
}

__device__ void store_tap(const ConvArguments& a, int64_t group, int64_t t, int64_t d, float value) {
  float* dk = a.dk + group * a.directions * a.dim * a.all_taps;
  if (t < a.taps) dk[d * a.all_taps + t] = value;
  const int64_t back = a.plan.n - 1 - t;
  if (a.directions == 2 && back < a.taps) dk[(a.dim + d) * a.all_taps + back] = value;
}

// One block per (channel, group of pairs); neighbouring blocks have neighbouring channels, which share cache lines.
__global__ void __launch_bounds__(kMaxThreads) short_forward_kernel(ConvArguments a) {
  Complex<float>* shared = dynamic_shared<Complex<float>>();
  const int n = a.plan.n, thread = static_cast<int>(threadIdx.x), stride = n / kFftItems;
  const int64_t d = blockIdx.x % a.dim, group = blockIdx.x / a.dim;
  Complex<float> K[kFftItems], v[kFftItems];
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) K[i] = load_tap(a, thread + i * stride, d);
  block_fft<-1>(K, shared, n, thread, 0, 1);
  for (int64_t pair = group; pair < a.pairs; pair += a.groups) {
#pragma unroll
    for (int i = 0; i < kFftItems; ++i) v[i] = load_pair(a, a.u, pair, thread + i * stride, d);
    block_fft<-1>(v, shared, n, thread, 0, 1);
#pragma unroll
    for (int i = 0; i < kFftItems; ++i) v[i] = v[i] * K[i];
    block_fft<1>(v, shared, n, thread, 0, 1);
#pragma unroll
    for (int i = 0; i < kFftItems; ++i) {
      store_pair(a, a.u, pair, thread + i * stride, d, scaled(1.0f / static_cast<float>(n), v[i]));
    }
  }
}

// The same blocks; the sums over a group's pairs stay in registers.
__global__ void __launch_bounds__(kMaxThreads) short_backward_kernel(ConvArguments a) {
  Complex<float>* shared = dynamic_shared<Complex<float>>();
  const int n = a.plan.n, thread = static_cast<int>(threadIdx.x), stride = n / kFftItems;
  const int64_t d = blockIdx.x % a.dim, group = blockIdx.x / a.dim;
  const float scale = 1.0f / static_cast<float>(n);
  Complex<float> K[kFftItems], dk[kFftItems] = {}, g[kFftItems], u[kFftItems];
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) K[i] = load_tap(a, thread + i * stride, d);
  block_fft<-1>(K, shared, n, thread, 0, 1);
  float dD = 0.0f;
  for (int64_t pair = group; pair < a.pairs; pair += a.groups) {
#pragma unroll
    for (int i = 0; i < kFftItems; ++i) {
      g[i] = load_pair(a, a.dy, pair, thread + i * stride, d);
      u[i] = load_pair(a, a.u, pair, thread + i * stride, d);
      dD += g[i].re * u[i].re + g[i].im * u[i].im;
    }
    block_fft<-1>(g, shared, n, thread, 0, 1);
    block_fft<-1>(u, shared, n, thread, 0, 1);
#pragma unroll
    for (int i = 0; i < kFftItems; ++i) {
      dk[i] = dk[i] + g[i] * conj(u[i]);
      g[i] = g[i] * conj(K[i]);
    }
    block_fft<1>(g, shared, n, thread, 0, 1);
#pragma unroll
    for (int i = 0; i < kFftItems; ++i) store_pair(a, a.dy, pair, thread + i * stride, d, scaled(scale, g[i]));
  }
  block_fft<1>(dk, shared, n, thread, 0, 1);
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) store_tap(a, group, thread + i * stride, d, scale * dk[i].re);
  if (a.dD) {
    dD = block_sum(dD);
    if (thread == 0) a.dD[group * a.dim + d] = dD;
  }
}

// Adds the groups in order.
__global__ void __launch_bounds__(kElementwiseThreads)
    add_groups_kernel(const float* partial, int64_t groups, int64_t size, float* total) {
  const int64_t i = global_thread();
  if (i >= size) return;
  float sum = 0.0f;
  for (int64_t group = 0; group < groups; ++group) sum += partial[group * size + i];
  total[i] = sum;
}

enum class Source { taps, u, dy };

// One block per (channel, pair, some columns); for taps per (channel, some columns).
template <Source kSource>
__global__ void __launch_bounds__(kMaxThreads) long_columns_kernel(ConvArguments a, Complex<float>* to) {
  const FftLines at(a.plan.n1, a.plan.n2, false);
  const int64_t items = kSource == Source::taps ? 1 : a.pairs;
  const int64_t d = a.first_channel + at.item / items, pair = at.item % items;
  Complex<float> v[kFftItems];
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) {
    const int64_t t = static_cast<int64_t>(at.thread + i * at.stride) * a.plan.n2 + at.first;
    if constexpr (kSource == Source::taps) {
      v[i] = load_tap(a, t, d);
    } else {
      v[i] = load_pair(a, kSource == Source::u ? a.u : a.dy, pair, t, d);
    }
  }
  block_fft<-1>(v, dynamic_shared<Complex<float>>(), a.plan.n1, at.thread, at.row, at.count);
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) {
    const int k1 = at.thread + i * at.stride;
    to[at.item * a.plan.n + static_cast<int64_t>(k1) * a.plan.n2 + at.first] =
        v[i] * between<-1, float>(a.plan, k1, at.first);
  }
}

// The rows of one block: loads and transforms, or transforms back and stores.
__device__ void load_rows(const ConvArguments& a, const FftLines& at, const Complex<float>* from,
                          Complex<float> (&v)[kFftItems]) {
#pragma unroll
  for (int i = 0; i < kFftItems; ++i)
    v[i] = from[static_cast<int64_t>(at.first) * a.plan.n2 + at.thread + i * at.stride];
  block_fft<-1>(v, dynamic_shared<Complex<float>>(), a.plan.n2, at.thread, at.row, at.count);
}
__device__ void store_rows(const ConvArguments& a, const FftLines& at, Complex<float>* to,
                           Complex<float> (&v)[kFftItems]) {
  block_fft<1>(v, dynamic_shared<Complex<float>>(), a.plan.n2, at.thread, at.row, at.count);
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) {
    const int j2 = at.thread + i * at.stride;
    to[static_cast<int64_t>(at.first) * a.plan.n2 + j2] = v[i] * between<1, float>(a.plan, at.first, j2);
  }
}

// One block per (channel, some rows), over all pairs of the channel. In place: backward leaves du in scratch_dy and dk
// in scratch_k.
template <bool kBackward>
__global__ void __launch_bounds__(kMaxThreads, 1) long_rows_kernel(ConvArguments a) {
  FftLines at(a.plan.n2, a.plan.n1, true);
  Complex<float>* const k = a.scratch_k + at.item * a.plan.n;
  Complex<float> K[kFftItems], v[kFftItems];
  [[maybe_unused]] Complex<float> dk[kFftItems] = {}, u[kFftItems];
  load_rows(a, at, k, K);
  for (int64_t pair = 0; pair < a.pairs; ++pair) {
    at.thread = recomputed(at.thread);  // registers are short of those that factors kept for the next pair would take
    const int64_t offset = (at.item * a.pairs + pair) * a.plan.n;
    Complex<float>* const in = (kBackward ? a.scratch_dy : a.scratch_u) + offset;
    load_rows(a, at, in, v);
    if constexpr (kBackward) {
      load_rows(a, at, a.scratch_u + offset, u);
#pragma unroll
      for (int i = 0; i < kFftItems; ++i) dk[i] = dk[i] + v[i] * conj(u[i]);
    }
#pragma unroll
    for (int i = 0; i < kFftItems; ++i) v[i] = v[i] * (kBackward ? conj(K[i]) : K[i]);
    store_rows(a, at, in, v);
  }
  if constexpr (kBackward) store_rows(a, at, k, dk);
}

// The blocks of long_columns_kernel: transforms columns back, and stores y, du or dk.
template <Source kSource>
__global__ void __launch_bounds__(kMaxThreads) long_results_kernel(ConvArguments a, const Complex<float>* from) {
  const FftLines at(a.plan.n1, a.plan.n2, false);
  const int64_t items = kSource == Source::taps ? 1 : a.pairs;
  const int64_t d = a.first_channel + at.item / items, pair = at.item % items;
  Complex<float> v[kFftItems];
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) {
    v[i] = from[at.item * a.plan.n + static_cast<int64_t>(at.thread + i * at.stride) * a.plan.n2 + at.first];
  }
  block_fft<1>(v, dynamic_shared<Complex<float>>(), a.plan.n1, at.thread, at.row, at.count);
  const float scale = 1.0f / static_cast<float>(a.plan.n);
#pragma unroll
  for (int i = 0; i < kFftItems; ++i) {
    const int64_t t = static_cast<int64_t>(at.thread + i * at.stride) * a.plan.n2 + at.first;
    if constexpr (kSource == Source::taps) {
      store_tap(a, 0, t, d, scale * v[i].re);
    } else {
      store_pair(a, kSource == Source::u ? a.u : a.dy, pair, t, d, scaled(scale, v[i]));
    }
  }
}

// One block per channel: the sum over batch and length of dy u.
__global__ void __launch_bounds__(kElementwiseThreads) skip_gradient_kernel(ConvArguments a) {
  constexpr int64_t kPart = 64;  // sums of sums keep float's digits
  const int64_t d = blockIdx.x, size = a.pairs * a.length;
  float total = 0.0f;
  for (int64_t begin = threadIdx.x; begin < size; begin += kPart * kElementwiseThreads) {
    float part = 0.0f;
    for (int64_t i = begin; i < min(size, begin + kPart * kElementwiseThreads); i += kElementwiseThreads) {
      const Complex<float> g = load_pair(a, a.dy, i / a.length, i % a.length, d);
      const Complex<float> u = load_pair(a, a.u, i / a.length, i % a.length, d);
      part += g.re * u.re + g.im * u.im;
    }
    total += part;
  }
  total = block_sum(total);
  if (threadIdx.x == 0) a.dD[d] = total;
}

__global__ void __launch_bounds__(kElementwiseThreads) clear_taps_kernel(float* target, int64_t size) {
  if (global_thread() < size) target[global_thread()] = 0.0f;
}

template <typename Op>
ConvArguments arguments_of(const Op& op) {
  ConvArguments a = {};
  a.batch = op.u.dim(0);
  a.length = op.u.dim(1);
  a.dim = op.u.dim(2);
  a.directions = static_cast<int>(op.k.dim(0));
  a.all_taps = op.k.dim(2);
  a.taps = std::min(a.all_taps, a.length);
  // A second direction wraps around the end of the transform, one place further.
  a.plan = FftPlan::of(a.length + a.taps - (a.directions == 2 ? 0 : 1));
  a.pairs = ceil_div<int64_t>(a.batch, 2);
  // By the shape alone, so that sums over groups are the same on every GPU.
  a.groups = std::clamp<int64_t>(512 / std::max<int64_t>(1, a.dim), 1, a.pairs);
  a.channels = a.dim;
  a.u = {op.u, op.u.stride(0), op.u.stride(1)};
  a.k = op.k.template as<float>();
  a.D = op.D.template as<float>();
  return a;
}

LaunchShape short_shape(const ConvArguments& a) {
  return {dim3(static_cast<unsigned>(a.dim * a.groups)), dim3(static_cast<unsigned>(a.plan.n / kFftItems)),
          sizeof(Complex<float>) * fft_shared_size(a.plan.n, 1)};
}

// f(arguments of some neighbouring channels), all with scratch memory for their transforms.
template <typename F>
void for_channels(ConvArguments a, int arrays, Context& context, F f) {
  const int64_t per_channel = a.plan.n * (arrays * a.pairs + 1);
  const int64_t most =
      std::clamp<int64_t>(kScratchBytes / (per_channel * static_cast<int64_t>(sizeof(Complex<float>))), 1, a.dim);
  const int64_t size = most * a.pairs * a.plan.n;
  a.scratch_u = context.scratch<Complex<float>>(static_cast<size_t>(size));
  if (arrays == 2) a.scratch_dy = context.scratch<Complex<float>>(static_cast<size_t>(size));
  a.scratch_k = context.scratch<Complex<float>>(static_cast<size_t>(most * a.plan.n));
  for (a.first_channel = 0; a.first_channel < a.dim; a.first_channel += most) {
    a.channels = std::min(most, a.dim - a.first_channel);
    f(a);
  }
}

}  // namespace

template <>
void run(const FftConvForward& op, Context& context) {
  if (op.u.size() == 0) return;
  ConvArguments arguments = arguments_of(op);
  arguments.y = op.y;
  if (!arguments.plan.is_cut()) {
    launch(short_forward_kernel, short_shape(arguments), context.stream, arguments);
    return;
  }
  for_channels(arguments, 1, context, [&](const ConvArguments& a) {
    const LaunchShape columns = lines_shape<float>(a.channels * a.pairs, a.plan.n1, a.plan.n2);
    launch(long_columns_kernel<Source::taps>, lines_shape<float>(a.channels, a.plan.n1, a.plan.n2), context.stream, a,
           a.scratch_k);
    launch(long_columns_kernel<Source::u>, columns, context.stream, a, a.scratch_u);
    launch(long_rows_kernel<false>, lines_shape<float>(a.channels, a.plan.n2, a.plan.n1), context.stream, a);
    launch(long_results_kernel<Source::u>, columns, context.stream, a, a.scratch_u);
  });
}

template <>
void run(const FftConvBackward& op, Context& context) {
  float *const dk = op.dk.as<float>(), *const dD = op.D ? op.dD.as<float>() : nullptr;
  const int64_t taps = op.dk.size();
  // Taps that reach over the whole length have no gradient.
  if (op.k.dim(2) > op.u.dim(1) || op.u.size() == 0) launch_each(clear_taps_kernel, taps, context, dk, taps);
  if (op.u.size() == 0) {
    if (dD) launch_each(clear_taps_kernel, op.dD.size(), context, dD, op.dD.size());
    return;
  }
  ConvArguments arguments = arguments_of(op);
  arguments.dy = {op.dy, op.dy.stride(0), op.dy.stride(1)};
  arguments.y = op.du;
  arguments.dk = dk;
  arguments.dD = dD;
  if (!arguments.plan.is_cut()) {
    const int64_t groups = arguments.groups, dim = arguments.dim;
    if (groups > 1) {
      arguments.dk = context.scratch<float>(static_cast<size_t>(groups * taps));
      if (dD) arguments.dD = context.scratch<float>(static_cast<size_t>(groups * dim));
      launch_each(clear_taps_kernel, groups * taps, context, arguments.dk, groups * taps);
    }
    launch(short_backward_kernel, short_shape(arguments), context.stream, arguments);
    if (groups > 1) {
      launch_each(add_groups_kernel, taps, context, arguments.dk, groups, taps, dk);
      if (dD) launch_each(add_groups_kernel, dim, context, arguments.dD, groups, dim, dD);
    }
    return;
  }
  for_channels(arguments, 2, context, [&](const ConvArguments& a) {
    const LaunchShape columns = lines_shape<float>(a.channels * a.pairs, a.plan.n1, a.plan.n2);
    const LaunchShape taps_columns = lines_shape<float>(a.channels, a.plan.n1, a.plan.n2);
    launch(long_columns_kernel<Source::taps>, taps_columns, context.stream, a, a.scratch_k);
    launch(long_columns_kernel<Source::u>, columns, context.stream, a, a.scratch_u);
    launch(long_columns_kernel<Source::dy>, columns, context.stream, a, a.scratch_dy);
    launch(long_rows_kernel<true>, lines_shape<float>(a.channels, a.plan.n2, a.plan.n1), context.stream, a);
    launch(long_results_kernel<Source::dy>, columns, context.stream, a, a.scratch_dy);
    launch(long_results_kernel<Source::taps>, taps_columns, context.stream, a, a.scratch_k);
  });
  if (dD) {
    launch(skip_gradient_kernel, {dim3(static_cast<unsigned>(arguments.dim)), dim3(kElementwiseThreads)},
           context.stream, arguments);
  }
}

}  // namespace statespace::cuda
