#include "cuda/runtime/library_search.h"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "cuda/runtime/json.h"

namespace statespace::cuda {
namespace {

constexpr int kFlags = RTLD_NOW | RTLD_LOCAL;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string path_of(void* handle, const std::string& otherwise) {
  link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || !map || !map->l_name || !*map->l_name) return otherwise;
  char* real = realpath(map->l_name, nullptr);
  const std::string path = real ? real : map->l_name;
  std::free(real);
  return path;
}

// Takes `handle` or closes it, so that a library that was refused does not answer for its soname from now on.
bool take(LibrarySearch& search, void* handle, const std::string& name, const char* found_by, int major,
          const LibraryCheck& check) {
  const std::string path = path_of(handle, name);
  const std::string problem = check(handle, major);
  search.attempts.push_back({path, problem.empty() ? "ok" : problem});
  if (!problem.empty()) {
    dlclose(handle);
    return false;
  }
  search.handle = handle;
  search.path = path;
  search.found_by = found_by;
  search.major = major;
  return true;
}

bool try_folder(LibrarySearch& search, const std::string& folder, const std::string& soname, const char* found_by,
                int major, const LibraryCheck& check) {
  const std::string path = folder + "/" + soname;
  if (access(path.c_str(), F_OK) != 0) return false;
  if (void* handle = dlopen(path.c_str(), kFlags)) return take(search, handle, path, found_by, major, check);
  const char* reason = dlerror();
  search.attempts.push_back({path, reason ? reason : "cannot be loaded"});
  return false;
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= list.size()) {
    const size_t end = std::min(list.find(':', begin), list.size());
    if (end > begin) parts.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::vector<std::string> toolkit_folders() {
  std::vector<std::string> homes;
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const std::string home = variable(name); !home.empty()) homes.push_back(home);
  }
  glob_t found = {};
  if (glob("/usr/local/cuda*", 0, nullptr, &found) == 0) {
    for (size_t i = found.gl_pathc; i-- > 0;) homes.push_back(found.gl_pathv[i]);  // the newest name first
  }
  globfree(&found);
#if defined(__aarch64__)
  const char* const target = "/targets/sbsa-linux/lib";
#else
  const char* const target = "/targets/x86_64-linux/lib";
#endif
  std::vector<std::string> folders;
  for (const std::string& home : homes) {
    for (const char* below : {"/lib64", "/lib", target}) folders.push_back(home + below);
  }
  return folders;
}

bool find_major(LibrarySearch& search, const std::string& soname, int major,
                const std::vector<std::string>& wheel_folders, const LibraryCheck& check) {
  if (void* handle = dlopen(soname.c_str(), kFlags | RTLD_NOLOAD)) {
    if (take(search, handle, soname, "process", major, check)) return true;
  }
  for (const std::string& folder : split(variable("STATESPACE_CUDA_LIB_PATH"))) {
    if (try_folder(search, folder, soname, "STATESPACE_CUDA_LIB_PATH", major, check)) return true;
  }
  if (void* handle = dlopen(soname.c_str(), kFlags)) {
    if (take(search, handle, soname, "loader", major, check)) return true;
  }
  for (const std::string& folder : toolkit_folders()) {
    if (try_folder(search, folder, soname, "toolkit", major, check)) return true;
  }
  for (const std::string& site : split(variable("STATESPACE_CUDA_WHEELS"))) {
    for (const std::string& folder : wheel_folders) {
      if (try_folder(search, site + "/" + folder, soname, "wheel", major, check)) return true;
    }
  }
  return false;
}

}  // namespace

LibrarySearch find_library(const std::string& stem, const std::vector<int>& majors,
                           const std::vector<std::string>& wheel_folders, const LibraryCheck& check) {
  LibrarySearch search;
  for (const int major : majors) {
    if (find_major(search, stem + "." + std::to_string(major), major, wheel_folders, check)) break;
  }
  return search;
}

std::string to_json(const LibrarySearch& search) {
  JsonList attempts;
  for (const LibraryAttempt& attempt : search.attempts) {
    JsonList one;
    one.add("path", json_string(attempt.path));
    one.add("outcome", json_string(attempt.outcome));
    attempts.add(one.object());
  }
  JsonList result;
  result.add("found", search.handle ? "true" : "false");
  if (search.handle) {
    result.add("path", json_string(search.path));
    result.add("foundBy", json_string(search.found_by));
    result.add("major", std::to_string(search.major));
  }
  result.add("attempts", attempts.array());
  return result.object();
}

}  // namespace statespace::cuda
