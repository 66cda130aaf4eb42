// From an op's number to its code: one entry for each of AllOps, in the same order.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cuda/runtime/context.h"

namespace statespace::cuda {

struct OpEntry {
  const char* name;
  size_t bytes;    // of the struct
  bool may_fault;  // takes indices, so it may raise a DeviceFault
  void (*run)(const void* op, Context& context);
};

int op_count();
const OpEntry& op_entry(int index);

// Equal in the addon and here when both were built from the same rows.
uint64_t op_layout_hash();

}  // namespace statespace::cuda
