// Prints as JSON what the searches for cuBLASLt and NCCL find in this environment. With --multiply it also compares
// products by cuBLASLt with plain loops, on host memory: for the fake library only.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "cpp/core/dtype.h"
#include "cuda/runtime/cublaslt.h"
#include "cuda/runtime/nccl.h"

namespace statespace {
namespace {

using cuda::Context;
using cuda::CublasLt;

class HostContext : public Context {
 public:
  void* scratch_bytes(size_t bytes) override {
    scratch_.resize(bytes);
    return scratch_.data();
  }
  size_t scratch_count() const override { return 0; }
  void keep_scratch(size_t) override {}

 private:
  std::vector<char> scratch_;
};

struct Matrix {
  int64_t row, column, batch;  // strides
  std::vector<char> bytes;
  DType dtype;

  Matrix(DType dtype, int64_t rows, int64_t columns, bool transposed, int64_t padding, int64_t products)
      : row(transposed ? 1 : columns + padding), column(transposed ? rows + padding : 1), dtype(dtype) {
    batch = transposed ? columns * column : rows * row;
    bytes.resize(static_cast<size_t>(batch * products) * size_of(dtype));
    for (int64_t i = 0; i < batch * products; ++i) set(i, static_cast<float>((i * 37 + 11) % 17 - 8) / 8);
  }
  float get(int64_t i) const {
    if (dtype == DType::float32) return reinterpret_cast<const float*>(bytes.data())[i];
    if (dtype == DType::float16) return to_float(reinterpret_cast<const f16*>(bytes.data())[i]);
    return to_float(reinterpret_cast<const bf16*>(bytes.data())[i]);
  }
  void set(int64_t i, float value) {
    if (dtype == DType::float32)
      reinterpret_cast<float*>(bytes.data())[i] = value;
    else if (dtype == DType::float16)
      reinterpret_cast<f16*>(bytes.data())[i] = from_float<f16>(value);
    else
      reinterpret_cast<bf16*>(bytes.data())[i] = from_float<bf16>(value);
  }
};

struct Case {
  int64_t m, n, k, products;
  DType in, out;
  bool a_transposed, b_transposed, with_bias, narrow_bias, accumulate;
};

// Products of small multiples of 1/8 are exact in float32, so only the rounding of the result may differ.
bool agrees(CublasLt& library, const Case& c) {
  Matrix a(c.in, c.m, c.k, c.a_transposed, 3, c.products), b(c.in, c.k, c.n, c.b_transposed, 5, c.products);
  Matrix y(c.out, c.m, c.n, false, 2, c.products);
  const Matrix before = y;
  std::vector<float> bias(static_cast<size_t>(c.n));
  Matrix narrow_bias(c.out, 1, c.n, false, 0, 1);
  for (size_t i = 0; i < bias.size(); ++i) {
    bias[i] = static_cast<float>(i % 5);
    narrow_bias.set(static_cast<int64_t>(i), bias[i]);
  }
  Context::Gemm gemm = {};
  gemm.m = c.m, gemm.n = c.n, gemm.k = c.k;
  gemm.a = a.bytes.data(), gemm.b = b.bytes.data(), gemm.c = y.bytes.data();
  gemm.a_row = a.row, gemm.a_column = a.column, gemm.b_row = b.row, gemm.b_column = b.column, gemm.ldc = y.row;
  gemm.a_type = gemm.b_type = static_cast<int>(c.in), gemm.c_type = static_cast<int>(c.out);
  gemm.bias = c.with_bias ? bias.data() : nullptr;
  gemm.narrow_bias = c.narrow_bias ? narrow_bias.bytes.data() : nullptr;
  gemm.accumulate = c.accumulate;
  gemm.batch = c.products, gemm.a_batch = a.batch, gemm.b_batch = b.batch, gemm.c_batch = y.batch;
  HostContext context;
  const bool taken = library.gemm(gemm, context);
  if (c.with_bias && !c.narrow_bias && c.out != DType::float32) return !taken;
  if (!taken) return false;
  Matrix expected = before;
  for (int64_t z = 0; z < c.products; ++z) {
    for (int64_t i = 0; i < c.m; ++i) {
      for (int64_t j = 0; j < c.n; ++j) {
        const int64_t at = z * y.batch + i * y.row + j;
        float sum = 0;
        for (int64_t k = 0; k < c.k; ++k) {
          sum += a.get(z * a.batch + i * a.row + k * a.column) * b.get(z * b.batch + k * b.row + j * b.column);
        }
        if (c.accumulate) sum += before.get(at);
        if (c.with_bias) sum += bias[static_cast<size_t>(j)];
        expected.set(at, sum);
      }
    }
  }
  return expected.bytes == y.bytes;
}

int multiply(CublasLt& library) {
  int failed = 0, count = 0;
  const DType types[][2] = {{DType::float32, DType::float32},
                            {DType::bfloat16, DType::bfloat16},
                            {DType::bfloat16, DType::float32},
                            {DType::float16, DType::float16}};
  const int64_t sizes[][4] = {{5, 7, 9, 1}, {1, 8, 16, 1}, {6, 1, 4, 1}, {4, 3, 1, 1}, {1, 1, 1, 1}, {4, 6, 5, 3}};
  for (const auto& type : types) {
    for (const auto& size : sizes) {
      for (int flags = 0; flags < 32; ++flags) {
        const bool with_bias = (flags & 4) != 0, narrow_bias = (flags & 16) != 0;
        if (narrow_bias && (!with_bias || type[1] == DType::float32)) continue;
        const Case c = {size[0],          size[1],          size[2],   size[3],     type[0],         type[1],
                        (flags & 1) != 0, (flags & 2) != 0, with_bias, narrow_bias, (flags & 8) != 0};
        ++count;
        if (agrees(library, c)) continue;
        ++failed;
        std::fprintf(stderr, "wrong: m %ld n %ld k %ld batch %ld %s -> %s flags %d\n", c.m, c.n, c.k, c.products,
                     name_of(c.in), name_of(c.out), flags);
      }
    }
  }
  std::printf("%d products agree, %d differ\n", count - failed, failed);
  return failed != 0;
}

}  // namespace
}  // namespace statespace

int main(int argc, char** argv) {
  using namespace statespace;
  using namespace statespace::cuda;
  const CublasLtLibrary& library = cublaslt_library();
  std::printf("{\"cublasLt\":%s,\"nccl\":%s}\n", to_json(library).c_str(), to_json(nccl_library()).c_str());
  if (argc < 2 || std::strcmp(argv[1], "--multiply") != 0) return 0;
  const auto opened = CublasLt::open(library);
  return opened ? multiply(*opened) : 1;
}
