// What a user reads when a kernel met a bad index or a bad boundary.
#pragma once
#include <string>

#include "cpp/core/error.h"
#include "cuda/runtime/context.h"

namespace statespace::cuda {

inline Error fault_error(const char* op, const DeviceFault& fault) {
  if (fault.raised != kIndexFault) {
    const std::string limit = std::to_string(fault.limit);
    const std::string expected = fault.raised == kFirstBoundaryFault   ? "0"
                                 : fault.raised == kBoundaryOrderFault ? "at least the " + limit + " before it"
                                                                       : "the length " + limit;
    return Error("ERR_ARGUMENT",
                 std::string(op) + ": cuSeqlens[" + std::to_string(fault.position) + "] is " +
                     std::to_string(fault.value) + ", expected " + expected,
                 {{"index", static_cast<double>(fault.position)}, {"value", static_cast<double>(fault.value)}});
  }
  return Error("ERR_INDEX",
               std::string(op) + ": index " + std::to_string(fault.value) + " is outside 0 to " +
                   std::to_string(fault.limit - 1),
               {{"index", static_cast<double>(fault.value)}, {"size", static_cast<double>(fault.limit)}});
}

}  // namespace statespace::cuda
