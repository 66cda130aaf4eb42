// One call of an op as a file: what went in and what came out, so that a test can run it again elsewhere.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cpp/core/op.h"

namespace statespace::cuda {

// A field of an op's struct, whatever the op: `tensor` or `attribute` is set.
struct FieldView {
  const char* name;
  Role role;
  Tensor* tensor;
  void* attribute;
  size_t attribute_bytes;
};
std::vector<FieldView> fields_of(int index, void* op);

// The smallest contiguous range of bytes that covers a view.
struct ByteRange {
  int64_t before;  // bytes of it that lie before the first element
  size_t bytes;
};
ByteRange range_of(const Tensor& tensor);
// 1 for every byte of the range that belongs to an element of the view, 0 for the gaps.
std::vector<uint8_t> bytes_of_view(const Tensor& tensor);

struct RecordedField {
  std::string name;
  Role role = Role::in;
  Tensor tensor;               // its address is 0 or 1: absent or there
  uint32_t misalignment = 0;   // of the range's address, to 256
  std::vector<uint8_t> bytes;  // of the range before the call, or of the attribute
  bool written = false;
  std::vector<uint8_t> after;  // of the range, if the call wrote there
};

struct RecordedCall {
  uint64_t layout_hash = 0;
  int index = 0;
  std::string name;
  std::vector<RecordedField> fields;
};

// Both say what is wrong with the file by an Error.
void write_call(const RecordedCall& call, const std::string& path);
RecordedCall read_call(const std::string& path);

}  // namespace statespace::cuda
