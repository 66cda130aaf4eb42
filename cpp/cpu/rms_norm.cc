// sum = x + residual;  y = sum / rms(sum) * weight. With g = dy weight and s = sum / rms(sum):
//   dx = (g - s mean(g s)) / rms(sum) + dsum,  dweight = sum over rows of dy s  (math.md 6.1).
#include "cpp/ops/rms_norm.h"

#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

// In copy.cc.
void convert_row(const void* x, DType from, void* y, DType to, int64_t n);

namespace {

constexpr int64_t kBlock = 8192;

template <typename F>
STATESPACE_INLINE void each_vector(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) f(i, static_cast<int64_t>(kWidth));
  if (i < n) f(i, n - i);
}
STATESPACE_INLINE Vec load_lanes(const float* p, int64_t n) { return n == kWidth ? load(p) : load_partial(p, n); }
STATESPACE_INLINE void store_lanes(float* p, Vec v, int64_t n) {
  if (n == kWidth) {
    store(p, v);
  } else {
    store_partial(p, v, n);
  }
}

// Sum of f(i, lanes), four vectors at a time.
template <typename F>
STATESPACE_INLINE float sum_vectors(int64_t n, const F& f) {
  Vec s[4] = {};
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    for (int k = 0; k < 4; ++k) s[k] += f(i + k * kWidth, kWidth);
  }
  for (; i < n; i += kWidth) s[0] += f(i, n - i < kWidth ? n - i : kWidth);
  return reduce_add((s[0] + s[1]) + (s[2] + s[3]));
}

// A row as float32: where it lies, or widened in the buffer.
const float* float_row(const Tensor& t, int64_t row, int64_t n, float* buffer) {
  const char* data = static_cast<const char*>(t.data) + row * n * static_cast<int64_t>(size_of(t.dtype));
  if (t.dtype == DType::float32) return reinterpret_cast<const float*>(data);
  convert_row(data, t.dtype, buffer, DType::float32, n);
  return buffer;
}
void* row_address(const Tensor& t, int64_t row, int64_t n) {
  return static_cast<char*>(t.data) + row * n * static_cast<int64_t>(size_of(t.dtype));
}

// Partial sums of dweight, one for each chunk of rows; the number of rows alone says how many.
int64_t chunk_rows(int64_t rows) { return rows > 1024 ? (rows + 63) / 64 : 16; }

void sum_chunks(const float* partial, int64_t chunks, int64_t n, float* y) {
  parallel_blocks(n, kBlock, [=](int64_t begin, int64_t end) {
    each_vector(end - begin, [=](int64_t i, int64_t lanes) {
      Vec s{};
      for (int64_t chunk = 0; chunk < chunks; ++chunk) s += load_lanes(partial + chunk * n + begin + i, lanes);
      store_lanes(y + begin + i, s, lanes);
    });
  });
}

}  // namespace

template <>
void run(const RmsNormForward& op) {
  const int64_t n = op.x.dim(-1), rows = op.x.rows();
  const float* const weight = static_cast<const float*>(op.weight.data);
  parallel_blocks(rows, n < kBlock ? kBlock / (n + 1) + 1 : 1, [&](int64_t row, int64_t end) {
    float* const buffer = static_cast<float*>(scratch(Slot::kernel0, sizeof(float) * n));
    for (; row < end; ++row) {
      const float* x = float_row(op.x, row, n, buffer);
      float square;
      if (op.residual) {
        const float* residual = static_cast<const float*>(op.residual.data) + row * n;
        float* sum = static_cast<float*>(op.sum.data) + row * n;
        square = sum_vectors(n, [=](int64_t i, int64_t lanes) {
          const Vec s = load_lanes(x + i, lanes) + load_lanes(residual + i, lanes);
          store_lanes(sum + i, s, lanes);
          return s * s;
        });
        x = sum;
      } else {
        square = sum_vectors(n, [=](int64_t i, int64_t lanes) {
          const Vec s = load_lanes(x + i, lanes);
          return s * s;
        });
      }
      const float inverse =
          static_cast<float>(1 / __builtin_sqrt(static_cast<double>(square) / (n > 0 ? n : 1) + op.eps));
      static_cast<float*>(op.inverse_rms.data)[row] = inverse;
      float* const y = op.y.dtype == DType::float32 ? static_cast<float*>(op.y.data) + row * n : buffer;
      each_vector(n, [=](int64_t i, int64_t lanes) {
        store_lanes(y + i, load_lanes(x + i, lanes) * inverse * load_lanes(weight + i, lanes), lanes);
      });
      if (y == buffer) convert_row(y, DType::float32, row_address(op.y, row, n), op.y.dtype, n);
    }
  });
}

template <>
void run(const RmsNormBackward& op) {
  const int64_t n = op.x.dim(-1), rows = op.x.rows();
  const int64_t chunk = chunk_rows(rows), chunks = (rows + chunk - 1) / chunk;
  const float* const weight = static_cast<const float*>(op.weight.data);
  float* const partial = static_cast<float*>(scratch(Slot::kernel0, sizeof(float) * chunks * n));
  parallel_for(chunks, kBlock / (chunk * n + 1) + 1, [&](int64_t index) {
    float* const buffer = static_cast<float*>(scratch(Slot::kernel1, sizeof(float) * 3 * n));
    float* const dweight = partial + index * n;
    each_vector(n, [=](int64_t i, int64_t lanes) { store_lanes(dweight + i, Vec{}, lanes); });
    const int64_t end = rows < (index + 1) * chunk ? rows : (index + 1) * chunk;
    for (int64_t row = index * chunk; row < end; ++row) {
      const float* const x = float_row(op.x, row, n, buffer);
      const float* const dy = float_row(op.dy, row, n, buffer + n);
      const float inverse = static_cast<const float*>(op.inverse_rms.data)[row];
      const float dot = sum_vectors(n, [=](int64_t i, int64_t lanes) {
        return load_lanes(dy + i, lanes) * load_lanes(weight + i, lanes) * load_lanes(x + i, lanes);
      });
      // mean(g s) / rms
      const float mean = dot * inverse * inverse / static_cast<float>(n);
      const float* const dsum = op.dsum ? static_cast<const float*>(op.dsum.data) + row * n : nullptr;
      float* dx = buffer + 2 * n;
      if (op.dx.dtype == DType::float32) dx = static_cast<float*>(op.dx.data) + row * n;
      if (op.with_residual) dx = static_cast<float*>(op.dresidual.data) + row * n;
      each_vector(n, [=](int64_t i, int64_t lanes) {
        const Vec g = load_lanes(dy + i, lanes), s = load_lanes(x + i, lanes) * inverse;
        Vec d = g * load_lanes(weight + i, lanes) * inverse - s * mean;
        if (dsum) d += load_lanes(dsum + i, lanes);
        store_lanes(dx + i, d, lanes);
        store_lanes(dweight + i, load_lanes(dweight + i, lanes) + g * s, lanes);
      });
      void* const target = row_address(op.dx, row, n);
      if (dx != target) convert_row(dx, DType::float32, target, op.dx.dtype, n);
    }
  });
  sum_chunks(partial, chunks, n, static_cast<float*>(op.dweight.data));
}

}  // namespace statespace::cpu::STATESPACE_ISA
