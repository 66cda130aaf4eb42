#include "cpp/cpu/failures.h"

#include <string>

#include "cpp/core/error.h"

namespace statespace::cpu {

void throw_outside(const char* op, const char* what, int32_t value, int64_t position, const char* where, int64_t size,
                   const char* unit) {
  throw Error("ERR_INDEX", std::string(op) + ": " + what + " " + std::to_string(value) + " at position " +
                               std::to_string(position) + " is outside the " + where + " of " + std::to_string(size) +
                               " " + unit);
}

void throw_no_scratch(size_t requested, size_t used) {
  throw Error("ERR_OUT_OF_MEMORY",
              "no memory for " + std::to_string(requested) + " bytes of scratch on cpu, " + std::to_string(used) +
                  " bytes of this thread in use",
              {{"requested", static_cast<double>(requested)}, {"used", static_cast<double>(used)}});
}

void check_boundaries(const Tensor& cu_seqlens, int64_t length, const char* op) {
  if (!cu_seqlens) return;
  const int32_t* boundaries = static_cast<const int32_t*>(cu_seqlens.data);
  const int64_t stride = cu_seqlens.strides[0], last = cu_seqlens.shape[0] - 1;
  auto fail = [&](int64_t index, const std::string& expected) {
    const int32_t found = boundaries[index * stride];
    throw Error("ERR_ARGUMENT",
                std::string(op) + ": cuSeqlens[" + std::to_string(index) + "] is " + std::to_string(found) +
                    ", expected " + expected,
                {{"index", static_cast<double>(index)}, {"value", static_cast<double>(found)}});
  };
  if (boundaries[0] != 0) fail(0, "0");
  for (int64_t i = 1; i <= last; ++i) {
    const int32_t previous = boundaries[(i - 1) * stride];
    if (boundaries[i * stride] < previous) fail(i, "at least the " + std::to_string(previous) + " before it");
  }
  if (boundaries[last * stride] != length) fail(last, "the length " + std::to_string(length));
}

}  // namespace statespace::cpu
