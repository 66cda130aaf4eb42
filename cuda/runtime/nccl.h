// NCCL, if one is found at run time: what training on several GPUs goes over. So far the machine is asked whether it
// has one, for the report.
#pragma once
#include <string>

#include "cuda/runtime/library_search.h"

namespace statespace::cuda {

struct NcclLibrary {
  LibrarySearch search;
  int version = 0;  // 22703 is 2.27.3
};

// The library of this process, searched for at the first call.
const NcclLibrary& nccl_library();
std::string to_json(const NcclLibrary& library);

}  // namespace statespace::cuda
