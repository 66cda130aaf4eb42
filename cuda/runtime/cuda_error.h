// Turns a cudaError_t into an Error.
#pragma once
#include <cuda_runtime.h>

#include <string>

#include "cpp/core/error.h"

namespace statespace::cuda {

inline void require(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // else the next launch would report it again
  throw Error("ERR_DEVICE", std::string(what) + ": " + cudaGetErrorString(status));
}

// Allocating and loading must stay possible on a thread whose stream is being captured.
class RelaxedCapture {
 public:
  RelaxedCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~RelaxedCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  RelaxedCapture(const RelaxedCapture&) = delete;
  RelaxedCapture& operator=(const RelaxedCapture&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

}  // namespace statespace::cuda
