#include "cuda/emulator/emulated_trace.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "cpp/core/error.h"
#include "cuda/emulator/emulated_run.h"
#include "cuda/kernels/op_table.h"

namespace statespace::cuda {
namespace {

constexpr size_t kMaxBytes = 4 << 20;  // of all tensors of a call

class Hash {
 public:
  void mix(uint64_t value) { hash_ = (hash_ ^ value) * 1099511628211ull; }
  void mix(const void* data, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) mix(uint64_t{static_cast<const uint8_t*>(data)[i]});
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 14695981039346656037ull;
};

uint64_t memory_order(const Tensor& tensor) {
  if (tensor.is_contiguous()) return 0;
  if (tensor.is_rows()) return 1;
  if (tensor.is_last_axis_dense()) return 2;
  for (int i = 0; i < tensor.rank; ++i) {
    if (tensor.strides[i] == 0 && tensor.shape[i] > 1) return 3;
  }
  return 4;
}

// The numbers of random draws change with every call and choose no other path.
bool counts_in_signature(std::string_view attribute) { return attribute != "seed" && attribute != "offset"; }

const uint8_t* begin_of(const Tensor& tensor, const ByteRange& range) {
  return static_cast<const uint8_t*>(tensor.data) - range.before;
}

bool overlap(const Tensor& a, const Tensor& b) {
  const ByteRange range_a = range_of(a), range_b = range_of(b);
  const uint8_t *begin_a = begin_of(a, range_a), *begin_b = begin_of(b, range_b);
  return begin_a < begin_b + range_b.bytes && begin_b < begin_a + range_a.bytes;
}

std::vector<uint8_t> bytes_of(const Tensor& tensor) {
  const ByteRange range = range_of(tensor);
  const uint8_t* begin = begin_of(tensor, range);
  return {begin, begin + range.bytes};
}

RecordedCall record_before(int index, const std::vector<FieldView>& fields) {
  RecordedCall call;
  call.layout_hash = op_layout_hash();
  call.index = index;
  call.name = op_entry(index).name;
  for (const FieldView& view : fields) {
    RecordedField field;
    field.name = view.name;
    field.role = view.role;
    if (view.attribute) {
      const auto* begin = static_cast<const uint8_t*>(view.attribute);
      field.bytes.assign(begin, begin + view.attribute_bytes);
    } else if (*view.tensor) {
      field.tensor = *view.tensor;
      const ByteRange range = range_of(field.tensor);
      field.misalignment = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(begin_of(field.tensor, range)) % 256);
      field.bytes = bytes_of(field.tensor);
    }
    call.fields.push_back(std::move(field));
  }
  return call;
}

// A tensor that is not an output counts as written if it changed though no output lies there.
void record_after(RecordedCall& call, const std::vector<FieldView>& fields) {
  for (size_t i = 0; i < fields.size(); ++i) {
    if (!fields[i].tensor || !*fields[i].tensor) continue;
    const Tensor& tensor = *fields[i].tensor;
    RecordedField& field = call.fields[i];
    field.after = bytes_of(tensor);
    field.written = field.role == Role::out || field.role == Role::inout || field.after != field.bytes;
    for (const FieldView& other : fields) {
      const bool output = other.role == Role::out || other.role == Role::inout;
      if (&other == &fields[i] || !output || !other.tensor || !*other.tensor) continue;
      if (field.role != Role::out && field.role != Role::inout && overlap(tensor, *other.tensor)) field.written = false;
    }
    if (!field.written) field.after.clear();
  }
}

}  // namespace

std::unique_ptr<Trace> Trace::from_environment() {
  const char* folder = std::getenv("STATESPACE_TRACE_OPS");
  if (!folder || !*folder) return nullptr;
  for (const char* slash = std::strchr(folder + 1, '/'); slash; slash = std::strchr(slash + 1, '/')) {
    mkdir(std::string(folder, slash).c_str(), 0777);
  }
  mkdir(folder, 0777);
  return std::unique_ptr<Trace>(new Trace(folder));
}

std::string Trace::path_for(int index, const std::vector<FieldView>& fields, uint64_t& signature) {
  Hash hash;
  hash.mix(static_cast<uint64_t>(index));
  size_t bytes = 0;
  for (const FieldView& field : fields) {
    if (field.attribute) {
      if (counts_in_signature(field.name)) hash.mix(field.attribute, field.attribute_bytes);
      continue;
    }
    const Tensor& tensor = *field.tensor;
    hash.mix(uint64_t{tensor.data != nullptr});
    if (!tensor) continue;
    hash.mix(static_cast<uint64_t>(tensor.dtype));
    hash.mix(static_cast<uint64_t>(tensor.rank));
    hash.mix(tensor.shape, sizeof(int64_t) * static_cast<size_t>(tensor.rank));
    hash.mix(memory_order(tensor));
    bytes += range_of(tensor).bytes;
  }
  if (bytes > kMaxBytes || !seen_.insert(hash.value()).second) return {};
  char name[32];
  std::snprintf(name, sizeof(name), "-%016llx.call", static_cast<unsigned long long>(hash.value()));
  const std::string path = folder_ + "/" + op_entry(index).name + name;
  if (access(path.c_str(), F_OK) == 0) return {};
  signature = hash.value();
  return path;
}

void Trace::run(int index, void* op) {
  const std::vector<FieldView> fields = fields_of(index, op);
  uint64_t signature = 0;
  const std::string path = path_for(index, fields, signature);
  if (path.empty()) return run_emulated(index, op);
  RecordedCall call = record_before(index, fields);
  try {
    run_emulated(index, op);
  } catch (...) {
    seen_.erase(signature);  // a later call of this kind may succeed
    throw;
  }
  record_after(call, fields);
  // Under another name until it is whole: several processes may write to the folder.
  const std::string unfinished = path + "." + std::to_string(getpid());
  write_call(call, unfinished);
  std::rename(unfinished.c_str(), path.c_str());
}

}  // namespace statespace::cuda
