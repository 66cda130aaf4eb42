#include "cuda/runtime/cublaslt.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cpp/core/dtype.h"
#include "cpp/core/error.h"
#include "cuda/runtime/json.h"

namespace statespace::cuda {
namespace {

using namespace cublaslt;

// The major of the runtime that we are built with comes first.
#if defined(CUDART_VERSION)
constexpr int kPreferredMajor = CUDART_VERSION / 1000;
#else
constexpr int kPreferredMajor = 13;
#endif
constexpr size_t kMaxWorkspaceBytes = 32 << 20;
constexpr size_t kMaxPlans = 4096;  // prompts of every length ask for plans of their own

template <typename Function>
bool look_up(void* library, const char* name, Function& function, std::string& missing) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function && missing.empty()) missing = name;
  return function != nullptr;
}

// The first symbol that is missing, or nothing.
std::string look_up_all(void* library, Api& api) {
  std::string missing;
  look_up(library, "cublasLtGetVersion", api.get_version, missing);
  look_up(library, "cublasLtCreate", api.create, missing);
  look_up(library, "cublasLtMatmulDescCreate", api.matmul_desc_create, missing);
  look_up(library, "cublasLtMatmulDescSetAttribute", api.matmul_desc_set, missing);
  look_up(library, "cublasLtMatmulDescDestroy", api.matmul_desc_destroy, missing);
  look_up(library, "cublasLtMatrixLayoutCreate", api.layout_create, missing);
  look_up(library, "cublasLtMatrixLayoutSetAttribute", api.layout_set, missing);
  look_up(library, "cublasLtMatrixLayoutDestroy", api.layout_destroy, missing);
  look_up(library, "cublasLtMatmulPreferenceCreate", api.preference_create, missing);
  look_up(library, "cublasLtMatmulPreferenceSetAttribute", api.preference_set, missing);
  look_up(library, "cublasLtMatmulPreferenceDestroy", api.preference_destroy, missing);
  look_up(library, "cublasLtMatmulAlgoGetHeuristic", api.heuristic, missing);
  look_up(library, "cublasLtMatmul", api.matmul, missing);
  return missing;
}

std::string version_text(size_t version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

int type_of(int dtype) {
  switch (static_cast<DType>(dtype)) {
    case DType::float32:
      return kR32F;
    case DType::float16:
      return kR16F;
    case DType::bfloat16:
      return kR16BF;
    default:
      return -1;
  }
}

// Of what cuBLASLt reads at this address and at every next product of the batch.
int64_t alignment_of(const void* address, int64_t batch_stride_bytes) {
  const uint64_t bits = reinterpret_cast<uintptr_t>(address) | static_cast<uint64_t>(batch_stride_bytes) | 256;
  return static_cast<int64_t>(bits & -bits);
}

// A matrix of ours (rows x columns by two strides) as the library sees its transpose: column-major with a leading
// dimension, to be transposed once more or not.
struct Operand {
  bool valid;
  Operation operation;
  int64_t rows, columns, leading_dimension;
};
Operand transpose_of(int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride) {
  if (column_stride == 1 || columns == 1) {  // its rows are the columns of the transpose
    const int64_t leading = rows == 1 ? std::max(row_stride, columns) : row_stride;
    if (leading >= columns) return {true, kOpN, columns, rows, leading};
  }
  if (row_stride == 1 || rows == 1) {
    const int64_t leading = columns == 1 ? std::max(column_stride, rows) : column_stride;
    if (leading >= rows) return {true, kOpT, rows, columns, leading};
  }
  return {false, kOpN, 0, 0, 0};
}

// The bias in the type of the result, which the library's epilogue takes it to have.
const void* bias_of(const Context::Gemm& p) {
  return static_cast<DType>(p.c_type) == DType::float32 ? p.bias : p.narrow_bias;
}

void require(Status status, const char* what) {
  if (status != kSuccess) {
    throw Error("ERR_DEVICE", std::string(what) + " failed with status " + std::to_string(status));
  }
}

}  // namespace

