// Draws one token per row. Nothing is sorted: top-k and top-p keep the front of the order (logit falling, then index),
// so histograms find where it is cut. The draw then goes through the tokens in the order of their indices.
#include "cpp/ops/sample.h"

#include "cpp/core/philox.h"
#include "cpp/cpu/copy.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

namespace {

constexpr float kInfinity = __builtin_inff();
// A first histogram over 32 nats below the largest logit, several copies against chains of additions to one bucket.
constexpr int kBuckets = 1024, kCopies = 4;
constexpr float kBucketsPerNat = 32;
// Tokens whose probabilities are added before they are looked at one by one.
constexpr int64_t kPiece = 512;

STATESPACE_INLINE Vec load_lanes(const float* p, int64_t n, Vec other) {
  return n == kWidth ? load(p) : select(first_lanes(n), load_partial(p, n), other);
}

float largest_of(const float* x, int64_t n) {
  const Vec none = broadcast(-kInfinity);
  Vec m[2] = {none, none};
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    m[0] = max(load(x + i), m[0]);
    m[1] = max(load(x + i + kWidth), m[1]);
  }
  for (; i < n; i += kWidth) m[0] = max(load_lanes(x + i, n - i < kWidth ? n - i : kWidth, none), m[0]);
  return reduce_max(max(m[0], m[1]));
}

// Where `value` is first; 0 if it is nowhere, as in a row of NaN.
int64_t first_equal(const float* x, int64_t n, float value) {
  int64_t i = 0;
  while (i + kWidth <= n && !any(equal(load(x + i), broadcast(value)))) i += kWidth;
  for (; i < n; ++i) {
    if (x[i] == value) return i;
  }
  return 0;
}

// Written from the logits as they came, so that a token that is twice in the history is punished once.
void penalize(const Tensor& logits, int64_t row, const int32_t* history, int64_t capacity, float penalty, float* x) {
  const int64_t vocab = logits.dim(1), width = static_cast<int64_t>(size_of(logits.dtype));
  const char* const from = static_cast<const char*>(logits.data) + row * logits.row_stride() * width;
  for (int64_t i = 0; i < capacity; ++i) {
    const int64_t token = history[i];
    if (token < 0 || token >= vocab) continue;
    float logit;
    convert_row(from + token * width, logits.dtype, &logit, DType::float32, 1);
    x[token] = logit > 0 ? logit / penalty : logit * penalty;
  }
}

// x becomes its finite form, e the probability relative to the likeliest token.
void exponentials(float* x, int64_t n, float largest, float temperature, float* e) {
  const Vec none = broadcast(-kInfinity);
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t lanes = n - i < kWidth ? n - i : kWidth;
    // + 0 makes one of the two zeros; NaN is never drawn.
    Vec v = load_lanes(x + i, lanes, none) + 0.0f;
    v = select(is_nan(v), none, v);
    const Vec p = select(equal(v, broadcast(largest)), broadcast(1.0f), exp((v - largest) / temperature));
    if (lanes == kWidth) {
      store(x + i, v);
      store(e + i, p);
    } else {
      store_partial(x + i, v, lanes);
      store_partial(e + i, p, lanes);
    }
  }
}

// Integers in the order of the floats, largest first.
STATESPACE_INLINE uint32_t falling_key(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof(bits));
  return bits & 0x80000000u ? bits : ~bits & 0x7fffffffu;
}

struct Candidate {
  uint32_t key;
  int32_t token;
};

// Keeps the shortest front of the order whose weights reach `wanted` and sets e to 0 behind it. A weight is 1 if
// `count` is true, else e.
void cut(const float* x, float* e, int64_t n, float largest, float temperature, bool count, double wanted) {
  double histogram[kBuckets * kCopies] = {};
  int32_t bucket_of[kWidth];
  auto buckets = [&](int64_t i, int64_t lanes) {
    const Vec v = load_lanes(x + i, lanes, broadcast(-kInfinity));
    const Vec place = select(equal(v, broadcast(largest)), Vec{}, (largest - v) / temperature * kBucketsPerNat);
    const IVec bucket = to_ivec(min(place, broadcast(kBuckets - 1.0f)));
    __builtin_memcpy(bucket_of, &bucket, sizeof(bucket));
  };
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t lanes = n - i < kWidth ? n - i : kWidth;
    buckets(i, lanes);
    for (int64_t k = 0; k < lanes; ++k) {
      histogram[bucket_of[k] * kCopies + k % kCopies] += count ? 1.0 : static_cast<double>(e[i + k]);
    }
  }
  double reached = 0;
  int bucket = 0;
  for (; bucket < kBuckets; ++bucket) {
    double weight = 0;
    for (int k = 0; k < kCopies; ++k) weight += histogram[bucket * kCopies + k];
    if (reached + weight >= wanted) break;
    reached += weight;
  }
  if (bucket == kBuckets) return;

  Candidate* const candidates = static_cast<Candidate*>(scratch(Slot::kernel2, sizeof(Candidate) * n));
  int64_t size = 0;
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t lanes = n - i < kWidth ? n - i : kWidth;
    buckets(i, lanes);
    for (int64_t k = 0; k < lanes; ++k) {
      if (bucket_of[k] == bucket) candidates[size++] = {falling_key(x[i + k]), static_cast<int32_t>(i + k)};
    }
  }
  auto weight_of = [&](const Candidate& c) { return count ? 1.0 : static_cast<double>(e[c.token]); };
  for (int shift = 24; shift >= 0; shift -= 8) {
    double digits[256] = {};
    int last = 0;
    for (int64_t i = 0; i < size; ++i) {
      const int digit = candidates[i].key >> shift & 255;
      digits[digit] += weight_of(candidates[i]);
      last = digit > last ? digit : last;
    }
    int digit = 0;
    for (; digit < last && reached + digits[digit] < wanted; ++digit) reached += digits[digit];
    int64_t kept = 0;
    for (int64_t i = 0; i < size; ++i) {
      if ((candidates[i].key >> shift & 255) == static_cast<uint32_t>(digit)) candidates[kept++] = candidates[i];
    }
    size = kept;
  }
  // All candidates are equal now.
  const float least = x[candidates[0].token];
  int64_t last_token = candidates[size - 1].token;
  for (int64_t i = 0; i < size; ++i) {
    reached += weight_of(candidates[i]);
    if (reached >= wanted) {
      last_token = candidates[i].token;
      break;
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    const bool keep = x[i] > least || (x[i] == least && i <= last_token);
    e[i] = keep ? e[i] : 0;
  }
}

