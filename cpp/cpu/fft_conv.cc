// Convolutions through real transforms, neighbouring channels across the lanes, as they lie in memory. With transforms
// U, K and G of u, the kernel and dy:  y = U K,  du = G conj(K),  dk = sum over the batch of G conj(U).
#include "cpp/ops/fft_conv.h"

#include "cpp/cpu/fft.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// Long transforms go through memory, with so few lanes that a cache line of them is used at once.
typedef float Quad __attribute__((vector_size(16)));
constexpr int64_t kLongTransform = 1 << 15;
// Spectra of kernels that are held at a time.
constexpr int64_t kSpectraBytes = int64_t{1} << 29;
// Sums of dk that a batch is cut into, whatever the number of threads.
constexpr int64_t kBatchParts = 4;

template <typename V>
constexpr int64_t kLanes = sizeof(V) / sizeof(float);

template <typename V, typename T>
STATESPACE_INLINE V load_channels(const T* p, int64_t lanes) {
  if constexpr (sizeof(V) == sizeof(Vec)) {
    return load_lanes(p, lanes);
  } else {
    V v{};
    for (int64_t i = 0; i < lanes; ++i) v[i] = load_one(p + i);
    return v;
  }
}
template <typename V, typename T>
STATESPACE_INLINE void store_channels(T* p, V v, int64_t lanes) {
  if constexpr (sizeof(V) == sizeof(Vec)) {
    store_lanes(p, v, lanes);
  } else {
    for (int64_t i = 0; i < lanes; ++i) store_one(p + i, v[i]);
  }
}

struct Sizes {
  int64_t batch, length, dim, directions, all_taps, taps, n;
};
// A second direction wraps around the end of the transform, one place further.
Sizes sizes_of(const Tensor& u, const Tensor& k) {
  Sizes s = {u.shape[0], u.shape[1], u.shape[2], k.shape[0], k.shape[2], std::min(k.shape[2], u.shape[1]), 0};
  s.n = RealTransform<float>::size_for(s.length + s.taps - (s.directions == 2 ? 0 : 1));
  return s;
}

// One block of neighbouring channels.
template <typename V>
class Channels {
 public:
  Channels(const Sizes& sizes, const RealTransform<float>& transform, int64_t block)
      : sizes_(sizes),
        transform_(transform),
        first_(block * kLanes<V>),
        lanes_(std::min(kLanes<V>, sizes.dim - first_)) {}

  int64_t first() const { return first_; }
  int64_t lanes() const { return lanes_; }

  V per_channel(const Tensor& t) const {
    return t ? load_channels<V>(static_cast<const float*>(t.data) + first_, lanes_) : V{};
  }

  template <typename T>
  const T* row(const Tensor& x, int64_t batch) const {
    return static_cast<const T*>(x.data) + batch * x.strides[0] + first_;
  }

  template <typename T>
  void transform_row(const Tensor& x, int64_t batch, V* spectrum) const {
    const T* from = row<T>(x, batch);
    for (int64_t t = 0; t < sizes_.length; ++t) spectrum[t] = load_channels<V>(from + t * x.strides[1], lanes_);
    std::fill(spectrum + sizes_.length, spectrum + sizes_.n, V{});
    transform_.forward(spectrum);
  }

  // k0[j] at j, k1[j] at n - 1 - j.
  void transform_kernel(const Tensor& k, V* spectrum) const {
    std::fill(spectrum, spectrum + sizes_.n, V{});
    for (int64_t direction = 0; direction < sizes_.directions; ++direction) {
      for (int64_t i = 0; i < lanes_; ++i) {
        const float* from = taps(k, direction, i);
        for (int64_t j = 0; j < sizes_.taps; ++j) spectrum[direction ? sizes_.n - 1 - j : j][i] = from[j];
      }
    }
    transform_.forward(spectrum);
  }

  void store_kernel_gradient(const V* dk, const Tensor& to) const {
    for (int64_t direction = 0; direction < sizes_.directions; ++direction) {
      for (int64_t i = 0; i < lanes_; ++i) {
        float* target = const_cast<float*>(taps(to, direction, i));
        for (int64_t j = 0; j < sizes_.taps; ++j) target[j] = dk[direction ? sizes_.n - 1 - j : j][i];
        std::fill(target + sizes_.taps, target + sizes_.all_taps, 0.0f);
      }
    }
  }

