// Every helper of cuda/device against its meaning, with threads and blocks run forward and backward.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <thread>
#include <vector>

#include "cuda/device/async_copy.cuh"
#include "cuda/device/complex.cuh"
#include "cuda/device/random.cuh"
#include "cuda/device/scan.cuh"
#include "cuda/device/tensor_core.cuh"
#include "cuda/device/vector.cuh"
#include "cuda/kernels/selective_scan_complex_step.cuh"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda {
namespace {

int failures = 0;

void check(bool passed, const char* what, double measured = 0.0) {
  std::printf("%s %s (%.3g)\n", passed ? "ok  " : "FAIL", what, measured);
  if (!passed) ++failures;
}

std::vector<float> random_values(size_t count, float low = -1.0f, float high = 1.0f) {
  static std::mt19937 generator(7);
  std::uniform_real_distribution<float> distribution(low, high);
  std::vector<float> values(count);
  for (float& value : values) value = distribution(generator);
  return values;
}

double relative_error(double got, double expected) { return std::abs(got - expected) / std::abs(expected); }

void test_conversions() {
  bool bf16_exact = true, f16_exact = true;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const bf16 b{static_cast<uint16_t>(bits)};
    const f16 h{static_cast<uint16_t>(bits)};
    if (!std::isnan(to_float(b))) bf16_exact &= from_float<bf16>(to_float(b)).bits == bits;
    if (!std::isnan(to_float(h))) f16_exact &= from_float<f16>(to_float(h)).bits == bits;
  }
  check(bf16_exact, "every bf16 survives float");
  check(f16_exact, "every f16 survives float");
  check(to_float(f16{0x0001}) == 0x1p-24f && to_float(f16{0x7bff}) == 65504.0f, "smallest and largest f16");
  check(from_float<f16>(65519.0f).bits == 0x7bff && from_float<f16>(65520.0f).bits == 0x7c00, "f16 overflows at 65520");
  check(from_float<f16>(1.0f + 0x1p-11f).bits == 0x3c00 && from_float<f16>(1.0f + 0x3p-11f).bits == 0x3c02,
        "f16 rounds ties to even");
  check(from_float<bf16>(1.0f + 0x1p-8f).bits == 0x3f80 && from_float<bf16>(1.0f + 0x3p-8f).bits == 0x3f82,
        "bf16 rounds ties to even");
  check(from_float<bf16>(NAN).bits == 0x7fff && from_float<f16>(NAN).bits == 0x7fff, "NaN stays NaN");

  double worst = 0.0;
  for (const float x : random_values(10000, -1e-4f, 1e-4f)) {
    worst = std::max(worst, std::abs(static_cast<double>(to_float(from_float<f16>(x))) - x));
  }
  check(worst <= 0x1p-25, "subnormal f16 are within half a step", worst);
}

void test_activations() {
  double log1p_worst = 0, softplus_worst = 0, slope_worst = 0, sigmoid_worst = 0, silu_worst = 0, dsilu_worst = 0;
  for (int i = 0; i <= 1000000; ++i) {
    const float w = static_cast<float>(i) * 1e-6f;
    if (i > 0) log1p_worst = std::max(log1p_worst, relative_error(log1p_unit(w), std::log1p(double{w})));
  }
  for (int i = 0; i <= 400000; ++i) {
    const float x = -100.0f + 0.0005f * static_cast<float>(i);
    const double e = std::exp(-std::abs(double{x}));
    const double sigmoid_of_x = x >= 0 ? 1 / (1 + e) : e / (1 + e);
    const double silu_of_x = x * sigmoid_of_x;
    const double dsilu_of_x = sigmoid_of_x * (1 + x * (1 - sigmoid_of_x));
    silu_worst = std::max(silu_worst, std::abs(silu(x) - silu_of_x) / (std::abs(silu_of_x) + 1e-3));
    dsilu_worst = std::max(dsilu_worst, std::abs(dsilu(x) - dsilu_of_x));
    if (x < -87.0f) continue;  // the exponential is flushed to zero
    // In units of the error that the header promises.
    const double promised = 3e-7 + (x < 0 ? 9e-8 * -double{x} : 0.0);
    const ValueAndSlope both = softplus_with_slope(x);
    const double softplus_of_x = std::max(double{x}, 0.0) + std::log1p(e);
    softplus_worst = std::max(softplus_worst, relative_error(softplus(x), softplus_of_x) / promised);
    softplus_worst = std::max(softplus_worst, relative_error(both.value, softplus_of_x) / promised);
    slope_worst = std::max(slope_worst, relative_error(both.slope, sigmoid_of_x) / promised);
    sigmoid_worst = std::max(sigmoid_worst, relative_error(sigmoid(x), sigmoid_of_x) / promised);
  }
  check(log1p_worst <= 1.8e-7, "log1p on [0, 1], relative error", log1p_worst);
  check(softplus_worst <= 1.0, "softplus on [-87, 100], share of the promised error", softplus_worst);
  check(slope_worst <= 1.0, "slope of softplus, share of the promised error", slope_worst);
  check(sigmoid_worst <= 1.0, "sigmoid, share of the promised error", sigmoid_worst);
  check(silu_worst <= 1e-6, "silu", silu_worst);
  check(dsilu_worst <= 1e-6, "dsilu, absolute", dsilu_worst);
  check(softplus(-100.0f) == 0.0f && softplus(100.0f) == 100.0f && softplus(25.0f) == 25.0f, "softplus far out");
  check(!std::isnan(silu(-1000.0f)) && !std::isnan(dsilu(-1000.0f)) && dsilu(1000.0f) == 1.0f, "silu far out");
  check(ex2(-127.0f) == 0.0f && ex2(10.0f) == 1024.0f && rcp(0x1p127f) == 0.0f && lg2(8.0f) == 3.0f, "ex2, rcp, lg2");
}

