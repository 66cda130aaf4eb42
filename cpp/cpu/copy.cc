// y = x in another memory order or element type.
#include "cpp/ops/copy.h"

#include "cpp/cpu/copy.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

namespace {

constexpr int64_t kBlock = 32768, kTile = 32;

template <typename F>
void visit(DType dtype, const F& f) {
  if (dtype == DType::float32) f(float{});
  if (dtype == DType::bfloat16) f(bf16{});
  if (dtype == DType::float16) f(f16{});
  if (dtype == DType::int32) f(int32_t{});
}

// Toward zero; what does not fit becomes the nearest int32, and NaN becomes 0, as on the GPU.
STATESPACE_INLINE IVec truncate(Vec v) {
  const IVec most = broadcast(int32_t{0x7fffffff}), least = broadcast(int32_t{-0x7fffffff - 1});
  const Mask high = less_equal(broadcast(2147483648.0f), v), low = less(v, broadcast(-2147483648.0f));
  const IVec whole = to_ivec(select(high | low | is_nan(v), Vec{}, v));
  return select(high, most, select(low, least, whole));
}

template <typename T>
STATESPACE_INLINE Vec load_elements(const T* p, int64_t n) {
  if constexpr (__is_same(T, int32_t)) {
    return to_vec((IVec)load_partial(reinterpret_cast<const float*>(p), n));
  } else {
    return load_lanes(p, n);
  }
}
template <typename T>
STATESPACE_INLINE void store_elements(T* p, Vec v, int64_t n) {
  if constexpr (__is_same(T, int32_t)) {
    store_partial(reinterpret_cast<float*>(p), (Vec)truncate(v), n);
  } else {
    store_lanes(p, v, n);
  }
}

template <typename X, typename Y>
STATESPACE_INLINE void convert_one(const X* x, Y* y) {
  if constexpr (__is_same(X, Y)) {
    *y = *x;
  } else if constexpr (__is_same(Y, int32_t)) {
    *y = truncate(broadcast(load_one(x)))[0];
  } else {
    store_one(y, load_one(x));
  }
}

template <typename X, typename Y>
STATESPACE_INLINE void convert(const X* x, Y* y, int64_t n) {
  if constexpr (__is_same(X, Y)) {
    if (n > 0) __builtin_memcpy(y, x, n * sizeof(X));
  } else {
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) store_elements(y + i, load_elements(x + i, kWidth), kWidth);
    if (i < n) store_elements(y + i, load_elements(x + i, n - i), n - i);
  }
}

// Axes of x and y, merged where both allow it, those of y in falling order of stride.
struct Axes {
  int rank = 0;
  int64_t shape[kMaxRank], x[kMaxRank], y[kMaxRank];

  Axes(const Tensor& tx, const Tensor& ty) {
    int64_t size[kMaxRank], sx[kMaxRank], sy[kMaxRank];
    int count = 0;
    for (int i = 0; i < tx.rank; ++i) {
      if (tx.shape[i] == 1) continue;
      int at = count++;
      for (; at > 0 && sy[at - 1] < ty.strides[i]; --at) {
        size[at] = size[at - 1];
        sx[at] = sx[at - 1];
        sy[at] = sy[at - 1];
      }
      size[at] = tx.shape[i];
      sx[at] = tx.strides[i];
      sy[at] = ty.strides[i];
    }
    for (int i = 0; i < count; ++i) {
      if (rank > 0 && x[rank - 1] == sx[i] * size[i] && y[rank - 1] == sy[i] * size[i]) {
        shape[rank - 1] *= size[i];
        x[rank - 1] = sx[i];
        y[rank - 1] = sy[i];
      } else {
        shape[rank] = size[i];
        x[rank] = sx[i];
        y[rank++] = sy[i];
      }
    }
    if (rank == 0) {
      shape[0] = x[0] = y[0] = 1;
      rank = 1;
    }
  }

  // Takes axis i out, so that the others can be counted through.
  void remove(int i) {
    --rank;
    for (; i < rank; ++i) {
      shape[i] = shape[i + 1];
      x[i] = x[i + 1];
      y[i] = y[i + 1];
    }
  }
  int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= shape[i];
    return n;
  }
  void locate(int64_t item, int64_t& at_x, int64_t& at_y) const {
    at_x = at_y = 0;
    for (int i = rank - 1; i >= 0; --i) {
      const int64_t index = item % shape[i];
      item /= shape[i];
      at_x += index * x[i];
      at_y += index * y[i];
    }
  }
};

