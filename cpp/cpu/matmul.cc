// Batched matrix product y = a b over the last two axes.
#include "cpp/ops/matmul.h"

#include "cpp/cpu/gemm.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// Multiplications that are worth a thread, and those that are worth many.
constexpr int64_t kSmall = 65536, kLarge = int64_t{1} << 24;

const char* at(const Tensor& t, int64_t offset) {
  return static_cast<const char*>(t.data) + offset * static_cast<int64_t>(size_of(t.dtype));
}

// Whether b is the same for the whole batch and the rows of a follow each other through it: one tall product.
bool is_one_product(const Tensor& a, const Tensor& b) {
  for (int i = 0; i < a.rank - 2; ++i) {
    if (b.shape[i] != 1 && b.strides[i] != 0) return false;
  }
  int64_t expected = a.stride(-2) * a.dim(-2);
  for (int i = a.rank - 3; i >= 0; --i) {
    if (a.shape[i] == 1) continue;
    if (a.strides[i] != expected) return false;
    expected *= a.shape[i];
  }
  return true;
}

}  // namespace

template <>
void run(const Matmul& op) {
  const Tensor &a = op.a, &b = op.b, &y = op.y;
  const int64_t m = a.dim(-2), k = a.dim(-1), n = b.dim(-1);
  int64_t batch = 1;
  for (int i = 0; i < a.rank - 2; ++i) batch *= a.shape[i];
  if (batch * m * n == 0) return;
  if (batch > 1 && is_one_product(a, b)) {
    gemm(batch * m, n, k, {a.data, a.dtype, a.stride(-2), a.stride(-1)}, {b.data, b.dtype, b.stride(-2), b.stride(-1)},
         {y.data, y.dtype, n});
    return;
  }
  auto product = [&](int64_t index) {
    int64_t from_a = 0, from_b = 0;
    for (int64_t axis = a.rank - 3, rest = index; axis >= 0; --axis) {
      const int64_t i = rest % a.shape[axis];
      rest /= a.shape[axis];
      from_a += i * a.strides[axis];
      from_b += i * b.strides[axis];
    }
    gemm(m, n, k, {at(a, from_a), a.dtype, a.stride(-2), a.stride(-1)},
         {at(b, from_b), b.dtype, b.stride(-2), b.stride(-1)}, {const_cast<char*>(at(y, index * m * n)), y.dtype, n});
  };
  const int64_t work = m * n * (k > 0 ? k : 1);
  if (work >= kLarge && batch < 2 * available_threads()) {
    for (int64_t index = 0; index < batch; ++index) product(index);
  } else {
    parallel_for(batch, kSmall / work + 1, product);
  }
}

}  // namespace statespace::cpu::STATESPACE_ISA