CublasLtLibrary load_cublaslt() {
  CublasLtLibrary library;
  const char* choice = std::getenv("STATESPACE_CUBLAS");
  library.switched_off = choice && std::strcmp(choice, "off") == 0;
  if (library.switched_off) return library;
  library.search = find_library(
      "libcublasLt.so", {kPreferredMajor, kPreferredMajor == 13 ? 12 : 13},
      {"nvidia/cu" + std::to_string(kPreferredMajor) + "/lib", "nvidia/cublas/lib"}, [&](void* handle, int major) {
        const std::string missing = look_up_all(handle, library.api);
        if (!missing.empty()) return "lacks " + missing;
        library.version = library.api.get_version();
        if (library.version / 10000 == static_cast<size_t>(major)) return std::string();
        return "says that it is version " + version_text(library.version) + ", not " + std::to_string(major);
      });
  return library;
}

const CublasLtLibrary& cublaslt_library() {
  static const CublasLtLibrary* library = new CublasLtLibrary(load_cublaslt());
  return *library;
}

std::string to_json(const CublasLtLibrary& library) {
  if (library.switched_off) return "{\"found\":false,\"switchedOff\":true}";
  std::string json = to_json(library.search);
  if (library.search.handle) json.insert(1, "\"version\":" + json_string(version_text(library.version)) + ",");
  return json;
}

std::unique_ptr<CublasLt> CublasLt::open(const CublasLtLibrary& library) {
  if (!library.search.handle) return nullptr;
  Handle* handle = nullptr;
  if (library.api.create(&handle) != kSuccess) return nullptr;
  return std::unique_ptr<CublasLt>(new CublasLt(library.api, handle));
}

bool CublasLt::gemm(const Context::Gemm& p, Context& context) {
  if (p.m < 1 || p.n < 1 || p.k < 1 || p.batch < 1) return false;
  const int64_t in_size = static_cast<int64_t>(size_of(static_cast<DType>(p.a_type)));
  const int64_t out_size = static_cast<int64_t>(size_of(static_cast<DType>(p.c_type)));
  const bool batched = p.batch > 1;
  const Key key = {p.m,
                   p.n,
                   p.k,
                   p.a_row,
                   p.a_column,
                   p.b_row,
                   p.b_column,
                   p.ldc,
                   p.a_type + 8 * p.b_type + 64 * p.c_type,
                   (p.bias != nullptr) + (bias_of(p) != nullptr),
                   p.accumulate,
                   p.batch,
                   batched ? p.a_batch : 0,
                   batched ? p.b_batch : 0,
                   batched ? p.c_batch : 0,
                   alignment_of(p.a, batched ? p.a_batch * in_size : 0),
                   alignment_of(p.b, batched ? p.b_batch * in_size : 0),
                   alignment_of(p.c, batched ? p.c_batch * out_size : 0)};
  auto found = plans_.find(key);
  if (found == plans_.end()) {
    if (plans_.size() >= kMaxPlans) forget_plans();
    found = plans_.emplace(key, make_plan(p, key)).first;
  }
  const Plan& plan = found->second;
  if (!plan.desc) return false;

  if (const void* bias = bias_of(p)) {
    require(api_.matmul_desc_set(plan.desc, kDescBiasPointer, &bias, sizeof(bias)), "cublasLt bias");
  }
  const float alpha = 1, beta = p.accumulate ? 1 : 0;
  void* workspace = plan.workspace_bytes ? context.scratch_bytes(plan.workspace_bytes) : nullptr;
  require(api_.matmul(handle_, plan.desc, &alpha, p.b, plan.first, p.a, plan.second, &beta, p.c, plan.result, p.c,
                      plan.result, &plan.algo, workspace, plan.workspace_bytes, context.stream),
          "cublasLtMatmul");
  return true;
}

