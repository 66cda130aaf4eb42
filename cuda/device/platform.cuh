// Who compiles this kernel: nvcc, or a plain C++ compiler for the emulator. Also the names of the 16-bit floats.
#pragma once

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#else
#include "cuda/emulator/cuda_emulator.h"
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace statespace::cuda {

using bf16 = __nv_bfloat16;
using f16 = __half;

}  // namespace statespace::cuda
