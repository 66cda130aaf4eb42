// The devices of this process: the CPU, and those of a CUDA library once one is loaded.
#pragma once
#include <string>
#include <vector>

#include "cpp/core/device.h"

namespace statespace::napi {

// Device 0 is the CPU.
int device_count();
Device& device_at(int number);

// Opens a library that exports statespace_open_backend and adds its devices, once per process. Returns its report;
// one that cannot be opened is reported as not usable with code ERR_CUDA_BACKEND.
BackendReport load_backend(const std::string& path);

}  // namespace statespace::napi
