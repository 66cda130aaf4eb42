#include "cpp/napi/device_functions.h"

#include <string>

#include "cpp/napi/arguments.h"
#include "cpp/napi/devices.h"
#include "cpp/napi/environment.h"
#include "cpp/napi/settle.h"

namespace statespace::napi {
namespace {

Device& device_argument(const Arguments& arguments) { return device_at(static_cast<int>(arguments.integer(0))); }

// devices() => [{ kind, index, name }], the CPU first
napi_value devices(napi_env env, napi_callback_info) {
  return guarded(env, [&]() -> napi_value {
    auto list = Napi::Array::New(env);
    for (int i = 0; i < device_count(); ++i) {
      const DeviceInfo& info = device_at(i).info();
      auto object = Napi::Object::New(env);
      object.Set("kind", info.kind);
      object.Set("index", info.index);
      object.Set("name", info.name);
      list.Set(static_cast<uint32_t>(i), object);
    }
    return list;
  });
}

// loadBackend(path) => { usable, code, reason, remedy, details }
napi_value load_backend_function(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "loadBackend");
    const BackendReport report = load_backend(Napi::Value(env, arguments.value(0)).As<Napi::String>().Utf8Value());
    auto object = Napi::Object::New(env);
    object.Set("usable", report.usable);
    object.Set("code", report.code);
    object.Set("reason", report.reason);
    object.Set("remedy", report.remedy);
    object.Set("details", report.details);
    return object;
  });
}

// synchronize(device) => Promise<void>
napi_value synchronize(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "synchronize");
    Device& device = device_argument(arguments);
    auto [promise, done] = promise_of(env, [](Napi::Env env) { return env.Undefined(); });
    device.after(std::move(done));
    return promise;
  });
}

// memory(device) => { used, peak, reserved, total } in bytes
napi_value memory(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "memory");
    const MemoryInfo memory = device_argument(arguments).memory();
    auto object = Napi::Object::New(env);
    object.Set("used", static_cast<double>(memory.used));
    object.Set("peak", static_cast<double>(memory.peak));
    object.Set("reserved", static_cast<double>(memory.reserved));
    object.Set("total", static_cast<double>(memory.total));
    return object;
  });
}

napi_value empty_cache(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "emptyCache");
    device_argument(arguments).empty_cache();
    return nullptr;
  });
}

napi_value begin_recording(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "beginRecording");
    Environment& environment = Environment::of(env);
    Device& device = device_argument(arguments);
    if (environment.recording) throw Error("ERR_RECORDING", "a recording is already under way");
    device.begin_recording();
    const int number = environment.next_recording++;
    environment.recording = &environment.recordings[number];
    environment.recording->device = &device;
    return napi::number(env, number);
  });
}

napi_value end_recording(napi_env env, napi_callback_info) {
  return guarded(env, [&]() -> napi_value {
    Environment& environment = Environment::of(env);
    if (!environment.recording) throw Error("ERR_RECORDING", "no recording is under way");
    KeptRecording* const kept = std::exchange(environment.recording, nullptr);
    kept->recording = kept->device->end_recording();
    return nullptr;
  });
}

napi_value replay(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "replay");
    Environment& environment = Environment::of(env);
    const auto found = environment.recordings.find(static_cast<int>(arguments.integer(0)));
    if (found == environment.recordings.end() || !found->second.recording) {
      throw Error("ERR_DISPOSED", "replay: the recording was disposed");
    }
    found->second.device->replay(found->second.recording);
    return nullptr;
  });
}

napi_value release_recording(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "releaseRecording");
    Environment::of(env).recordings.erase(static_cast<int>(arguments.integer(0)));
    return nullptr;
  });
}

}  // namespace

void define_device_functions(Napi::Env env, Napi::Object exports) {
  define(env, exports, "devices", devices);
  define(env, exports, "loadBackend", load_backend_function);
  define(env, exports, "synchronize", synchronize);
  define(env, exports, "memory", memory);
  define(env, exports, "emptyCache", empty_cache);
  define(env, exports, "beginRecording", begin_recording);
  define(env, exports, "endRecording", end_recording);
  define(env, exports, "replay", replay);
  define(env, exports, "releaseRecording", release_recording);
}

}  // namespace statespace::napi
