// The CUDA backend without a GPU: the same kernels and the same entry point, on a thread of this process.
#include "cpp/core/host_device.h"
#include "cuda/emulator/emulated_run.h"
#include "cuda/emulator/emulated_trace.h"
#include "cuda/kernels/op_table.h"

namespace statespace::cuda {
namespace {

class EmulatedBackend final : public Backend {
 public:
  int device_count() override { return 1; }

  Device& device(int index) override {
    if (index != 0) throw Error("ERR_DEVICE", "the emulator has one device, cuda:0");
    static HostDevice* device = new HostDevice({"cuda", 0, "CUDA emulator"}, run_op());
    return *device;
  }

  BackendReport report() override {
    return {true, "", "", "", "{\"emulated\":true,\"devices\":[{\"index\":0,\"name\":\"CUDA emulator\"}]}"};
  }

 private:
  static HostDevice::RunOp run_op() {
    static Trace* trace = Trace::from_environment().release();
    if (!trace) return run_emulated;
    return [](int index, void* op) { trace->run(index, op); };
  }
};

}  // namespace
}  // namespace statespace::cuda

extern "C" __attribute__((visibility("default"))) statespace::Backend* statespace_open_backend(uint64_t layout_hash) {
  if (layout_hash != statespace::cuda::op_layout_hash()) return nullptr;
  static auto* backend = new statespace::cuda::EmulatedBackend;
  return backend;
}
