// Draws one token per row. Nothing is sorted: top-k and top-p keep the front of the order (logit falling, then index),
// and a search over the bits of the order finds where it is cut. The draw goes through the tokens by index.
#include "cpp/ops/sample.h"

#include "cuda/device/random.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/floats.cuh"

namespace statespace::cuda {

namespace {

constexpr int kThreads = 1024;
constexpr int kWarps = kThreads / kWarpSize;

struct SampleArguments {
  Floats logits;
  int64_t row_stride, vocab;
  const int* seeds;
  int* counters;
  int* history;
  int64_t capacity;
  float temperature, top_p, min_p, repetition_penalty;
  int64_t top_k;
  bool greedy, penalizes;
  float* values;         // [batch, vocab], the logits as they count
  float* probabilities;  // [batch, vocab], relative to the likeliest token
  int* tokens;
};

// Integers in the order of the floats, largest first.
__device__ unsigned falling_key(float x) {
  const unsigned bits = __float_as_uint(x);
  return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

struct Weighted {
  unsigned key;
  float weight;
};

// The smallest key up to which the weights sum to `wanted`, found two bits at a time; all ones if they never do.
// `reached` becomes the sum of the smaller keys. All threads get the same.
template <typename F>
__device__ unsigned smallest_reaching(int64_t size, float wanted, F weighted, float& reached) {
  unsigned found = 0;
  reached = 0.0f;
  for (int shift = 30; shift >= 0; shift -= 2) {
    const unsigned above = shift == 30 ? 0 : ~0u << (shift + 2);
    float sums[3] = {};
    for (int64_t i = threadIdx.x; i < size; i += kThreads) {
      const Weighted item = weighted(i);
      if ((item.key & above) != found) continue;
      const unsigned digit = item.key >> shift & 3;
#pragma unroll
      for (unsigned d = 0; d < 3; ++d) sums[d] += digit == d ? item.weight : 0.0f;
    }
#pragma unroll
    for (int d = 0; d < 3; ++d) sums[d] = block_sum(sums[d]);
    unsigned digit = 0;
    for (; digit < 3 && reached + sums[digit] < wanted; ++digit) reached += sums[digit];
    found |= digit << shift;
  }
  return found;
}

// Keeps the shortest front of the order whose weights reach `wanted`: 1 each if kCounts, else the probabilities.
template <bool kCounts>
__device__ void cut(const float* values, float* probabilities, int64_t vocab, float wanted) {
  auto weight_of = [=](int64_t i) { return kCounts ? 1.0f : probabilities[i]; };
  float reached;
  const unsigned last = smallest_reaching(
      vocab, wanted,
      [=](int64_t i) {
        return Weighted{falling_key(values[i]), weight_of(i)};
      },
      reached);
  // Of the tokens with this logit, the first ones by index.
  float ignored;
  const unsigned last_index = smallest_reaching(
      vocab, wanted - reached,
      [=](int64_t i) {
        return Weighted{static_cast<unsigned>(i), falling_key(values[i]) == last ? weight_of(i) : 0.0f};
      },
      ignored);
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) {
    const unsigned key = falling_key(values[i]);
    if (key > last || (key == last && static_cast<unsigned>(i) > last_index)) probabilities[i] = 0.0f;
  }
  __syncthreads();  // `probabilities` of all tokens
}

struct Min {
  template <typename T>
  __device__ T operator()(T a, T b) const {
    return b < a ? b : a;
  }
};

// The token where the running sum of the probabilities passes `part` of the whole; thread 0 gets it.
__device__ int64_t draw(const float* probabilities, int64_t vocab, float part) {
  auto& thread_sums = block_shared<float[kThreads], struct SumsOfPieces>();
  auto& warp_sums = block_shared<float[kWarps], struct SumsOfWarps>();
  const int64_t piece = ceil_div<int64_t>(vocab, kThreads);
  const int64_t start = threadIdx.x * piece;
  float sum = 0.0f;
  for (int64_t i = start; i < min(vocab, start + piece); ++i) sum += probabilities[i];
  thread_sums[threadIdx.x] = sum;
  sum = warp_sum(sum);
  if (lane_index() == 0) warp_sums[warp_index()] = sum;
  __syncthreads();  // `thread_sums` and `warp_sums`
  if (threadIdx.x != 0) return 0;

  float total = 0.0f;
  for (int warp = 0; warp < kWarps; ++warp) total += warp_sums[warp];
  float wanted = part * total;
  // Rounding may lead past the end: then it is the last that has any probability.
  auto pass = [&wanted](const float* sums, int64_t first, int64_t end) {
    int64_t place = first;
    for (int64_t i = first; i < end; ++i) {
      if (sums[i] == 0.0f) continue;
      place = i;
      if (wanted < sums[i]) break;
      wanted -= sums[i];
    }
    return place;
  };
  const int64_t warp = pass(warp_sums, 0, kWarps);
  const int64_t thread = pass(thread_sums, warp * kWarpSize, (warp + 1) * kWarpSize);
  return pass(probabilities, thread * piece, min(vocab, (thread + 1) * piece));
}

// One block per row.
__global__ void __launch_bounds__(kThreads) sample_kernel(SampleArguments arguments) {
  const int64_t row = blockIdx.x, vocab = arguments.vocab;
  const float lowest = __int_as_float(0xff800000);
  float* values = arguments.values + row * vocab;
  float* probabilities = arguments.probabilities + row * vocab;
  int* history = arguments.history + row * arguments.capacity;
  const unsigned counter = static_cast<unsigned>(arguments.counters[row]);

  // + 0 makes one of the two zeros; NaN is never drawn.
  auto cleaned = [=](float x) { return x == x ? x + 0.0f : lowest; };
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) {
    values[i] = cleaned(load_float(arguments.logits, row * arguments.row_stride + i));
  }
  if (arguments.penalizes) {
    __syncthreads();  // `values` are overwritten
    for (int64_t i = threadIdx.x; i < arguments.capacity; i += kThreads) {
      const int token = history[i];
      bool is_first = token >= 0 && token < vocab;
      for (int64_t earlier = 0; earlier < i && is_first; ++earlier) is_first = history[earlier] != token;
      if (!is_first) continue;
      const float logit = load_float(arguments.logits, row * arguments.row_stride + token);
      values[token] =
          cleaned(logit > 0.0f ? logit / arguments.repetition_penalty : logit * arguments.repetition_penalty);
    }
  }
  __syncthreads();  // `values` of all tokens

