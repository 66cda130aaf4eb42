// Fourier transforms of 8, 16, 32, ... numbers in the registers and the shared memory of a block (Stockham, radix 8,
// the last step 2, 4 or 8; Govindaraju et al. 2008). A transform of n has n / 8 threads, and a block may hold several.
#pragma once

#include "cuda/device/complex.cuh"

namespace statespace::cuda {

constexpr int kFftItems = 8;

// Shared numbers that `count` transforms of n need: strides of 8 are padded to 9, so that they meet different banks.
constexpr int fft_shared_size(int n, int count) { return (n + n / 8) * count; }

// exp(sign i pi / 4 k) z for k = 1, 2, 3.
template <int kSign, typename T>
__device__ Complex<T> turn_eighth(Complex<T> z) {
  const T half = static_cast<T>(0.70710678118654752440);
  return {half * (z.re - kSign * z.im), half * (z.im + kSign * z.re)};
}
template <int kSign, typename T>
__device__ Complex<T> turn_quarter(Complex<T> z) {
  return {-kSign * z.im, kSign * z.re};
}

// Transforms of 2, 4 and 8 numbers v[first + stride * i] in place.
template <int kSign, typename T>
__device__ void dft2(Complex<T>& a, Complex<T>& b) {
  const Complex<T> difference = a - b;
  a = a + b;
  b = difference;
}
template <int kSign, typename T>
__device__ void dft4(Complex<T>& a, Complex<T>& b, Complex<T>& c, Complex<T>& d) {
  dft2<kSign>(a, c);
  dft2<kSign>(b, d);
  d = turn_quarter<kSign>(d);
  dft2<kSign>(a, b);
  dft2<kSign>(c, d);
  const Complex<T> second = c;  // a, b, c, d are now outputs 0, 2, 1, 3
  c = b;
  b = second;
}
template <int kSign, typename T>
__device__ void dft8(Complex<T> (&v)[kFftItems]) {
  dft4<kSign>(v[0], v[2], v[4], v[6]);
  dft4<kSign>(v[1], v[3], v[5], v[7]);
  v[3] = turn_eighth<kSign>(v[3]);
  v[5] = turn_quarter<kSign>(v[5]);
  v[7] = turn_eighth<kSign>(turn_quarter<kSign>(v[7]));
  // Evens in 0, 2, 4, 6 and turned odds in 1, 3, 5, 7 give outputs k and k + 4.
  const Complex<T> even[4] = {v[0], v[2], v[4], v[6]}, odd[4] = {v[1], v[3], v[5], v[7]};
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    v[k] = even[k] + odd[k];
    v[k + 4] = even[k] - odd[k];
  }
}

// Transforms `count` rows of n numbers, side by side in the block: thread number `thread` of n / 8 has elements
// thread + i n / 8 of row `row`, before and after. kSign -1 is forward; 1 is backward, without the factor 1 / n.
// All threads of the block call it with the same n and count.
template <int kSign, typename T>
__device__ void block_fft(Complex<T> (&v)[kFftItems], Complex<T>* shared, int n, int thread, int row, int count) {
  const int stride = n / kFftItems;
  const auto slot = [&](int i) { return (i + i / 8) * count + row; };
  int done = 1;  // size of the transforms so far
  while (true) {
    const int left = n / done;
    if (left >= 8) {
      const int k = thread & (done - 1);
      // The exponent is exact: done is a power of two.
      const Complex<T> w1 = cispi(static_cast<T>(kSign * 2 * k) / static_cast<T>(8 * done));
      const Complex<T> w2 = w1 * w1, w3 = w2 * w1, w4 = w2 * w2;
      v[1] = v[1] * w1;
      v[2] = v[2] * w2;
      v[3] = v[3] * w3;
      v[4] = v[4] * w4;
      v[5] = v[5] * (w4 * w1);
      v[6] = v[6] * (w3 * w3);
      v[7] = v[7] * (w4 * w3);
      dft8<kSign>(v);
      if (left == 8) return;
#pragma unroll
      for (int i = 0; i < 8; ++i) shared[slot((thread - k) * 8 + k + i * done)] = v[i];
      done *= 8;
      __syncthreads();  // all have written
#pragma unroll
      for (int i = 0; i < 8; ++i) v[i] = shared[slot(thread + i * stride)];
      __syncthreads();  // all have read
      continue;
    }
    // The last step leaves every element with its thread.
    if (left == 4) {
#pragma unroll
      for (int q = 0; q < 2; ++q) {
        const Complex<T> w1 = cispi(static_cast<T>(kSign * 2 * (thread + q * stride)) / static_cast<T>(n));
        const Complex<T> w2 = w1 * w1;
        v[q + 2] = v[q + 2] * w1;
        v[q + 4] = v[q + 4] * w2;
        v[q + 6] = v[q + 6] * (w2 * w1);
        dft4<kSign>(v[q], v[q + 2], v[q + 4], v[q + 6]);
      }
    } else if (left == 2) {
#pragma unroll
      for (int q = 0; q < 4; ++q) {
        v[q + 4] = v[q + 4] * cispi(static_cast<T>(kSign * 2 * (thread + q * stride)) / static_cast<T>(n));
        dft2<kSign>(v[q], v[q + 4]);
      }
    }
    return;
  }
}

// How a transform is cut: n = columns of n1 numbers, n2 apart, and then rows of n2 (Bailey 1990); n1 = 1 where one
// block has room for all. Element k1 n2 + k2 of a result cut so is number k1 + n1 k2 of the transform.
struct FftPlan {
  int n, n1, n2;

  static constexpr int kMost = 4096;    // numbers of one block
  static constexpr int kThreads = 256;  // at least, with several rows or columns a block
  static constexpr int64_t kLongest = static_cast<int64_t>(kMost) * kMost;

  // For at least `least` numbers, at most kLongest.
  static FftPlan of(int64_t least) {
    int bits = 8;
    while (int64_t{1} << bits < least) ++bits;
    const int n = 1 << bits;
    if (n <= kMost) return {n, 1, n};
    return {n, 1 << bits / 2, 1 << (bits - bits / 2)};
  }
  constexpr bool is_cut() const { return n1 > 1; }

  // Threads of a block with transforms of `size`, and how many these are.
  static int threads_for(int size) { return size / kFftItems > kThreads ? size / kFftItems : kThreads; }
  static int count_for(int size) { return threads_for(size) * kFftItems / size; }
};

// exp(sign 2 pi i k1 j2 / n), what stands between columns and rows.
template <int kSign, typename T>
__device__ Complex<T> between(const FftPlan& plan, int k1, int j2) {
  return cispi(static_cast<T>(kSign * 2 * k1 * j2) / static_cast<T>(plan.n));  // k1 j2 < n
}

}  // namespace statespace::cuda
