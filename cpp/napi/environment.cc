#include "cpp/napi/environment.h"

#include <cmath>
#include <string>
#include <utility>

namespace statespace::napi {
namespace {

constexpr double kSlots = 16777216;  // 2^24 tensors at a time, 2^29 uses of each place
constexpr int64_t kAccountStep = 8 << 20;

}  // namespace

Storage::Storage(Device& device, size_t bytes)
    : device(&device), data(device.allocate(bytes)), bytes(bytes), recording(device.current_recording()) {}

Storage::~Storage() { device->release(data, bytes); }

Environment::Environment(Napi::Env env) : mailbox(Mailbox::create(env)) {
  auto array = Napi::Float64Array::New(env, kResultWords);
  results = array.Data();
  results_array = Napi::Persistent(array);
}

double Environment::add(std::shared_ptr<Storage> storage, const Tensor& view) {
  uint32_t place;
  if (free_.empty()) {
    if (slots_.size() >= static_cast<size_t>(kSlots) - 1) {
      throw Error("ERR_OUT_OF_MEMORY", "more than 16 million tensors are alive; dispose of some, or use scope()");
    }
    place = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    place = free_.back();
    free_.pop_back();
  }
  TensorSlot& slot = slots_[place];
  slot.view = view;
  slot.storage = std::move(storage);
  ++live_;
  bytes_ += static_cast<int64_t>(view.bytes());
  return static_cast<double>(slot.generation) * kSlots + (place + 1);
}

const TensorSlot& Environment::get(double handle, const char* op, const char* argument) const {
  const double generation = std::floor(handle / kSlots);
  const size_t place = static_cast<size_t>(handle - generation * kSlots) - 1;
  if (!(handle >= 1) || place >= slots_.size() || !slots_[place].storage ||
      slots_[place].generation != static_cast<uint32_t>(generation)) {
    throw Error("ERR_DISPOSED", std::string(op) + ": " + argument + " was disposed");
  }
  return slots_[place];
}

void Environment::release(double handle) {
  const double generation = std::floor(handle / kSlots);
  const size_t place = static_cast<size_t>(handle - generation * kSlots) - 1;
  if (place >= slots_.size()) return;
  TensorSlot& slot = slots_[place];
  if (!slot.storage || slot.generation != static_cast<uint32_t>(generation)) return;
  bytes_ -= static_cast<int64_t>(slot.view.bytes());
  slot.storage.reset();
  slot.generation = (slot.generation + 1) & 0x1fffffff;
  free_.push_back(static_cast<uint32_t>(place));
  --live_;
}

void Environment::account(Napi::Env env) {
  const int64_t change = bytes_ - accounted_;
  if (change < kAccountStep && change > -kAccountStep) return;
  Napi::MemoryManagement::AdjustExternalMemory(env, change);
  accounted_ = bytes_;
}

void Environment::close() {
  mailbox->close();
  recordings.clear();
  slots_.clear();
  free_.clear();
}

Napi::Value make_error(Napi::Env env, const Error& error) {
  auto numbers = Napi::Object::New(env);
  for (const auto& [name, value] : error.numbers()) numbers.Set(name, value);
  const auto& factory = Environment::of(env).make_error;
  if (!factory.IsEmpty()) {
    return factory.Call({Napi::String::New(env, error.code()), Napi::String::New(env, error.message()), numbers});
  }
  auto plain = Napi::Error::New(env, error.message());
  plain.Set("code", Napi::String::New(env, error.code()));
  return plain.Value();
}

void throw_error(Napi::Env env, const Error& error) { throw Napi::Error(env, make_error(env, error)); }

}  // namespace statespace::napi