double distance(Complex<float> z, double angle) {
  return std::hypot(double{z.re} - std::cos(angle), double{z.im} - std::sin(angle));
}

void test_angles() {
  constexpr double kPi = 3.14159265358979323846;
  double worst = 0;
  for (int i = -500000; i <= 500000; ++i) {
    const float x = static_cast<float>(i) * 1e-6f;
    worst = std::max(worst, distance(cis_within_half_turn(x), kPi * double{x}));
  }
  check(worst <= 1.5e-7, "exp(i pi x) up to a quarter turn", worst);

  double small_worst = 0, large_worst = 0;
  for (const float im : random_values(20000, -100.0f, 100.0f)) {
    for (const float delta : {0.001f, 0.0371f, 1.0f, 97.3f}) {
      float A[2] = {0.0f, im}, low[1];
      selective_scan::scale_poles(A, low);
      const double angle = double{delta} * double{im},
                   error = distance(selective_scan::decay_of(delta, A[0], A[1], low[0]), angle);
      (std::abs(angle) < 1 ? small_worst : large_worst) =
          std::max(std::abs(angle) < 1 ? small_worst : large_worst, error);
    }
  }
  check(small_worst <= 1.5e-7, "exp(i delta A), angles below 1", small_worst);
  check(large_worst <= 2e-7, "exp(i delta A), angles to 9730", large_worst);

  const auto size_of = [](float delta, float im) {
    float A[2] = {-1.0f, im}, low[1];
    selective_scan::scale_poles(A, low);
    const Complex<float> z = selective_scan::decay_of(delta, A[0], A[1], low[0]);
    return std::hypot(z.re, z.im) / std::exp(-delta);
  };
  check(std::abs(size_of(2.0f, 1e12f) - 1) < 1e-6 && std::abs(size_of(1.0f, 3e38f) - 1) < 1e-6, "sizes of lost angles");
  check(std::isnan(size_of(NAN, 1.0f)) && std::isnan(size_of(1.0f, NAN)), "NaN stays NaN in a decay");
}

void test_random() {
  auto equals = [](Random4 random, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    return random.bits[0] == a && random.bits[1] == b && random.bits[2] == c && random.bits[3] == d;
  };
  // The known answers of Random123, kat_vectors.
  check(equals(philox(0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8), "philox of zeros");
  check(equals(philox(~0ull, ~0ull, ~0ull), 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd), "philox of ones");
  check(equals(philox(0x299f31d0a4093822ull, 0x0370734413198a2eull, 0x85a308d3243f6a88ull), 0xd16cfe09, 0x94fdcceb,
               0x5001e420, 0x24126ea1),
        "philox of pi");
  check(uniform_from_bits(0) == 0x1p-24f && uniform_from_bits(~0u) == 1.0f - 0x1p-24f, "uniform keeps off 0 and 1");

  double series_worst = 0.0;
  for (uint32_t b = 0; b < 0xfffff000u; b += 1001 * 1009) {
    const double angle = 6.283185307179586 * ((b + 0.5) / 4294967296.0);
    const double radius = std::sqrt(-2 * std::log(0.25 + 0.5 / 4294967296.0));
    const TwoNormals normals = normals_from_bits(0x40000000u, b);
    series_worst = std::max({series_worst, std::abs(normals.first - radius * std::cos(angle)),
                             std::abs(normals.second - radius * std::sin(angle))});
  }
  check(series_worst < 1e-7, "sine and cosine of Box-Muller", series_worst);

  double sum = 0, squares = 0, uniform_sum = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    for (const float x : random_normal(3, 1, i).values) sum += x, squares += double{x} * x;
    for (const float u : random_uniform(3, 2, i).values) uniform_sum += u;
  }
  check(std::abs(sum / (4 * kDraws)) < 0.01, "normal: mean", sum / (4 * kDraws));
  check(std::abs(squares / (4 * kDraws) - 1) < 0.01, "normal: variance", squares / (4 * kDraws));
  check(std::abs(uniform_sum / (4 * kDraws) - 0.5) < 0.005, "uniform: mean", uniform_sum / (4 * kDraws));
}

