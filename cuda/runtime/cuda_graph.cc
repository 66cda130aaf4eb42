#include "cuda/runtime/cuda_graph.h"

#include "cuda/runtime/cuda_error.h"

namespace statespace::cuda {

CudaRecording::~CudaRecording() {
  if (exec_) retire_(exec_);
}

void CudaRecording::begin(cudaStream_t stream) {
  require(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording");
}

void CudaRecording::end(cudaStream_t stream) {
  cudaGraph_t graph = nullptr;
  require(cudaStreamEndCapture(stream, &graph), "recording");
  const cudaError_t status = cudaGraphInstantiate(&exec_, graph, 0);
  cudaGraphDestroy(graph);
  require(status, "recording");
}

void CudaRecording::launch(cudaStream_t stream) { require(cudaGraphLaunch(exec_, stream), "replay"); }

}  // namespace statespace::cuda
