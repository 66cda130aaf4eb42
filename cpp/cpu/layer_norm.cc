// sum = x + residual;  y = (sum - mean) / std * weight + bias. With g = dy weight and s = (sum - mean) / std:
//   dx = (g - mean(g) - s mean(g s)) / std + dsum,  dweight = sum over rows of dy s,  dbias = sum over rows of dy.
#include "cpp/ops/layer_norm.h"

#include "cpp/cpu/norm.h"
#include "cpp/cpu/run.h"

namespace statespace::cpu::STATESPACE_ISA {

template <>
void run(const LayerNormForward& op) {
  const int64_t n = op.x.dim(-1), rows = op.x.rows();
  const float* const weight = static_cast<const float*>(op.weight.data);
  const float* const bias = static_cast<const float*>(op.bias.data);
  parallel_blocks(rows, n < kBlock ? kBlock / (n + 1) + 1 : 1, [&](int64_t row, int64_t end) {
    float* const buffer = static_cast<float*>(scratch(Slot::kernel0, sizeof(float) * n));
    for (; row < end; ++row) {
      const float* x = float_row(op.x, row, n, buffer);
      float total;
      if (op.residual) {
        const float* residual = static_cast<const float*>(op.residual.data) + row * n;
        float* sum = static_cast<float*>(op.sum.data) + row * n;
        total = sum_vectors(n, [=](int64_t i, int64_t lanes) {
          const Vec s = load_lanes(x + i, lanes) + load_lanes(residual + i, lanes);
          store_lanes(sum + i, s, lanes);
          return s;
        });
        x = sum;
      } else {
        total = sum_vectors(n, [=](int64_t i, int64_t lanes) { return load_lanes(x + i, lanes); });
      }
      const float mean = total / static_cast<float>(n > 0 ? n : 1);
      const float square = sum_vectors(n, [=](int64_t i, int64_t lanes) {
        const Vec d = load_lanes(x + i, lanes) - mean;
        // Lanes beyond the row hold -mean.
        return lanes == kWidth ? d * d : select(first_lanes(lanes), d * d, Vec{});
      });
      const float inverse =
          static_cast<float>(1 / __builtin_sqrt(static_cast<double>(square) / (n > 0 ? n : 1) + op.eps));
      static_cast<float*>(op.mean.data)[row] = mean;
      static_cast<float*>(op.inverse_std.data)[row] = inverse;
      float* const y = op.y.dtype == DType::float32 ? static_cast<float*>(op.y.data) + row * n : buffer;
      each_vector(n, [=](int64_t i, int64_t lanes) {
        Vec v = (load_lanes(x + i, lanes) - mean) * inverse * load_lanes(weight + i, lanes);
        if (bias) v += load_lanes(bias + i, lanes);
        store_lanes(y + i, v, lanes);
      });
      if (y == buffer) convert_row(y, DType::float32, row_address(op.y, row, n), op.y.dtype, n);
    }
  });
}

template <>
void run(const LayerNormBackward& op) {
  const int64_t n = op.x.dim(-1), rows = op.x.rows();
  const int64_t chunk = chunk_rows(rows), chunks = (rows + chunk - 1) / chunk;
  const float* const weight = static_cast<const float*>(op.weight.data);
  // dweight of all chunks, then dbias of all chunks
  float* const partial = static_cast<float*>(scratch(Slot::kernel0, sizeof(float) * 2 * chunks * n));
  parallel_for(chunks, kBlock / (chunk * n + 1) + 1, [&](int64_t index) {
    float* const buffer = static_cast<float*>(scratch(Slot::kernel1, sizeof(float) * 3 * n));
    float *const dweight = partial + index * n, *const dbias = partial + (chunks + index) * n;
    each_vector(n, [=](int64_t i, int64_t lanes) {
      store_lanes(dweight + i, Vec{}, lanes);
      store_lanes(dbias + i, Vec{}, lanes);
    });
    const int64_t end = rows < (index + 1) * chunk ? rows : (index + 1) * chunk;
    for (int64_t row = index * chunk; row < end; ++row) {
      const float* const x = float_row(op.x, row, n, buffer);
      const float* const dy = float_row(op.dy, row, n, buffer + n);
      const float inverse = static_cast<const float*>(op.inverse_std.data)[row];
      const float center = static_cast<const float*>(op.mean.data)[row];
      // The weight's missing lanes are 0, so that x - mean does not count there.
      const float total = sum_vectors(
          n, [=](int64_t i, int64_t lanes) { return load_lanes(dy + i, lanes) * load_lanes(weight + i, lanes); });
      const float mean = total / static_cast<float>(n);
      const float dot = sum_vectors(n, [=](int64_t i, int64_t lanes) {
        return load_lanes(dy + i, lanes) * load_lanes(weight + i, lanes) * (load_lanes(x + i, lanes) - center);
      });
      const float slope = dot * inverse / static_cast<float>(n);
      const float* const dsum = op.dsum ? static_cast<const float*>(op.dsum.data) + row * n : nullptr;
      float* dx = buffer + 2 * n;
      if (op.dx.dtype == DType::float32) dx = static_cast<float*>(op.dx.data) + row * n;
      if (op.with_residual) dx = static_cast<float*>(op.dresidual.data) + row * n;
      each_vector(n, [=](int64_t i, int64_t lanes) {
        const Vec g = load_lanes(dy + i, lanes), s = (load_lanes(x + i, lanes) - center) * inverse;
        Vec d = (g * load_lanes(weight + i, lanes) - mean - s * slope) * inverse;
        if (dsum) d += load_lanes(dsum + i, lanes);
        store_lanes(dx + i, d, lanes);
        store_lanes(dweight + i, load_lanes(dweight + i, lanes) + g * s, lanes);
        store_lanes(dbias + i, load_lanes(dbias + i, lanes) + g, lanes);
      });
      void* const target = row_address(op.dx, row, n);
      if (dx != target) convert_row(dx, DType::float32, target, op.dx.dtype, n);
    }
  });
  sum_chunks(partial, chunks, n, static_cast<float*>(op.dweight.data));
  if (op.with_bias) sum_chunks(partial + chunks * n, chunks, n, static_cast<float*>(op.dbias.data));
}

}  // namespace statespace::cpu::STATESPACE_ISA