template <typename T>
__global__ void copy_vectors_kernel(const T* in, T* out, int count) {
  constexpr int kItems = 8;
  const int start = static_cast<int>(threadIdx.x) * kItems;
  float values[kItems];
  if (start + kItems <= count) {
    load_floats(values, in + start);
    store_floats(out + start, values);
  } else {
    load_floats_or_zero(values, in + start, count - start);
    store_first_floats(out + start, values, count - start);
  }
}

template <typename T>
void test_vectors(const char* name) {
  constexpr int kCount = 251;
  alignas(16) T in[kCount + 5], out[kCount + 5];
  const auto values = random_values(kCount);
  for (int i = 0; i < kCount; ++i) in[i] = from_float<T>(values[i]);
  std::fill(out, out + kCount + 5, from_float<T>(-9.0f));
  launch(copy_vectors_kernel<T>, {dim3(1), dim3(32)}, nullptr, in, out, kCount);
  bool same = true, kept = true;
  for (int i = 0; i < kCount; ++i) same &= to_float(in[i]) == to_float(out[i]);
  for (int i = kCount; i < kCount + 5; ++i) kept &= to_float(out[i]) == -9.0f;
  check(same && kept, name);
}

__global__ void votes_kernel(int* out) {
  const int rank = thread_rank();
  int results = __syncthreads_count(rank % 3 == 0);
  results += 1000 * __syncthreads_or(rank == 5) + 2000 * __syncthreads_or(0);
  results += 4000 * __syncthreads_and(1) + 8000 * __syncthreads_and(rank != 5);
  results += 16000 * __any_sync(kFullWarp, rank % 32 == 1) + 32000 * __all_sync(kFullWarp, rank % 32 == 1);
  out[rank] = results + (__ballot_sync(kFullWarp, rank % 32 < 4) == 0xf ? 0 : 1 << 20);
}

__global__ void reduce_kernel(const float* in, float* sums, float* maxima, float* eights) {
  const int i = blockIdx.x * blockDim.x * blockDim.y + thread_rank();
  eights[i] = warp_sum<8>(in[i]);
  sums[i] = block_sum(in[i]);
  maxima[i] = block_max(in[i]);
}

void test_reductions() {
  constexpr int kBlocks = 3;
  const dim3 shape(32, 5);
  constexpr int kBlockSize = 160;
  const auto in = random_values(kBlocks * kBlockSize, -5.0f, -1.0f);
  std::vector<float> sums(in.size()), maxima(in.size()), eights(in.size());
  launch(reduce_kernel, {dim3(kBlocks), shape}, nullptr, in.data(), sums.data(), maxima.data(), eights.data());
  double worst = 0.0, worst_eight = 0.0;
  bool same_max = true, same_sum = true;
  for (int b = 0; b < kBlocks; ++b) {
    const float* block_in = &in[b * kBlockSize];
    double sum = 0.0;
    for (int i = 0; i < kBlockSize; ++i) sum += block_in[i];
    for (int i = 0; i < kBlockSize; ++i) {
      const int at = b * kBlockSize + i;
      double eight = 0.0;
      for (int k = 0; k < 8; ++k) eight += in[at / 8 * 8 + k];
      worst_eight = std::max(worst_eight, relative_error(eights[at], eight));
      worst = std::max(worst, relative_error(sums[at], sum));
      same_sum &= sums[at] == sums[b * kBlockSize];
      same_max &= maxima[at] == *std::max_element(block_in, block_in + kBlockSize);
    }
  }
  check(worst < 1e-6 && same_sum, "block_sum, the same in all threads", worst);
  check(worst_eight < 1e-6, "warp_sum over eight lanes", worst_eight);
  check(same_max, "block_max");

  std::vector<int> votes(96);
  launch(votes_kernel, {dim3(1), dim3(96)}, nullptr, votes.data());
  const int expected = 32 + 1000 + 4000 + 16000;
  check(std::all_of(votes.begin(), votes.end(), [=](int v) { return v == expected; }), "votes", votes[0]);
}