double sum_of(const float* e, int64_t n) {
  Vec s{};
  for (int64_t i = 0; i < n; i += kWidth) s += load_lanes(e + i, n - i < kWidth ? n - i : kWidth, Vec{});
  return static_cast<double>(reduce_add(s));
}

// The token where the running sum of e passes `part` of the whole.
int64_t draw(const float* e, int64_t n, double part) {
  const int64_t pieces = (n + kPiece - 1) / kPiece;
  double* const sums = static_cast<double*>(scratch(Slot::kernel3, sizeof(double) * pieces));
  double total = 0;
  for (int64_t i = 0; i < pieces; ++i) {
    sums[i] = sum_of(e + i * kPiece, n - i * kPiece < kPiece ? n - i * kPiece : kPiece);
    total += sums[i];
  }
  double wanted = part * total;
  // Rounding may lead past the end: then it is the last token that has any probability.
  int64_t piece = 0, token = 0;
  for (int64_t i = 0; i < pieces; ++i) {
    if (sums[i] == 0) continue;
    piece = i;
    if (wanted < sums[i]) break;
    wanted -= sums[i];
  }
  for (int64_t i = piece * kPiece; i < n && i < (piece + 1) * kPiece; ++i) {
    if (e[i] == 0) continue;
    token = i;
    if (wanted < static_cast<double>(e[i])) break;
    wanted -= static_cast<double>(e[i]);
  }
  return token;
}

__attribute__((flatten)) float uniform(uint64_t seed, uint64_t counter) {
  return uniform_from_bits(philox(seed, counter, 0).bits[0]);
}

int64_t sample_row(const Sample& op, int64_t row, uint32_t counter) {
  const int64_t n = op.logits.dim(1), width = static_cast<int64_t>(size_of(op.logits.dtype));
  const char* const logits = static_cast<const char*>(op.logits.data) + row * op.logits.row_stride() * width;
  const bool greedy = !(op.temperature > 0) || op.top_k == 1;
  const bool penalized = op.history && op.repetition_penalty != 1;
  if (greedy && !penalized && op.logits.dtype == DType::float32) {
    const float* const x = reinterpret_cast<const float*>(logits);
    return first_equal(x, n, largest_of(x, n));
  }
  float* const x = static_cast<float*>(scratch(Slot::kernel0, sizeof(float) * n));
  convert_row(logits, op.logits.dtype, x, DType::float32, n);
  if (penalized) {
    const int64_t capacity = op.history.dim(1);
    penalize(op.logits, row, static_cast<const int32_t*>(op.history.data) + row * capacity, capacity,
             static_cast<float>(op.repetition_penalty), x);
  }
  const float largest = largest_of(x, n);
  if (greedy) return first_equal(x, n, largest);

  float* const e = static_cast<float*>(scratch(Slot::kernel1, sizeof(float) * n));
  // Below this the division would overflow, and only the likeliest token is left long before.
  const float temperature = op.temperature > 1e-30 ? static_cast<float>(op.temperature) : 1e-30f;
  exponentials(x, n, largest, temperature, e);
  if (op.top_k > 0 && op.top_k < n) cut(x, e, n, largest, temperature, true, static_cast<double>(op.top_k));
  if (op.top_p < 1) {
    double total = 0;
    for (int64_t i = 0; i < n; i += kPiece) total += sum_of(e + i, n - i < kPiece ? n - i : kPiece);
    // A front of at least one token.
    const double wanted = op.top_p * total;
    cut(x, e, n, largest, temperature, false, wanted > 1e-30 ? wanted : 1e-30);
  }
  if (op.min_p > 0) {
    // The likeliest token has 1.
    const float least = op.min_p < 1 ? static_cast<float>(op.min_p) : 1;
    for (int64_t i = 0; i < n; ++i) e[i] = e[i] >= least ? e[i] : 0;
  }
  uint32_t seed[2];
  __builtin_memcpy(seed, static_cast<const int32_t*>(op.seeds.data) + 2 * row, sizeof(seed));
  return draw(e, n, static_cast<double>(uniform(static_cast<uint64_t>(seed[1]) << 32 | seed[0], counter)));
}

}  // namespace

template <>
void run(const Sample& op) {
  int32_t* const counters = static_cast<int32_t*>(op.counters.data);
  parallel_for(op.logits.dim(0), 16384 / (op.logits.dim(1) + 1) + 1, [&](int64_t row) {
    const uint32_t counter = static_cast<uint32_t>(counters[row]);
    const int32_t token = static_cast<int32_t>(sample_row(op, row, counter));
    static_cast<int32_t*>(op.tokens.data)[row] = token;
    counters[row] = static_cast<int32_t>(counter + 1);
    const int64_t capacity = op.history ? op.history.dim(1) : 0;
    if (capacity > 0) static_cast<int32_t*>(op.history.data)[row * capacity + counter % capacity] = token;
  });
}

}  // namespace statespace::cpu::STATESPACE_ISA
