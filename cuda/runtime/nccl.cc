#include "cuda/runtime/nccl.h"

#include <dlfcn.h>

#include "cuda/runtime/json.h"

namespace statespace::cuda {
namespace {

constexpr int kMajor = 2;
// Since 2.9 a version is 10000 major + 100 minor + patch; older ones lack what graphs need.
constexpr int kOldest = 20900;

std::string version_text(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

NcclLibrary load_nccl() {
  NcclLibrary library;
  library.search = find_library("libnccl.so", {kMajor}, {"nvidia/nccl/lib"}, [&](void* handle, int) -> std::string {
    auto get_version = reinterpret_cast<int (*)(int*)>(dlsym(handle, "ncclGetVersion"));
    if (!get_version) return "lacks ncclGetVersion";
    if (get_version(&library.version) != 0) return "does not tell its version";
    if (library.version >= kOldest) return "";
    return "is version code " + std::to_string(library.version) + ", older than " + version_text(kOldest);
  });
  return library;
}

}  // namespace

const NcclLibrary& nccl_library() {
  static const NcclLibrary* library = new NcclLibrary(load_nccl());
  return *library;
}

std::string to_json(const NcclLibrary& library) {
  std::string json = to_json(library.search);
  if (library.search.handle) json.insert(1, "\"version\":" + json_string(version_text(library.version)) + ",");
  return json;
}

}  // namespace statespace::cuda