template <Direction kDirection>
__global__ void scan_kernel(const float* decay, const float* input, float* states, float* last, int steps) {
  Affine prefix;
  for (int step = 0; step < steps; ++step) {
    const int chunk = kDirection == Direction::kForward ? step : steps - 1 - step;
    const int i = chunk * static_cast<int>(blockDim.x) + thread_rank();
    const Affine mine{decay[i], input[i]};
    const Affine before = block_scan_exclusive<kDirection>(mine, prefix);
    states[i] = then(before, mine)(0.5f);
  }
  last[thread_rank()] = prefix(0.5f);
}

template <Direction kDirection>
void test_scan(const char* name) {
  constexpr int kThreads = 96, kSteps = 3, kLength = kThreads * kSteps;
  const auto decay = random_values(kLength, 0.5f, 1.0f), input = random_values(kLength);
  std::vector<float> states(kLength), last(kThreads);
  launch(scan_kernel<kDirection>, {dim3(1), dim3(kThreads)}, nullptr, decay.data(), input.data(), states.data(),
         last.data(), kSteps);
  double h = 0.5, worst = 0.0;
  for (int t = 0; t < kLength; ++t) {
    const int i = kDirection == Direction::kForward ? t : kLength - 1 - t;
    h = decay[i] * h + input[i];
    worst = std::max(worst, std::abs(states[i] - h));
  }
  for (const float value : last) worst = std::max(worst, std::abs(value - h));
  check(worst < 1e-5, name, worst);
}

// Rows of a matrix summed through two buffers; the tail of a row is filled with zeros.
template <int kBytes>
__global__ void pipeline_kernel(const float* in, float* out, int length) {
  constexpr int kItems = kBytes / 4;
  float* buffers = dynamic_shared<float>();
  const int threads = static_cast<int>(blockDim.x), tile = threads * kItems;
  const float* row = in + static_cast<size_t>(blockIdx.x) * length;
  auto start_tile = [&](int t) {
    const int first = t * tile + thread_rank() * kItems;
    const int inside = min(max(length - first, 0), kItems);
    async_copy_or_zero<kBytes>(buffers + t % 2 * tile + thread_rank() * kItems, inside ? row + first : row, 4 * inside);
  };
  const int tiles = ceil_div(length, tile);
  start_tile(0);
  async_commit();
  float sum = 0.0f;
  for (int t = 0; t < tiles; ++t) {
    if (t + 1 < tiles) start_tile(t + 1);
    async_commit();
    async_wait<1>();
    __syncthreads();
    for (int k = 0; k < kItems; ++k) sum += buffers[t % 2 * tile + (threads - 1 - thread_rank()) * kItems + k];
    __syncthreads();  // the buffer is filled again in the next step
  }
  sum = block_sum(sum);
  if (thread_rank() == 0) out[blockIdx.x] = sum;
}

template <int kBytes>
void test_pipeline(const char* name) {
  constexpr int kRows = 3, kLength = 1004, kThreads = 64;
  const auto in = random_values(kRows * kLength);
  std::vector<float> out(kRows);
  launch(pipeline_kernel<kBytes>, {dim3(kRows), dim3(kThreads), 2 * kThreads * kBytes}, nullptr, in.data(), out.data(),
         kLength);
  double worst = 0.0;
  for (int r = 0; r < kRows; ++r) {
    double sum = 0.0;
    for (int i = 0; i < kLength; ++i) sum += in[r * kLength + i];
    worst = std::max(worst, std::abs(out[r] - sum));
  }
  check(worst < 1e-4, name, worst);
}

