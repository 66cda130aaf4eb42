#include "cpp/napi/op_function.h"

#include <cmath>
#include <cstring>
#include <string>

#include "cpp/core/op_table.h"
#include "cpp/napi/environment.h"
#include "cpp/ops/all.h"

namespace statespace::napi {
namespace {

constexpr size_t kMaxArguments = 48;
constexpr size_t kMaxOpBytes = 4096;

bool satisfies(Layout layout, const Tensor& t) {
  switch (layout) {
    case Layout::contiguous:
      return t.is_contiguous();
    case Layout::rows:
      return t.is_rows();
    case Layout::last_axis_dense:
      return t.is_last_axis_dense();
    case Layout::any:
      return true;
  }
  return true;
}

const char* in_words(Layout layout) {
  switch (layout) {
    case Layout::contiguous:
      return "contiguous";
    case Layout::rows:
      return "rows of equal distance with a dense last axis";
    case Layout::last_axis_dense:
      return "dense along the last axis";
    case Layout::any:
      return "any";
  }
  return "";
}

// The state of one call between reading its arguments and enqueuing it.
class Call {
 public:
  Call(Environment& environment, const RowInfo& row) : environment_(environment), row_(row) {
    std::memset(op_, 0, row.bytes);
  }

  void read(const double* arguments, size_t count) {
    size_t next = 0;
    for (const FieldInfo& field : row_.fields) {
      if (field.role == Role::out) continue;
      const double value = next < count ? arguments[next] : 0;
      ++next;
      if (field.role == Role::attribute)
        set_attribute(field, value);
      else
        set_input(field, value);
    }
    for (const FieldInfo& field : row_.fields) {
      if (field.role != Role::out) continue;
      const double handle = next < count ? arguments[next] : 0;
      ++next;
      if (handle != 0) set_target(field, handle);
    }
    if (!device_) throw Error("ERR_ARGUMENT", std::string(row_.name) + ": no tensor was given");
  }

  void run() {
    bind(row_, op_);
    int output = 0;
    try {
      for (const FieldInfo& field : row_.fields) {
        if (field.role == Role::out) set_output(field, environment_.results + kWordsPerOutput * output++);
      }
      device_->enqueue(row_.index, op_, row_.bytes);
    } catch (...) {
      for (int i = 0; i < output; ++i) environment_.release(environment_.results[kWordsPerOutput * i]);
      throw;
    }
    if (environment_.recording) {
      auto& kept = environment_.recording->operands;
      kept.insert(kept.end(), operands_.begin(), operands_.end());
    }
  }

 private:
  void set_attribute(const FieldInfo& field, double value) {
    unsigned char* member = op_ + field.offset;
    switch (field.attribute) {
      case AttributeType::boolean:
        *reinterpret_cast<bool*>(member) = value != 0;
        return;
      case AttributeType::real:
        *reinterpret_cast<double*>(member) = value;
        return;
      case AttributeType::dtype:
        *reinterpret_cast<DType*>(member) = static_cast<DType>(static_cast<int>(value));
        return;
      case AttributeType::integer:
        if (!(std::abs(value) <= 9007199254740992.0) || value != std::floor(value)) {
          throw Error("ERR_ARGUMENT", std::string(row_.name) + ": " + field.name + " is " + std::to_string(value) +
                                          ", expected an integer");
        }
        *reinterpret_cast<int64_t*>(member) = static_cast<int64_t>(value);
        return;
      case AttributeType::none:
        return;
    }
  }

  const TensorSlot& slot(const FieldInfo& field, double handle) {
    const TensorSlot& slot = environment_.get(handle, row_.name, field.name);
    Device* device = slot.storage->device;
    if (!device_) {
      device_ = device;
      device_from_ = field.name;
    } else if (device != device_) {
      throw Error("ERR_DEVICE", std::string(row_.name) + ": " + field.name + " is on " + show(*device) + ", expected " +
                                    show(*device_) + " like " + device_from_);
    }
    operands_.push_back(slot.storage);
    return slot;
  }

  static std::string show(const Device& device) {
    const std::string kind = device.info().kind;
    return kind == "cpu" ? kind : kind + ":" + std::to_string(device.info().index);
  }

  void set_input(const FieldInfo& field, double handle) {
    if (handle == 0) {
      if (field.role == Role::maybe) return;
      throw Error("ERR_ARGUMENT", std::string(row_.name) + ": " + field.name + " is missing, expected " + field.text);
    }
    Tensor view = slot(field, handle).view;
    if (!satisfies(field.layout, view)) {
      if (field.role == Role::inout) fail_layout(field);
      view = contiguous_copy(view);
    }
    field.tensor(op_) = view;
  }

