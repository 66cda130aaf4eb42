// The part of cuBLASLt that we call, declared here because its header need not be installed. Names, values and sizes
// are the same in CUDA 12 and 13.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cuda/device/platform.cuh"

namespace statespace::cuda::cublaslt {

using Status = int;
constexpr Status kSuccess = 0;

struct Handle;
struct MatmulDesc;
struct MatrixLayout;
struct Preference;

struct Algo {
  uint64_t data[8];
};
struct HeuristicResult {
  Algo algo;
  size_t workspace_bytes;
  Status state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Algo) == 64 && sizeof(HeuristicResult) == 96);
static_assert(offsetof(HeuristicResult, workspace_bytes) == 64 && offsetof(HeuristicResult, state) == 72);
static_assert(sizeof(size_t) == 8 && sizeof(int) == 4 && sizeof(void*) == 8);

enum DataType : int { kR32F = 0, kR16F = 2, kR16BF = 14 };
enum ComputeType : int { kCompute32F = 68 };
enum Operation : int32_t { kOpN = 0, kOpT = 1 };
enum Epilogue : uint32_t { kEpilogueBias = 4 };
enum ReductionScheme : uint32_t { kReductionComputeType = 2 };

enum DescAttribute : int { kDescTransA = 3, kDescTransB = 4, kDescEpilogue = 7, kDescBiasPointer = 8 };
enum LayoutAttribute : int { kLayoutBatchCount = 5, kLayoutStridedBatchOffset = 6 };
enum PreferenceAttribute : int {
  kPreferenceMaxWorkspaceBytes = 1,
  kPreferenceReductionSchemeMask = 3,
  kPreferenceMinAlignmentA = 5,
  kPreferenceMinAlignmentB = 6,
  kPreferenceMinAlignmentC = 7,
  kPreferenceMinAlignmentD = 8,
};

// The functions of one library, looked up once.
struct Api {
  size_t (*get_version)();
  Status (*create)(Handle**);
  Status (*matmul_desc_create)(MatmulDesc**, int compute_type, int scale_type);
  Status (*matmul_desc_set)(MatmulDesc*, int attribute, const void*, size_t);
  Status (*matmul_desc_destroy)(MatmulDesc*);
  Status (*layout_create)(MatrixLayout**, int type, uint64_t rows, uint64_t columns, int64_t leading_dimension);
  Status (*layout_set)(MatrixLayout*, int attribute, const void*, size_t);
  Status (*layout_destroy)(MatrixLayout*);
  Status (*preference_create)(Preference**);
  Status (*preference_set)(Preference*, int attribute, const void*, size_t);
  Status (*preference_destroy)(Preference*);
  Status (*heuristic)(Handle*, MatmulDesc*, MatrixLayout* a, MatrixLayout* b, MatrixLayout* c, MatrixLayout* d,
                      Preference*, int wanted, HeuristicResult*, int* got);
  Status (*matmul)(Handle*, MatmulDesc*, const void* alpha, const void* a, MatrixLayout*, const void* b, MatrixLayout*,
                   const void* beta, const void* c, MatrixLayout*, void* d, MatrixLayout*, const Algo*, void* workspace,
                   size_t workspace_bytes, cudaStream_t);
};

}  // namespace statespace::cuda::cublaslt
