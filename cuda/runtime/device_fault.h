// What a user reads when a kernel met a bad index.
#pragma once
#include <string>

#include "cpp/core/error.h"
#include "cuda/runtime/context.h"

namespace statespace::cuda {

inline Error fault_error(const char* op, const DeviceFault& fault) {
  return Error("ERR_INDEX",
               std::string(op) + ": index " + std::to_string(fault.value) + " is outside 0 to " +
                   std::to_string(fault.limit - 1),
               {{"index", static_cast<double>(fault.value)}, {"size", static_cast<double>(fault.limit)}});
}

}  // namespace statespace::cuda
