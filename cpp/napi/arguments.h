// Reads the numbers of a call without creating objects.
#pragma once
#include <napi.h>

#include <cmath>
#include <string>

#include "cpp/core/error.h"

namespace statespace::napi {

class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info, const char* function) : env_(env), function_(function) {
    napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr);
  }
  size_t count() const { return count_; }
  napi_value value(size_t i) const { return values_[i]; }

  double number(size_t i) const {
    double number;
    if (i >= count_ || napi_get_value_double(env_, values_[i], &number) != napi_ok) fail(i, "a number");
    return number;
  }
  int64_t integer(size_t i) const {
    const double value = number(i);
    if (!(std::abs(value) <= 9007199254740992.0) || value != std::floor(value)) fail(i, "an integer");
    return static_cast<int64_t>(value);
  }

 private:
  [[noreturn]] void fail(size_t i, const char* expected) const {
    throw Error("ERR_ARGUMENT", std::string(function_) + ": argument " + std::to_string(i) + " is not " + expected);
  }

  static constexpr size_t kMax = 32;
  napi_env env_;
  const char* function_;
  size_t count_ = kMax;
  napi_value values_[kMax];
};

inline napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

// Adds a plain function without the closure that node-addon-api makes for each.
inline void define(Napi::Env env, Napi::Object exports, const char* name, napi_callback callback) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function);
  exports.Set(name, Napi::Value(env, function));
}

}  // namespace statespace::napi
