#include "cuda/emulator/emulated_call.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <memory>

#include "cpp/core/error.h"
#include "cpp/ops/all.h"

namespace statespace::cuda {
namespace {

constexpr char kMagic[8] = {'S', 'S', 'C', 'A', 'L', 'L', '0', '1'};

template <typename Op>
std::vector<FieldView> fields(void* memory) {
  Op& op = *static_cast<Op*>(memory);
  std::vector<FieldView> result;
  for_each_field<Op>([&](const auto& field) {
    auto& value = op.*field.member;
    if constexpr (is_tensor_field<decltype(field)>)
      result.push_back({field.name, field.role, &value, nullptr, 0});
    else
      result.push_back({field.name, field.role, nullptr, &value, sizeof(value)});
  });
  return result;
}

template <typename... Ops>
std::vector<FieldView> fields_at(OpList<Ops...>, int index, void* op) {
  constexpr std::vector<FieldView> (*kFields[])(void*) = {fields<Ops>...};
  return kFields[index](op);
}

using File = std::unique_ptr<FILE, int (*)(FILE*)>;

class Writer {
 public:
  explicit Writer(FILE* file) : file_(file) {}
  template <typename T>
  void value(const T& value) {
    raw(&value, sizeof(value));
  }
  void text(const std::string& text) { array(text.data(), text.size()); }
  void bytes(const std::vector<uint8_t>& bytes) { array(bytes.data(), bytes.size()); }
  bool good() const { return good_; }

 private:
  void raw(const void* data, size_t bytes) { good_ = good_ && (bytes == 0 || std::fwrite(data, bytes, 1, file_) == 1); }
  void array(const void* data, size_t bytes) {
    value(static_cast<uint64_t>(bytes));
    raw(data, bytes);
  }
  FILE* file_;
  bool good_ = true;
};

class Reader {
 public:
  Reader(FILE* file, const std::string& path) : file_(file), path_(path) {}
  template <typename T>
  T value() {
    T value;
    raw(&value, sizeof(value));
    return value;
  }
  std::string text() {
    std::string text(length(), '\0');
    raw(text.data(), text.size());
    return text;
  }
  std::vector<uint8_t> bytes() {
    std::vector<uint8_t> bytes(length());
    raw(bytes.data(), bytes.size());
    return bytes;
  }
  [[noreturn]] void fail() const { throw Error("ERR_FORMAT", path_ + " is not a recorded call"); }

 private:
  void raw(void* data, size_t bytes) {
    if (bytes > 0 && std::fread(data, bytes, 1, file_) != 1) fail();
  }
  size_t length() {
    const auto length = value<uint64_t>();
    if (length > (uint64_t{1} << 30)) fail();
    return static_cast<size_t>(length);
  }
  FILE* file_;
  const std::string& path_;
};

}  // namespace

std::vector<FieldView> fields_of(int index, void* op) { return fields_at(AllOps{}, index, op); }

ByteRange range_of(const Tensor& tensor) {
  int64_t low = 0, high = 0;
  for (int i = 0; i < tensor.rank; ++i) {
    if (tensor.shape[i] == 0) return {0, 0};
    const int64_t reach = (tensor.shape[i] - 1) * tensor.strides[i];
    (reach < 0 ? low : high) += reach;
  }
  const auto size = static_cast<int64_t>(size_of(tensor.dtype));
  return {-low * size, static_cast<size_t>((high - low + 1) * size)};
}

std::vector<uint8_t> bytes_of_view(const Tensor& tensor) {
  const ByteRange range = range_of(tensor);
  std::vector<uint8_t> belongs(range.bytes, 0);
  if (range.bytes == 0) return belongs;
  const auto size = static_cast<int64_t>(size_of(tensor.dtype));
  for (int64_t i = 0; i < tensor.size(); ++i) {
    int64_t rest = i, at = range.before;
    for (int axis = tensor.rank - 1; axis >= 0; --axis) {
      at += rest % tensor.shape[axis] * tensor.strides[axis] * size;
      rest /= tensor.shape[axis];
    }
    std::fill_n(belongs.begin() + at, size, uint8_t{1});
  }
  return belongs;
}

void write_call(const RecordedCall& call, const std::string& path) {
  const File file(std::fopen(path.c_str(), "wb"), std::fclose);
  if (!file) throw Error("ERR_FORMAT", "cannot write " + path);
  Writer out(file.get());
  out.value(kMagic);
  out.value(call.layout_hash);
  out.value(static_cast<int32_t>(call.index));
  out.text(call.name);
  out.value(static_cast<uint32_t>(call.fields.size()));
  for (const RecordedField& field : call.fields) {
    out.text(field.name);
    out.value(field.role);
    out.value(static_cast<uint8_t>(field.tensor ? 1 : 0));
    out.value(field.tensor.dtype);
    out.value(field.tensor.rank);
    out.value(field.tensor.shape);
    out.value(field.tensor.strides);
    out.value(field.misalignment);
    out.bytes(field.bytes);
    out.value(static_cast<uint8_t>(field.written));
    out.bytes(field.after);
  }
  if (!out.good() || std::fflush(file.get()) != 0) throw Error("ERR_FORMAT", "cannot write " + path);
}

RecordedCall read_call(const std::string& path) {
  const File file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!file) throw Error("ERR_FORMAT", "cannot read " + path);
  Reader in(file.get(), path);
  struct Magic {
    char text[sizeof(kMagic)];
  };
  if (std::memcmp(in.value<Magic>().text, kMagic, sizeof(kMagic)) != 0) in.fail();
  RecordedCall call;
  call.layout_hash = in.value<uint64_t>();
  call.index = in.value<int32_t>();
  call.name = in.text();
  call.fields.resize(in.value<uint32_t>() % 256);
  struct Sizes {
    int64_t values[kMaxRank];
  };
  for (RecordedField& field : call.fields) {
    field.name = in.text();
    field.role = in.value<Role>();
    field.tensor.data = reinterpret_cast<void*>(static_cast<uintptr_t>(in.value<uint8_t>()));
    field.tensor.dtype = in.value<DType>();
    field.tensor.rank = in.value<int8_t>();
    const auto shape = in.value<Sizes>(), strides = in.value<Sizes>();
    std::copy_n(shape.values, kMaxRank, field.tensor.shape);
    std::copy_n(strides.values, kMaxRank, field.tensor.strides);
    field.misalignment = in.value<uint32_t>();
    field.bytes = in.bytes();
    field.written = in.value<uint8_t>() != 0;
    field.after = in.bytes();
  }
  return call;
}

}  // namespace statespace::cuda
