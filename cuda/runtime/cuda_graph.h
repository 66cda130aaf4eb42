// A recording on the GPU: the calls of one thread, captured into a CUDA graph, with the memory they use.
#pragma once
#include <cuda_runtime.h>

#include <functional>

#include "cpp/core/device.h"
#include "cpp/core/pool.h"

namespace statespace::cuda {

class CudaRecording final : public Recording {
 public:
  // `retire` destroys a graph once the GPU no longer runs it.
  CudaRecording(Pool& pool, std::function<void(cudaGraphExec_t)> retire) : arena(pool), retire_(std::move(retire)) {}
  ~CudaRecording() override;

  void begin(cudaStream_t stream);
  void end(cudaStream_t stream);
  void launch(cudaStream_t stream);

  Arena arena;
  bool may_fault = false;  // some op of it takes indices

 private:
  std::function<void(cudaGraphExec_t)> retire_;
  cudaGraphExec_t exec_ = nullptr;
};

}  // namespace statespace::cuda
