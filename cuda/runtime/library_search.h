// Finds a shared library of NVIDIA's at run time, in the order that cuda-pathfinder uses.
#pragma once
#include <functional>
#include <string>
#include <vector>

namespace statespace::cuda {

struct LibraryAttempt {
  std::string path;
  std::string outcome;  // "ok", or why it was not taken
};

struct LibrarySearch {
  void* handle = nullptr;  // null when none was taken
  std::string path;        // of the file that was loaded
  std::string found_by;    // "process", "STATESPACE_CUDA_LIB_PATH", "loader", "toolkit", "wheel"
  int major = 0;
  std::vector<LibraryAttempt> attempts;
};

// What is wrong with a library that was opened; empty when it can be used.
using LibraryCheck = std::function<std::string(void* handle, int major)>;

// Looks for `stem`.major ("libcublasLt.so", 13) everywhere for the first of `majors`, then for the next. A library that
// is taken stays open until the process ends. `wheel_folders` are below the site-packages of STATESPACE_CUDA_WHEELS.
LibrarySearch find_library(const std::string& stem, const std::vector<int>& majors,
                           const std::vector<std::string>& wheel_folders, const LibraryCheck& check);

std::string to_json(const LibrarySearch& search);

}  // namespace statespace::cuda
