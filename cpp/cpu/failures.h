// Errors that only the data can tell. Compiled once: strings and Error bring symbols that all instruction sets share.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cpp/core/tensor.h"

namespace statespace::cpu {

// ERR_INDEX: "embeddingForward: id 70 at position 3 is outside the table of 65 rows".
[[noreturn]] void throw_outside(const char* op, const char* what, int32_t value, int64_t position, const char* where,
                                int64_t size, const char* unit);

// ERR_OUT_OF_MEMORY: "no memory for 1310720 bytes of scratch on cpu, 4096 bytes of this thread in use".
[[noreturn]] void throw_no_scratch(size_t requested, size_t used);

// ERR_ARGUMENT unless the boundaries of packed sequences go from 0 to `length` without a step back; none are fine.
void check_boundaries(const Tensor& cu_seqlens, int64_t length, const char* op);

}  // namespace statespace::cpu
