// Real transforms of vectors, each lane its own: pocketfft, inside the namespace of the instruction set, so that no
// copy of its templates can stand in for another one. What it includes must be included before.
#pragma once
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <vector>

#include "cpp/cpu/simd_vector.h"

#define POCKETFFT_NO_MULTITHREADING
#define POCKETFFT_CACHE_SIZE 0
namespace statespace::cpu::STATESPACE_ISA {
#include "third_party/pocketfft/pocketfft_hdronly.h"
}

namespace statespace::cpu::STATESPACE_ISA {

// A transform of n reals to r0, r1, i1, r2, i2, ..., and for even n a last r; F is float or double, V a vector of F or
// F.
template <typename F>
class RealTransform {
 public:
  explicit RealTransform(int64_t n) : plan_(static_cast<size_t>(n)) {}

  // The next size of small factors.
  static int64_t size_for(int64_t least) {
    return static_cast<int64_t>(pocketfft::detail::util::good_size_real(static_cast<size_t>(least)));
  }

  template <typename V>
  void forward(V* data) const {
    plan_.exec(data, F{1}, true);
  }
  // Times `factor`; 1 / n makes it the inverse.
  template <typename V>
  void backward(V* data, F factor) const {
    plan_.exec(data, factor, false);
  }

 private:
  pocketfft::detail::rfftp<F> plan_;
};

}  // namespace statespace::cpu::STATESPACE_ISA
