// Starts kernels; nothing else does. `<<<>>>` is written nowhere, so that a plain C++ compiler can read every file.
#pragma once

#include <type_traits>

#include "cuda/device/platform.cuh"

#if defined(__CUDACC__)
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "cpp/core/error.h"
#else
#include <tuple>
#endif

namespace statespace::cuda {

struct LaunchShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
};

#if defined(__CUDACC__)

inline void require_success(cudaError_t error, const char* what) {
  if (error != cudaSuccess) throw Error("ERR_DEVICE", std::string(what) + ": " + cudaGetErrorString(error));
}

// A kernel may use more than 48 KiB of dynamic shared memory only when that was said before, once per device.
inline void allow_shared_bytes(const void* kernel, size_t bytes) {
  constexpr size_t kAlwaysAllowed = 48 * 1024;
  if (bytes <= kAlwaysAllowed) return;
  static std::mutex mutex;
  static std::map<std::pair<const void*, int>, size_t> allowed;
  int device = 0;
  require_success(cudaGetDevice(&device), "launch");
  const std::lock_guard lock(mutex);
  size_t& limit = allowed[{kernel, device}];
  if (bytes <= limit) return;
  require_success(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
                  "launch: shared memory");
  limit = bytes;
}

#endif

// Arguments are converted to the kernel's parameters and copied, so that nothing of the caller must live on.
template <typename... Params>
void launch(void (*kernel)(Params...), const LaunchShape& shape, cudaStream_t stream,
            const std::type_identity_t<Params>&... args) {
  static_assert((std::is_trivially_copyable_v<Params> && ...), "kernel parameters are copied as bytes");
  static_assert((sizeof(Params) + ... + 0) <= 4096, "more than a kernel's parameters may take");
#if defined(__CUDACC__)
  allow_shared_bytes(reinterpret_cast<const void*>(kernel), shape.shared_bytes);
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  require_success(cudaLaunchKernelEx(&config, kernel, args...), "launch");
#else
  static_cast<void>(stream);
  struct Call {
    void (*kernel)(Params...);
    std::tuple<Params...> params;
  };
  Call call{kernel, {args...}};
  emulator::run_grid(
      shape.grid, shape.block, shape.shared_bytes,
      [](void* context) {
        const Call& call = *static_cast<const Call*>(context);
        std::apply(call.kernel, call.params);
      },
      &call);
#endif
}

}  // namespace statespace::cuda