  void set_target(const FieldInfo& field, double handle) {
    const Tensor& view = slot(field, handle).view;
    if (!satisfies(field.layout, view)) fail_layout(field);
    field.tensor(op_) = view;
  }

  [[noreturn]] void fail_layout(const FieldInfo& field) const {
    throw Error("ERR_LAYOUT", std::string(row_.name) + ": " + field.name + " is written in place and must be " +
                                  in_words(field.layout) + "; it is a strided view");
  }

  Tensor contiguous_copy(const Tensor& view) {
    Copy copy{view, view.dtype, view};
    copy.y.set_contiguous_strides();
    operands_.push_back(std::make_shared<Storage>(*device_, view.bytes()));
    copy.y.data = operands_.back()->data;
    device_->enqueue(index_in<Copy>(AllOps{}), &copy, sizeof(copy));
    return copy.y;
  }

  void set_output(const FieldInfo& field, double* words) {
    words[0] = 0;
    Tensor& t = field.tensor(op_);
    if (t.rank < 0) {
      t = Tensor{};
      return;
    }
    if (t) return;  // written into a tensor that the caller has
    auto storage = std::make_shared<Storage>(*device_, t.bytes());
    t.data = storage->data;
    operands_.push_back(storage);
    words[0] = environment_.add(std::move(storage), t);
    words[1] = static_cast<double>(t.dtype);
    words[2] = t.rank;
    for (int i = 0; i < t.rank; ++i) words[3 + i] = static_cast<double>(t.shape[i]);
  }

  Environment& environment_;
  const RowInfo& row_;
  Device* device_ = nullptr;
  const char* device_from_ = nullptr;
  std::vector<std::shared_ptr<Storage>> operands_;
  alignas(16) unsigned char op_[kMaxOpBytes];
};

napi_value call_op(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    size_t count = kMaxArguments;
    napi_value values[kMaxArguments];
    void* data;
    napi_get_cb_info(env, info, &count, values, nullptr, &data);
    const RowInfo& row = *static_cast<const RowInfo*>(data);
    double arguments[kMaxArguments];
    for (size_t i = 0; i < count; ++i) {
      if (napi_get_value_double(env, values[i], &arguments[i]) != napi_ok) {
        throw Error("ERR_ARGUMENT", std::string(row.name) + ": argument " + std::to_string(i) + " is not a number");
      }
    }
    Environment& environment = Environment::of(env);
    Call call(environment, row);
    call.read(arguments, count);
    call.run();
    environment.account(env);
    return nullptr;
  });
}

Napi::Object describe(Napi::Env env, const RowInfo& row) {
  static const char* const kRoles[] = {"in", "maybe", "inout", "attribute", "out"};
  static const char* const kTypes[] = {"tensor", "boolean", "integer", "real", "dtype"};
  static const char* const kDTypes[] = {"same", "float32", "int32", "floating", "any", "chosen"};
  auto fields = Napi::Array::New(env, row.fields.size());
  uint32_t i = 0;
  for (const FieldInfo& field : row.fields) {
    auto object = Napi::Object::New(env);
    object.Set("role", kRoles[static_cast<int>(field.role)]);
    object.Set("name", field.name);
    object.Set("text", field.text);
    object.Set("type", kTypes[static_cast<int>(field.attribute)]);
    if (field.is_tensor()) object.Set("dtype", kDTypes[static_cast<int>(field.dtype)]);
    if (field.role == Role::out) object.Set("always", field.present == nullptr);
    fields.Set(i++, object);
  }
  auto described = Napi::Object::New(env);
  described.Set("name", row.name);
  described.Set("fields", fields);
  return described;
}

}  // namespace

const std::vector<RowInfo>& rows() {
  static const auto* const kRows = new std::vector<RowInfo>(all_rows(AllOps{}));
  return *kRows;
}

void define_ops(Napi::Env env, Napi::Object exports) {
  auto ops = Napi::Object::New(env);
  auto described = Napi::Array::New(env, rows().size());
  for (const RowInfo& row : rows()) {
    napi_value function;
    napi_create_function(env, row.name, NAPI_AUTO_LENGTH, &call_op, const_cast<RowInfo*>(&row), &function);
    ops.Set(row.name, Napi::Value(env, function));
    described.Set(static_cast<uint32_t>(row.index), describe(env, row));
  }
  exports.Set("ops", ops);
  exports.Set("rows", described);
}

}  // namespace statespace::napi
