// Devices from JavaScript: list, wait, memory, recordings.
#pragma once
#include <napi.h>

namespace statespace::napi {

void define_device_functions(Napi::Env env, Napi::Object exports);

}  // namespace statespace::napi
