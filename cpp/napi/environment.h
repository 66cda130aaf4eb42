// The addon's state in one JavaScript environment: tensors by handle, the mailbox, and what JavaScript lent it.
#pragma once
#include <napi.h>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "cpp/core/device.h"
#include "cpp/napi/mailbox.h"

namespace statespace::napi {

// Bytes of a device, given back when the last view of them is gone.
struct Storage {
  Device* device;
  void* data;
  size_t bytes;
  std::shared_ptr<Recording> recording;  // the one they belong to, kept alive by them

  Storage(Device& device, size_t bytes);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
};

struct TensorSlot {
  std::shared_ptr<Storage> storage;  // null: the slot is free
  Tensor view;
  uint32_t generation = 0;
};

// What a recording needs to stay valid: its calls, and the tensors they read and write.
struct KeptRecording {
  Device* device;
  std::shared_ptr<Recording> recording;
  std::vector<std::shared_ptr<Storage>> operands;
};

class Environment {
 public:
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  Environment(Napi::Env env);

  // A handle is a number, 0 for none: the slot's place and, above it, how often the slot was used before, so that the
  // handle of a disposed tensor is recognised.
  double add(std::shared_ptr<Storage> storage, const Tensor& view);
  // Throws ERR_DISPOSED, naming who asked and for which argument.
  const TensorSlot& get(double handle, const char* op, const char* argument) const;
  void release(double handle);
  size_t live() const { return live_; }

  // Bytes in tensors of this environment are reported to the garbage collector in large steps.
  void account(Napi::Env env);

  // Drops everything; called by the cleanup hook.
  void close();

  std::shared_ptr<Mailbox> mailbox;
  Napi::Reference<Napi::Float64Array> results_array;
  double* results = nullptr;           // where functions leave handles and shapes: see op_function.h
  Napi::FunctionReference make_error;  // (code, message, numbers) => Error, from TypeScript

  std::unordered_map<int, KeptRecording> recordings;
  int next_recording = 1;
  KeptRecording* recording = nullptr;  // the one under way

 private:
  std::vector<TensorSlot> slots_;
  std::vector<uint32_t> free_;
  size_t live_ = 0;
  int64_t bytes_ = 0;
  int64_t accounted_ = 0;
};

constexpr size_t kResultWords = 1024;

// Throws the TypeScript error for `error`.
[[noreturn]] void throw_error(Napi::Env env, const Error& error);
Napi::Value make_error(Napi::Env env, const Error& error);

// Runs a function of the addon; whatever C++ throws becomes a JavaScript error with a code.
template <typename F>
napi_value guarded(Napi::Env env, F f) {
  try {
    try {
      return f();
    } catch (const Error& error) {
      throw_error(env, error);
    } catch (const std::bad_alloc&) {
      throw_error(env, Error("ERR_OUT_OF_MEMORY", "out of memory for the addon's own bookkeeping"));
    }
  } catch (const Napi::Error& error) {
    error.ThrowAsJavaScriptException();
    return nullptr;
  }
}

}  // namespace statespace::napi
