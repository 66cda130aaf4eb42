// What JavaScript does with tensors besides ops: make, view, write, read and release them.
#pragma once
#include <napi.h>

namespace statespace::napi {

void define_tensor_functions(Napi::Env env, Napi::Object exports);

}  // namespace statespace::napi
