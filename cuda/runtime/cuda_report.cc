#include "cuda/runtime/cuda_report.h"

#include <cuda_runtime.h>
#include <dlfcn.h>

#include <cstdlib>
#include <string>

#include "cuda/runtime/cublaslt.h"
#include "cuda/runtime/json.h"
#include "cuda/runtime/nccl.h"

namespace statespace::cuda {
namespace {

constexpr int kRuntimeMajor = CUDART_VERSION / 1000;
// From NVIDIA's compatibility guide.
constexpr const char* kOldestDriver = kRuntimeMajor >= 13 ? "580" : "525";

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Of the driver, 0 when there is none. The runtime cannot tell "none" from "too old", the library itself can.
int driver_version() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!driver) return 0;
  auto get_version = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDriverGetVersion"));
  int version = 0;
  if (get_version) get_version(&version);
  return version;
}

struct Devices {
  int usable = 0;
  JsonList json;
  std::string first_name;
};

Devices list_devices(int count) {
  Devices devices;
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties = {};
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    if (devices.first_name.empty()) devices.first_name = properties.name;
    if (10 * properties.major + properties.minor >= kMinComputeCapability) ++devices.usable;
    JsonList one;
    one.add("index", std::to_string(i));
    one.add("name", json_string(properties.name));
    one.add("computeCapability",
            json_string(std::to_string(properties.major) + "." + std::to_string(properties.minor)));
    one.add("memory", std::to_string(properties.totalGlobalMem));
    one.add("multiprocessors", std::to_string(properties.multiProcessorCount));
    devices.json.add(one.object());
  }
  return devices;
}

struct Verdict {
  const char* code;
  std::string reason, remedy;
};

Verdict judge(int driver, cudaError_t status, const Devices& devices) {
  const std::string update = std::string("Install an NVIDIA driver of version ") + kOldestDriver +
                             " or newer, or build the package from source with an older CUDA toolkit.";
  if (driver == 0) {
    return {"ERR_CUDA_NO_DRIVER", "No NVIDIA driver was found: libcuda.so.1 cannot be loaded.",
            std::string("Install the NVIDIA driver, version ") + kOldestDriver +
                " or newer. In a container, start it with access to the GPU (docker run --gpus all)."};
  }
  if (driver / 1000 < kRuntimeMajor || status == cudaErrorInsufficientDriver) {
    return {"ERR_CUDA_DRIVER_TOO_OLD",
            "The NVIDIA driver supports CUDA " + version_text(driver) + ", but this build needs CUDA " +
                std::to_string(kRuntimeMajor) + ".",
            update};
  }
  if (status == cudaErrorNoDevice) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    return {"ERR_CUDA_NO_DEVICE",
            std::string("The NVIDIA driver is installed, but shows no GPU") +
                (visible ? std::string(" (CUDA_VISIBLE_DEVICES is \"") + visible + "\")." : "."),
            "Check nvidia-smi, CUDA_VISIBLE_DEVICES, and in a container its access to the GPU."};
  }
  if (status != cudaSuccess) {
    return {"ERR_CUDA_INIT", std::string("CUDA does not start: ") + cudaGetErrorString(status) + ".",
            "Check nvidia-smi; after an update of the driver, restart the machine."};
  }
  if (devices.usable == 0) {
    return {"ERR_CUDA_UNSUPPORTED_DEVICE",
            devices.first_name + " is too old: compute capability 8.0 (Ampere) or newer is needed.",
            "Use the CPU on this machine."};
  }
  return {"", "", ""};
}

}  // namespace

BackendReport cuda_report(bool with_libraries) {
  const int driver = driver_version();
  int count = 0;
  cudaError_t status = cudaErrorNoDevice;
  if (driver > 0) {
    status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess) cudaGetLastError();
  }
  const Devices devices = list_devices(status == cudaSuccess ? count : 0);
  const Verdict verdict = judge(driver, status, devices);

  JsonList details;
  details.add("driver", driver ? json_string(version_text(driver)) : "null");
  details.add("runtime", json_string(version_text(CUDART_VERSION)));
  details.add("devices", devices.json.array());
  JsonList libraries;
  if (with_libraries) {
    libraries.add("cublasLt", to_json(cublaslt_library()));
    libraries.add("nccl", to_json(nccl_library()));
  }
  details.add("libraries", libraries.object());
  return {*verdict.code == '\0', verdict.code, verdict.reason, verdict.remedy, details.object()};
}

}  // namespace statespace::cuda