// Rows along one axis.
template <typename X, typename Y>
void copy_rows(const X* x, Y* y, Axes axes) {
  const int last = axes.rank - 1;
  const int64_t n = axes.shape[last], step_x = axes.x[last], step_y = axes.y[last];
  axes.remove(last);
  const int64_t piece = n < kBlock ? n : kBlock, pieces = (n + piece - 1) / piece;
  parallel_blocks(axes.count() * pieces, kBlock / piece, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      int64_t at_x, at_y;
      axes.locate(item / pieces, at_x, at_y);
      const int64_t start = item % pieces * piece, length = n - start < piece ? n - start : piece;
      const X* from = x + at_x + start * step_x;
      Y* to = y + at_y + start * step_y;
      if (step_x == 1 && step_y == 1) {
        convert(from, to, length);
      } else {
        for (int64_t i = 0; i < length; ++i) convert_one(from + i * step_x, to + i * step_y);
      }
    }
  });
}

// x is dense along `axis`, y along the last one: tiles that fit the cache, for each place in the other axes.
template <typename X, typename Y>
void copy_tiles(const X* x, Y* y, Axes axes, int axis) {
  const int last = axes.rank - 1;
  const int64_t rows = axes.shape[axis], columns = axes.shape[last], step_x = axes.x[last], step_y = axes.y[axis];
  axes.remove(last);
  axes.remove(axis);
  const int64_t down = (rows + kTile - 1) / kTile, across = (columns + kTile - 1) / kTile;
  parallel_blocks(axes.count() * down * across, kBlock / (kTile * kTile), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      int64_t at_x, at_y;
      axes.locate(item / (down * across), at_x, at_y);
      const int64_t row = item / across % down * kTile, column = item % across * kTile;
      const int64_t m = rows - row < kTile ? rows - row : kTile;
      const int64_t n = columns - column < kTile ? columns - column : kTile;
      const X* from = x + at_x + row + column * step_x;
      Y* to = y + at_y + row * step_y + column;
      int64_t i = 0, j = 0;
      if constexpr (sizeof(X) == 4 && __is_same(X, Y)) {
        for (; i + kWidth <= m; i += kWidth) {
          for (j = 0; j + kWidth <= n; j += kWidth) {
            Vec v[kWidth];
            for (int k = 0; k < kWidth; ++k) __builtin_memcpy(&v[k], from + i + (j + k) * step_x, sizeof(Vec));
            transpose(v);
            for (int k = 0; k < kWidth; ++k) __builtin_memcpy(to + (i + k) * step_y + j, &v[k], sizeof(Vec));
          }
          for (int64_t k = 0; k < kWidth; ++k) {
            for (int64_t c = j; c < n; ++c) to[(i + k) * step_y + c] = from[i + k + c * step_x];
          }
        }
      }
      for (; i < m; ++i) {
        for (j = 0; j < n; ++j) convert_one(from + i + j * step_x, to + i * step_y + j);
      }
    }
  });
}

template <typename X, typename Y>
void copy(const Tensor& tx, const Tensor& ty) {
  const Axes axes(tx, ty);
  const X* x = static_cast<const X*>(tx.data);
  Y* y = static_cast<Y*>(ty.data);
  const int last = axes.rank - 1;
  if (axes.x[last] != 1 && axes.y[last] == 1) {
    for (int i = 0; i < last; ++i) {
      if (axes.x[i] == 1) return copy_tiles(x, y, axes, i);
    }
  }
  copy_rows(x, y, axes);
}

}  // namespace

void convert_row(const void* x, DType from, void* y, DType to, int64_t n) {
  visit(from, [&]<typename X>(X) {
    visit(to, [&]<typename Y>(Y) { convert(static_cast<const X*>(x), static_cast<Y*>(y), n); });
  });
}

template <>
void run(const Copy& op) {
  if (op.x.size() == 0) return;
  visit(op.x.dtype, [&]<typename X>(X) {
    visit(op.y.dtype, [&]<typename Y>(Y) {
      // Equal types are only bytes: one code for each size.
      if constexpr (!__is_same(X, Y)) {
        copy<X, Y>(op.x, op.y);
      } else if constexpr (sizeof(X) == 4) {
        copy<int32_t, int32_t>(op.x, op.y);
      } else {
        copy<bf16, bf16>(op.x, op.y);
      }
    });
  });
}

}  // namespace statespace::cpu::STATESPACE_ISA
