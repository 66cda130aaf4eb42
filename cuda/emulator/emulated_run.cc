#include "cuda/emulator/emulated_run.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cuda/emulator/cuda_emulator.h"
#include "cuda/kernels/op_table.h"
#include "cuda/runtime/device_fault.h"

namespace statespace::cuda {
namespace {

// Scratch is a block of its own size, so that the address sanitizer sees its end. It does not come from the device's
// pool: ops run long after they were enqueued, when a free block there may already belong to a later one.
class EmulatedContext final : public Context {
 public:
  EmulatedContext() { fault = &raised; }

  void* scratch_bytes(size_t bytes) override {
    void* data = nullptr;
    if (posix_memalign(&data, 256, std::max<size_t>(bytes, 1)) != 0) {
      throw Error("ERR_OUT_OF_MEMORY", "no memory for " + std::to_string(bytes) + " bytes of scratch");
    }
    std::memset(data, 0xff, bytes);
    blocks_.emplace_back(data, std::free);
    return data;
  }

  size_t scratch_count() const override { return blocks_.size(); }
  void keep_scratch(size_t count) override {
    while (blocks_.size() > count) blocks_.pop_back();
  }

  DeviceFault raised = {};

 private:
  std::vector<std::unique_ptr<void, void (*)(void*)>> blocks_;
};

}  // namespace

void run_emulated(int index, const void* op) {
  const OpEntry& entry = op_entry(index);
  EmulatedContext context;
  try {
    entry.run(op, context);
  } catch (const Error& error) {
    throw Error(error.code(), std::string(entry.name) + ": " + error.message(), error.numbers());
  } catch (const std::exception& error) {
    throw Error("ERR_DEVICE", std::string(entry.name) + ": " + error.what());
  }
  if (context.raised.raised) throw fault_error(entry.name, context.raised);
}

}  // namespace statespace::cuda