 private:
  const float* taps(const Tensor& k, int64_t direction, int64_t lane) const {
    return static_cast<const float*>(k.data) + (direction * sizes_.dim + first_ + lane) * sizes_.all_taps;
  }

  const Sizes& sizes_;
  const RealTransform<float>& transform_;
  const int64_t first_, lanes_;
};

// result (+)= a b or a conj(b), element by element; the result may be a.
template <bool kConjugate, bool kAdds, typename V>
void multiply(V* result, const V* a, const V* b, int64_t n) {
  const auto put = [&](int64_t i, V value) { result[i] = kAdds ? result[i] + value : value; };
  put(0, a[0] * b[0]);
  int64_t i = 1;
  for (; i + 1 < n; i += 2) {
    const V re = a[i], im = a[i + 1], re_b = b[i], im_b = kConjugate ? -b[i + 1] : b[i + 1];
    put(i, re * re_b - im * im_b);
    put(i + 1, re * im_b + im * re_b);
  }
  if (i < n) put(i, a[i] * b[i]);
}

template <typename V>
V* spectra(Slot slot, int64_t count, int64_t n) {
  return static_cast<V*>(scratch(slot, sizeof(V) * static_cast<size_t>(count * n)));
}

// f(first block, number of blocks, their kernels' spectra), for as many blocks of channels at a time as fit.
template <typename V, typename F>
void for_waves(const Sizes& sizes, const RealTransform<float>& transform, const Tensor& k, const F& f) {
  const int64_t blocks = (sizes.dim + kLanes<V> - 1) / kLanes<V>;
  const int64_t most = std::max<int64_t>(1, kSpectraBytes / (sizes.n * static_cast<int64_t>(sizeof(V))));
  for (int64_t first = 0; first < blocks; first += most) {
    const int64_t count = std::min(most, blocks - first);
    V* kernels = spectra<V>(Slot::kernel0, count, sizes.n);
    parallel_for(
        count, [&](int64_t i) { Channels<V>(sizes, transform, first + i).transform_kernel(k, kernels + i * sizes.n); });
    f(first, count, kernels);
  }
}

template <typename V, typename T>
void forward(const FftConvForward& op, const Sizes& sizes) {
  const RealTransform<float> transform(sizes.n);
  for_waves<V>(sizes, transform, op.k, [&](int64_t first, int64_t count, const V* kernels) {
    parallel_for(count * sizes.batch, [&](int64_t task) {
      const int64_t i = task / sizes.batch, batch = task % sizes.batch;
      const Channels<V> channels(sizes, transform, first + i);
      V* const buffer = spectra<V>(Slot::kernel1, 1, sizes.n);
      channels.template transform_row<T>(op.u, batch, buffer);
      multiply<false, false>(buffer, buffer, kernels + i * sizes.n, sizes.n);
      transform.backward(buffer, 1.0f / static_cast<float>(sizes.n));
      const V D = channels.per_channel(op.D);
      const T* u = channels.template row<T>(op.u, batch);
      T* y = static_cast<T*>(op.y.data) + batch * sizes.length * sizes.dim + channels.first();
      for (int64_t t = 0; t < sizes.length; ++t) {
        V value = buffer[t];
        if (op.D) value += D * load_channels<V>(u + t * op.u.strides[1], channels.lanes());
        store_channels(y + t * sizes.dim, value, channels.lanes());
      }
    });
  });
}

// The sum over the length of dy u, in parts that keep float's digits.
template <typename V, typename T>
V dot_over_length(const T* dy, int64_t dy_step, const T* u, int64_t u_step, int64_t length, int64_t lanes) {
  constexpr int64_t kPart = 512;
  V total{};
  for (int64_t begin = 0; begin < length; begin += kPart) {
    V part{};
    for (int64_t t = begin; t < std::min(length, begin + kPart); ++t) {
      part += load_channels<V>(dy + t * dy_step, lanes) * load_channels<V>(u + t * u_step, lanes);
    }
    total += part;
  }
  return total;
}