// c[16, 8] = a[16, 16] * b[16, 8], with fragments loaded by hand and by ldmatrix.
template <typename T>
__global__ void matmul_kernel(const T* a, const T* b, float* by_hand, float* by_tiles) {
  auto& a_shared = block_shared<T[16 * 16], struct MatmulA>();
  auto& b_shared = block_shared<T[16 * 8], struct MatmulB>();
  const int lane = lane_index();
  for (int i = lane; i < 256; i += 32) a_shared[i] = a[i];
  for (int i = lane; i < 128; i += 32) b_shared[i] = b[i];
  __syncwarp();

  FragmentA<T> fa;
  FragmentB<T> fb;
  FragmentC fc;
  for (int i = 0; i < 4; ++i) fa.regs[i] = load_pair(a_shared + a_row(lane, i) * 16 + a_col(lane, i));
  for (int i = 0; i < 2; ++i) {
    const int at = b_row(lane, i) * 8 + b_col(lane);
    fb.regs[i] = pack_pair(b_shared[at], b_shared[at + 8]);
  }
  multiply_add(fc, fa, fb);
  for (int i = 0; i < 4; ++i) by_hand[c_row(lane, i) * 8 + c_col(lane, i)] = fc.regs[i];

  FragmentC second;
  const int tile = lane / 8, row = lane % 8;
  load_tiles<4>(fa.regs, a_shared + (tile % 2 * 8 + row) * 16 + tile / 2 * 8);
  load_tiles<2, Tile::kTransposed>(fb.regs, b_shared + (tile % 2 * 8 + row) * 8);
  multiply_add(second, fa, fb);
  for (int i = 0; i < 4; ++i) by_tiles[c_row(lane, i) * 8 + c_col(lane, i)] = second.regs[i];
}

template <typename T>
void test_matmul(const char* name) {
  const auto a_values = random_values(256), b_values = random_values(128);
  std::vector<T> a(256), b(128);
  for (int i = 0; i < 256; ++i) a[i] = from_float<T>(a_values[i]);
  for (int i = 0; i < 128; ++i) b[i] = from_float<T>(b_values[i]);
  std::vector<float> by_hand(128), by_tiles(128);
  launch(matmul_kernel<T>, {dim3(1), dim3(32)}, nullptr, a.data(), b.data(), by_hand.data(), by_tiles.data());
  double worst = 0.0;
  for (int m = 0; m < 16; ++m) {
    for (int n = 0; n < 8; ++n) {
      double sum = 0.0;
      for (int k = 0; k < 16; ++k) sum += double{to_float(a[m * 16 + k])} * to_float(b[k * 8 + n]);
      worst = std::max({worst, std::abs(by_hand[m * 8 + n] - sum), std::abs(by_tiles[m * 8 + n] - sum)});
    }
  }
  check(worst < 1e-5, name, worst);
}

__global__ void atomics_kernel(float* sum, int* largest, unsigned* count) {
  atomicAdd(sum, 0.5f);
  atomicMax(largest, thread_rank());
  atomicAdd(count, 1u);
}

void test_atomics() {
  float sum = 0.0f;
  int largest = -1;
  unsigned count = 0;
  launch(atomics_kernel, {dim3(2), dim3(64)}, nullptr, &sum, &largest, &count);
  check(sum == 64.0f && largest == 63 && count == 128, "atomics");
}

void test_blocks() {
  test_vectors<float>("vectors of float");
  test_vectors<bf16>("vectors of bf16");
  test_vectors<f16>("vectors of f16");
  test_reductions();
  test_scan<Direction::kForward>("scan forward");
  test_scan<Direction::kBackward>("scan backward");
  test_pipeline<4>("async copies of 4 bytes");
  test_pipeline<8>("async copies of 8 bytes");
  test_pipeline<16>("async copies of 16 bytes");
  test_matmul<bf16>("bf16 tile product");
  test_matmul<f16>("f16 tile product");
  test_atomics();
}

__global__ void half_barrier_kernel(int* out) {
  if (threadIdx.x < 32) __syncthreads();
  atomicAdd(out, 1);
}

void test_emulator() {
  int count = 0;
  bool noticed = false;
  try {
    launch(half_barrier_kernel, {dim3(4), dim3(64)}, nullptr, &count);
  } catch (const emulator::Violation&) {
    noticed = true;
  }
  check(noticed && count == 32, "a stuck block ends the launch");
  test_reductions();

  std::vector<int> votes(64);
  std::thread([&] { launch(votes_kernel, {dim3(1), dim3(64)}, nullptr, votes.data()); }).join();
  check(votes[0] == votes[63] && votes[0] != 0, "a launch on another host thread");
}

}  // namespace
}  // namespace statespace::cuda

int main() {
  using namespace statespace;
  cuda::test_conversions();
  cuda::test_activations();
  cuda::test_angles();
  cuda::test_random();
  for (const auto order : {emulator::Order::kForward, emulator::Order::kBackward}) {
    std::printf("threads and blocks %s\n", order == emulator::Order::kForward ? "forward" : "backward");
    emulator::options.order = order;
    cuda::test_blocks();
  }
  cuda::test_emulator();
  std::printf("%d failures\n", cuda::failures);
  return cuda::failures == 0 ? 0 : 1;
}
