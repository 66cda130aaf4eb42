// Writes calls of ops to files for test/kernels/replay.cc: one for each new combination of op, shapes, element types,
// memory orders and attributes.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cuda/emulator/emulated_call.h"

namespace statespace::cuda {

class Trace {
 public:
  // Null unless STATESPACE_TRACE_OPS names a folder, which is made if need be.
  static std::unique_ptr<Trace> from_environment();

  // Runs the call, and writes it if it is new, not too large, and does not fail. Called from one thread.
  void run(int index, void* op);

 private:
  explicit Trace(std::string folder) : folder_(std::move(folder)) {}
  // Where this call is to be written, or nothing.
  std::string path_for(int index, const std::vector<FieldView>& fields, uint64_t& signature);

  const std::string folder_;
  std::set<uint64_t> seen_;
};

}  // namespace statespace::cuda
