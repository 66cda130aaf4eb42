// Whether this machine can run the CUDA backend, and if not, why and what helps.
#pragma once
#include "cpp/core/device.h"

namespace statespace::cuda {

constexpr int kMinComputeCapability = 80;

// Looking for libraries opens them, which takes a while; `details` is whole only with them.
BackendReport cuda_report(bool with_libraries);

}  // namespace statespace::cuda