  auto best = ~0ull;
  for (int64_t i = threadIdx.x; i < vocab; i += kThreads) {
    best = Min{}(best, static_cast<unsigned long long>(falling_key(values[i])) << 32 | static_cast<unsigned>(i));
  }
  best = block_reduce(best, ~0ull, Min{});
  int64_t token = static_cast<int64_t>(best & 0xffffffffu);

  if (!arguments.greedy) {
    const float largest = values[token];
    for (int64_t i = threadIdx.x; i < vocab; i += kThreads) {
      probabilities[i] = values[i] == largest ? 1.0f : expf((values[i] - largest) / arguments.temperature);
    }
    __syncthreads();  // `probabilities` of all tokens
    if (arguments.top_k > 0 && arguments.top_k < vocab) {
      cut<true>(values, probabilities, vocab, static_cast<float>(arguments.top_k));
    }
    if (arguments.top_p < 1.0f) {
      float total = 0.0f;
      for (int64_t i = threadIdx.x; i < vocab; i += kThreads) total += probabilities[i];
      total = block_sum(total);
      // A front of at least one token.
      cut<false>(values, probabilities, vocab, fmaxf(arguments.top_p * total, 1e-30f));
    }
    if (arguments.min_p > 0.0f) {
      for (int64_t i = threadIdx.x; i < vocab; i += kThreads) {
        if (probabilities[i] < fminf(arguments.min_p, 1.0f)) probabilities[i] = 0.0f;
      }
      __syncthreads();  // `probabilities` of all tokens
    }
    const uint64_t seed = static_cast<uint64_t>(static_cast<unsigned>(arguments.seeds[2 * row + 1])) << 32 |
                          static_cast<unsigned>(arguments.seeds[2 * row]);
    token = draw(probabilities, vocab, random_uniform(seed, counter, 0).values[0]);
  }
  if (threadIdx.x == 0) {
    arguments.tokens[row] = static_cast<int>(token);
    arguments.counters[row] = static_cast<int>(counter + 1);
    if (arguments.capacity > 0) history[counter % arguments.capacity] = static_cast<int>(token);
  }
}

}  // namespace

template <>
void run(const Sample& op, Context& context) {
  const int64_t batch = op.logits.dim(0), vocab = op.logits.dim(1);
  if (batch == 0) return;
  SampleArguments arguments;
  arguments.logits = op.logits;
  arguments.row_stride = op.logits.row_stride();
  arguments.vocab = vocab;
  arguments.seeds = op.seeds.as<int>();
  arguments.counters = op.counters.as<int>();
  arguments.history = op.history.as<int>();
  arguments.capacity = op.history ? op.history.dim(1) : 0;
  // Below this the division would overflow, and only the likeliest token is left long before.
  arguments.temperature = op.temperature > 1e-30 ? static_cast<float>(op.temperature) : 1e-30f;
  arguments.top_p = static_cast<float>(op.top_p);
  arguments.min_p = static_cast<float>(op.min_p);
  arguments.repetition_penalty = static_cast<float>(op.repetition_penalty);
  arguments.top_k = op.top_k;
  arguments.greedy = !(op.temperature > 0) || op.top_k == 1;
  arguments.penalizes = op.history && op.repetition_penalty != 1;
  arguments.values = context.scratch<float>(static_cast<size_t>(batch * vocab));
  arguments.probabilities = arguments.greedy ? nullptr : context.scratch<float>(static_cast<size_t>(batch * vocab));
  arguments.tokens = op.tokens.as<int>();
  launch(sample_kernel, {dim3(static_cast<unsigned>(batch)), dim3(kThreads)}, context.stream, arguments);
}

}  // namespace statespace::cuda