// The library is column-major: our row-major c = a b is its c^T = b^T a^T.
CublasLt::Plan CublasLt::make_plan(const Context::Gemm& p, const Key& key) {
  const int in_type = type_of(p.a_type), out_type = type_of(p.c_type);
  const Operand first = transpose_of(p.k, p.n, p.b_row, p.b_column);
  const Operand second = transpose_of(p.m, p.k, p.a_row, p.a_column);
  const int64_t result_leading = p.m == 1 ? std::max(p.ldc, p.n) : p.ldc;
  if (p.a_type != p.b_type || in_type < 0 || out_type < 0) return {};
  if (in_type == kR32F && out_type != kR32F) return {};
  if (p.bias && !bias_of(p)) return {};
  if (!first.valid || !second.valid || result_leading < p.n) return {};

  Plan plan;
  require(api_.matmul_desc_create(&plan.desc, kCompute32F, kR32F), "cublasLtMatmulDescCreate");
  auto set_desc = [&](int attribute, auto value) {
    require(api_.matmul_desc_set(plan.desc, attribute, &value, sizeof(value)), "cublasLtMatmulDescSetAttribute");
  };
  set_desc(kDescTransA, static_cast<int32_t>(first.operation));
  set_desc(kDescTransB, static_cast<int32_t>(second.operation));
  if (p.bias) {
    set_desc(kDescEpilogue, static_cast<uint32_t>(kEpilogueBias));
    set_desc(kDescBiasPointer, bias_of(p));
  }
  auto make_layout = [&](MatrixLayout** layout, int type, int64_t rows, int64_t columns, int64_t leading,
                         int64_t batch_stride) {
    require(api_.layout_create(layout, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), leading),
            "cublasLtMatrixLayoutCreate");
    if (p.batch == 1) return;
    const int32_t count = static_cast<int32_t>(p.batch);
    require(api_.layout_set(*layout, kLayoutBatchCount, &count, sizeof(count)), "cublasLt batch");
    require(api_.layout_set(*layout, kLayoutStridedBatchOffset, &batch_stride, sizeof(batch_stride)), "cublasLt batch");
  };
  make_layout(&plan.first, in_type, first.rows, first.columns, first.leading_dimension, p.b_batch);
  make_layout(&plan.second, in_type, second.rows, second.columns, second.leading_dimension, p.a_batch);
  make_layout(&plan.result, out_type, p.n, p.m, result_leading, p.c_batch);

  Preference* preference = nullptr;
  require(api_.preference_create(&preference), "cublasLtMatmulPreferenceCreate");
  auto prefer = [&](int attribute, auto value) {
    require(api_.preference_set(preference, attribute, &value, sizeof(value)), "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(kPreferenceMaxWorkspaceBytes, uint64_t{kMaxWorkspaceBytes});
  prefer(kPreferenceReductionSchemeMask, static_cast<uint32_t>(kReductionComputeType));  // parts are added in float32
  prefer(kPreferenceMinAlignmentA, static_cast<uint32_t>(key[16]));
  prefer(kPreferenceMinAlignmentB, static_cast<uint32_t>(key[15]));
  prefer(kPreferenceMinAlignmentC, static_cast<uint32_t>(key[17]));
  prefer(kPreferenceMinAlignmentD, static_cast<uint32_t>(key[17]));
  HeuristicResult result = {};
  int got = 0;
  const Status status = api_.heuristic(handle_, plan.desc, plan.first, plan.second, plan.result, plan.result,
                                       preference, 1, &result, &got);
  api_.preference_destroy(preference);
  if (status != kSuccess || got < 1 || result.state != kSuccess) {
    destroy(plan);
    return {};
  }
  plan.algo = result.algo;
  plan.workspace_bytes = result.workspace_bytes;
  return plan;
}

void CublasLt::destroy(const Plan& plan) {
  if (!plan.desc) return;
  api_.layout_destroy(plan.first);
  api_.layout_destroy(plan.second);
  api_.layout_destroy(plan.result);
  api_.matmul_desc_destroy(plan.desc);
}

void CublasLt::forget_plans() {
  for (const auto& [key, plan] : plans_) destroy(plan);
  plans_.clear();
}

}  // namespace statespace::cuda
