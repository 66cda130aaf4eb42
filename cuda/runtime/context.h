// What a launcher gets besides its op: the stream, facts about the chip, and memory for partial results.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cuda/device/platform.cuh"

namespace statespace::cuda {

// What is wrong with a value: an id outside a table; a boundary of packed sequences that is not 0 though the first,
// lies before the previous one, or is not the length though the last.
enum FaultKind : int { kNoFault, kIndexFault, kFirstBoundaryFault, kBoundaryOrderFault, kLastBoundaryFault };

// Written by a kernel that meets a bad value; read by the stream, which reports it.
struct DeviceFault {
  int raised;              // a FaultKind
  int op;                  // number of the op in AllOps, filled in by the stream
  long long value, limit;  // of a boundary: what it is, and what it had to be or to reach
  long long position;      // of a boundary
};

class Context {
 public:
  virtual ~Context() = default;

  cudaStream_t stream = nullptr;
  int multiprocessors = 132;
  int compute_capability = 90;   // 10 * major + minor
  DeviceFault* fault = nullptr;  // device memory

  // Memory that lasts until the launches of this op are done; aligned to 256 bytes.
  virtual void* scratch_bytes(size_t bytes) = 0;
  template <typename T>
  T* scratch(size_t count) {
    return static_cast<T*>(scratch_bytes(count * sizeof(T)));
  }

  // Gives back all scratch but the first `count` blocks; launches that are already enqueued may still use it.
  virtual size_t scratch_count() const = 0;
  virtual void keep_scratch(size_t count) = 0;

  // y[m, n] (+)= x[m, k] w[n, k]^T and its transposes through a vendor library, where one was found and is the better
  // choice; false leaves the work to our own kernel.
  struct Gemm {
    int64_t m, n, k;
    const void *a, *b;  // a: m x k, b: k x n by strides
    void* c;            // m x n, row stride ldc
    int64_t a_row, a_column, b_row, b_column, ldc;
    int a_type, b_type, c_type;  // DType values
    const float* bias;           // added to every row, or null
    const void* narrow_bias;     // the same in the type of c, where that is 16 bits wide and a library wants it so
    bool accumulate;
    int64_t batch, a_batch, b_batch, c_batch;  // number of products, and strides between them
  };
  virtual bool gemm(const Gemm&) { return false; }
  virtual bool has_gemm_library() { return false; }
};

// Scratch taken meanwhile goes back at the end, for ops that call others in a loop.
class ScratchScope {
 public:
  explicit ScratchScope(Context& context) : context_(context), count_(context.scratch_count()) {}
  ~ScratchScope() { context_.keep_scratch(count_); }
  ScratchScope(const ScratchScope&) = delete;
  ScratchScope& operator=(const ScratchScope&) = delete;

 private:
  Context& context_;
  const size_t count_;
};

// How the backend finds an op's code: the file of an op specialises `run`; a missing one does not link.
template <typename Op>
void run(const Op& op, Context& context);

}  // namespace statespace::cuda
