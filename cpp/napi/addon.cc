// What the addon exports to the TypeScript side (ts/native/addon.ts has the types).
#include <napi.h>

#include <memory>

#include "cpp/napi/arguments.h"
#include "cpp/napi/device_functions.h"
#include "cpp/napi/environment.h"
#include "cpp/napi/op_function.h"
#include "cpp/napi/tensor_functions.h"

namespace statespace::napi {
namespace {

// setErrorFactory((code, message, numbers) => Error)
napi_value set_error_factory(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "setErrorFactory");
    Environment::of(env).make_error = Napi::Persistent(Napi::Value(env, arguments.value(0)).As<Napi::Function>());
    return nullptr;
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto* environment = new Environment(env);
  env.SetInstanceData(environment);
  // Runs before the finalizers; the mailbox outlives the environment for threads that still hold it.
  env.AddCleanupHook([](Environment* e) { e->close(); }, environment);
  exports.Set("results", environment->results_array.Value());
  exports.Set("wordsPerOutput", kWordsPerOutput);
  define(env, exports, "setErrorFactory", set_error_factory);
  define_ops(env, exports);
  define_tensor_functions(env, exports);
  define_device_functions(env, exports);
  return exports;
}

}  // namespace
}  // namespace statespace::napi

// At global scope, as the macro needs it.
static Napi::Object init_statespace(Napi::Env env, Napi::Object exports) {
  return statespace::napi::init(env, exports);
}
NODE_API_MODULE(statespace, init_statespace)
