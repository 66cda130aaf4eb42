// The CUDA backend as a shared library: what the addon opens, and all that it sees of it.
#include <map>
#include <memory>
#include <mutex>

#include "cuda/kernels/op_table.h"
#include "cuda/runtime/cuda_device.h"
#include "cuda/runtime/cuda_error.h"
#include "cuda/runtime/cuda_report.h"

namespace statespace::cuda {
namespace {

class CudaBackend final : public Backend {
 public:
  int device_count() override {
    int count = 0;
    if (!cuda_report(false).usable || cudaGetDeviceCount(&count) != cudaSuccess) return 0;
    return count;
  }

  Device& device(int index) override {
    std::lock_guard lock(mutex_);
    CudaDevice*& device = devices_[index];
    if (!device) {
      require_usable(index);
      device = new CudaDevice(index);
    }
    return *device;
  }

  BackendReport report() override { return cuda_report(true); }

 private:
  void require_usable(int index) {
    const BackendReport found = cuda_report(false);
    if (!found.usable) throw Error("ERR_DEVICE", found.reason + " " + found.remedy);
    int count = 0, major = 0;
    require(cudaGetDeviceCount(&count), "devices");
    const std::string name = "cuda:" + std::to_string(index);
    if (index < 0 || index >= count) {
      throw Error("ERR_DEVICE", "there is no " + name + ": this machine shows " + std::to_string(count) + " GPUs");
    }
    require(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index), "device");
    if (10 * major < kMinComputeCapability) {
      throw Error("ERR_DEVICE", name + " is too old: compute capability 8.0 or newer is needed");
    }
  }

  std::mutex mutex_;
  std::map<int, CudaDevice*> devices_;  // never destroyed
};

}  // namespace
}  // namespace statespace::cuda

extern "C" __attribute__((visibility("default"))) statespace::Backend* statespace_open_backend(uint64_t layout_hash) {
  if (layout_hash != statespace::cuda::op_layout_hash()) return nullptr;
  static auto* backend = new statespace::cuda::CudaBackend;
  return backend;
}
