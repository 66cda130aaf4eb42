#include "cpp/napi/devices.h"

#include <dlfcn.h>

#include <map>
#include <mutex>

#include "cpp/core/op_table.h"
#include "cpp/cpu/cpu_device.h"
#include "cpp/ops/all.h"

namespace statespace::napi {
namespace {

struct Registry {
  std::mutex mutex;
  std::vector<Device*> extra;  // number 1 and up
  std::map<std::string, BackendReport> reports;
};

Registry& registry() {
  static auto* const the_registry = new Registry;
  return *the_registry;
}

BackendReport unusable(std::string reason, std::string remedy) {
  return {false, "ERR_CUDA_BACKEND", std::move(reason), std::move(remedy), "{}"};
}

BackendReport open_backend(const std::string& path, std::vector<Device*>& devices) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library) return unusable(dlerror(), "rebuild with `npx statespace build`");
  using Open = Backend* (*)(uint64_t);
  auto open = reinterpret_cast<Open>(dlsym(library, "statespace_open_backend"));
  if (!open) return unusable(path + " is not a statespace backend", "rebuild with `npx statespace build`");
  Backend* backend = open(layout_hash(AllOps{}));
  if (!backend) {
    return unusable(path + " was built from other sources than the addon", "rebuild both with `npm run build`");
  }
  BackendReport report = backend->report();
  if (report.usable) {
    for (int i = 0; i < backend->device_count(); ++i) devices.push_back(&backend->device(i));
  }
  return report;
}

}  // namespace

int device_count() {
  std::lock_guard lock(registry().mutex);
  return 1 + static_cast<int>(registry().extra.size());
}

Device& device_at(int number) {
  if (number == 0) return cpu::device();
  std::lock_guard lock(registry().mutex);
  if (number < 0 || static_cast<size_t>(number) > registry().extra.size()) {
    throw Error("ERR_DEVICE", "there is no device number " + std::to_string(number));
  }
  return *registry().extra[static_cast<size_t>(number) - 1];
}

BackendReport load_backend(const std::string& path) {
  std::lock_guard lock(registry().mutex);
  auto& reports = registry().reports;
  if (const auto known = reports.find(path); known != reports.end()) return known->second;
  return reports.emplace(path, open_backend(path, registry().extra)).first->second;
}

}  // namespace statespace::napi
