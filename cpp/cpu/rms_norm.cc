// sum = x + residual;  y = sum / rms(sum) * weight. With g = dy weight and s = sum / rms(sum):
//   dx = (g - s mean(g s)) / rms(sum) + dsum,  dweight = sum over rows of dy s  (math.md 6.1).
#include "cpp/ops/rms_norm.h"

#include "cpp/cpu/norm.h"
#include "cpp/cpu/run.h"

namespace statespace::cpu::STATESPACE_ISA {

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
