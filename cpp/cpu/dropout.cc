// y = x / (1 - p) where the random number of an element is at least p, else 0.
#include "cpp/ops/dropout.h"

#include "cpp/cpu/fill.h"
#include "cpp/cpu/parallel.h"
#include "cpp/cpu/run.h"
#include "cpp/cpu/simd.h"

namespace statespace::cpu::STATESPACE_ISA {

namespace {

constexpr int64_t kBlock = 4096;

template <typename T>
void dropout(const Dropout& op) {
  const T* const x = static_cast<const T*>(op.x.data);
  T* const y = static_cast<T*>(op.y.data);
  const Vec p = broadcast(static_cast<float>(op.p)), scale = broadcast(static_cast<float>(1 / (1 - op.p)));
  parallel_blocks(op.x.size(), kBlock, [&](int64_t begin, int64_t end) {
    float numbers[kBlock];
    uniform_numbers(op.seed, op.offset, begin, end - begin, numbers);
    int64_t i = begin;
    for (; i + kWidth <= end; i += kWidth) {
      store(y + i, select(less_equal(p, load(numbers + i - begin)), load(x + i) * scale, Vec{}));
    }
    const int64_t rest = end - i;
    if (rest == 0) return;
    const Mask keep = less_equal(p, load_partial(numbers + i - begin, rest));
    store_partial(y + i, select(keep, load_partial(x + i, rest) * scale, Vec{}), rest);
  });
}

}  // namespace

template <>
void run(const Dropout& op) {
  if (op.x.dtype == DType::float32) dropout<float>(op);
  if (op.x.dtype == DType::bfloat16) dropout<bf16>(op);
  if (op.x.dtype == DType::float16) dropout<f16>(op);
}

}  // namespace statespace::cpu::STATESPACE_ISA