template <typename V, typename T>
void backward(const FftConvBackward& op, const Sizes& sizes) {
  const RealTransform<float> transform(sizes.n);
  const float scale = 1.0f / static_cast<float>(sizes.n);
  const int64_t parts = sizes.n > kLongTransform ? 1 : std::min(kBatchParts, sizes.batch), n = sizes.n;
  for_waves<V>(sizes, transform, op.k, [&](int64_t first, int64_t count, const V* kernels) {
    // For each block and part the spectrum of dk, and dD behind all of them.
    V* const dk = spectra<V>(Slot::kernel1, count * parts, n + 1);
    V* const dD = dk + count * parts * n;
    parallel_for(count * parts, [&](int64_t task) {
      const int64_t i = task / parts, part = task % parts;
      const Channels<V> channels(sizes, transform, first + i);
      const V D = channels.per_channel(op.D);
      V* const g = spectra<V>(Slot::kernel2, 2, n);
      V* const u = g + n;
      std::fill(dk + task * n, dk + (task + 1) * n, V{});
      dD[task] = V{};
      const int64_t end = (part + 1) * sizes.batch / parts;
      for (int64_t batch = part * sizes.batch / parts; batch < end; ++batch) {
        channels.template transform_row<T>(op.dy, batch, g);
        channels.template transform_row<T>(op.u, batch, u);
        multiply<true, true>(dk + task * n, g, u, n);
        multiply<true, false>(g, g, kernels + i * n, n);
        transform.backward(g, scale);
        const T* dy = channels.template row<T>(op.dy, batch);
        T* du = static_cast<T*>(op.du.data) + batch * sizes.length * sizes.dim + channels.first();
        for (int64_t t = 0; t < sizes.length; ++t) {
          V value = g[t];
          if (op.D) value += D * load_channels<V>(dy + t * op.dy.strides[1], channels.lanes());
          store_channels(du + t * sizes.dim, value, channels.lanes());
        }
        if (op.D) {
          dD[task] += dot_over_length<V>(dy, op.dy.strides[1], channels.template row<T>(op.u, batch), op.u.strides[1],
                                         sizes.length, channels.lanes());
        }
      }
    });
    parallel_for(count, [&](int64_t i) {
      const Channels<V> channels(sizes, transform, first + i);
      V* const total = dk + i * parts * n;
      V dD_sum = dD[i * parts];
      for (int64_t part = 1; part < parts; ++part) {
        for (int64_t j = 0; j < n; ++j) total[j] += total[part * n + j];
        dD_sum += dD[i * parts + part];
      }
      transform.backward(total, scale);
      channels.store_kernel_gradient(total, op.dk);
      if (op.D) store_channels(static_cast<float*>(op.dD.data) + channels.first(), dD_sum, channels.lanes());
    });
  });
}

template <typename F>
void for_types(DType dtype, int64_t n, const F& f) {
  const auto with_lanes = [&]<typename T>(T) {
    if (n > kLongTransform) {
      f.template operator()<Quad, T>();
    } else {
      f.template operator()<Vec, T>();
    }
  };
  if (dtype == DType::float32) return with_lanes(float{});
  if (dtype == DType::bfloat16) return with_lanes(bf16{});
  with_lanes(f16{});
}

}  // namespace

template <>
void run(const FftConvForward& op) {
  if (op.u.size() == 0) return;
  const Sizes sizes = sizes_of(op.u, op.k);
  for_types(op.u.dtype, sizes.n, [&]<typename V, typename T>() { forward<V, T>(op, sizes); });
}

template <>
void run(const FftConvBackward& op) {
  if (op.u.size() == 0) {
    for (const Tensor* t : {&op.dk, &op.dD}) {
      if (*t) std::fill(static_cast<float*>(t->data), static_cast<float*>(t->data) + t->size(), 0.0f);
    }
    return;
  }
  const Sizes sizes = sizes_of(op.u, op.k);
  for_types(op.u.dtype, sizes.n, [&]<typename V, typename T>() { backward<V, T>(op, sizes); });
}

}  // namespace statespace::cpu::STATESPACE_ISA
