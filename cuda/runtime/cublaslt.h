// Matrix products by cuBLASLt, if one is found at run time. STATESPACE_CUBLAS=off leaves it alone.
#pragma once
#include <array>
#include <map>
#include <memory>
#include <string>

#include "cuda/runtime/context.h"
#include "cuda/runtime/cublaslt_api.h"
#include "cuda/runtime/library_search.h"

namespace statespace::cuda {

struct CublasLtLibrary {
  bool switched_off = false;
  LibrarySearch search;
  cublaslt::Api api = {};
  size_t version = 0;  // 130002 is 13.0.2
};

CublasLtLibrary load_cublaslt();
// The library of this process, searched for at the first call.
const CublasLtLibrary& cublaslt_library();
std::string to_json(const CublasLtLibrary& library);

// The library on one device. Not thread-safe: the device's mutex is held around its calls.
class CublasLt {
 public:
  // Null when there is no library; the device must be current.
  static std::unique_ptr<CublasLt> open(const CublasLtLibrary& library);

  // False when the library does not take this problem: a bias has to have the type of the result, and each operand
  // needs one dense axis. The workspace is scratch of `context`.
  bool gemm(const Context::Gemm& problem, Context& context);

 private:
  // Everything that chooses an algorithm; addresses count by their alignment only.
  using Key = std::array<int64_t, 18>;
  struct Plan;

  CublasLt(const cublaslt::Api& api, cublaslt::Handle* handle) : api_(api), handle_(handle) {}
  Plan make_plan(const Context::Gemm& problem, const Key& key);
  void destroy(const Plan& plan);
  void forget_plans();

  const cublaslt::Api& api_;
  cublaslt::Handle* handle_;  // never destroyed: the driver may be gone by then
  std::map<Key, Plan> plans_;
};

// What cuBLASLt needs for one problem; without descriptors if it does not take the problem.
struct CublasLt::Plan {
  cublaslt::MatmulDesc* desc = nullptr;
  cublaslt::MatrixLayout *first = nullptr, *second = nullptr, *result = nullptr;
  cublaslt::Algo algo = {};
  size_t workspace_bytes = 0;
};

}  // namespace statespace::cuda
