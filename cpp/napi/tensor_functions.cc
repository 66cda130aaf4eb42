#include "cpp/napi/tensor_functions.h"

#include <cstring>
#include <future>
#include <memory>
#include <string>

#include "cpp/core/row_info.h"
#include "cpp/napi/arguments.h"
#include "cpp/napi/devices.h"
#include "cpp/napi/environment.h"
#include "cpp/napi/settle.h"

namespace statespace::napi {
namespace {

void set_shape(Tensor& t, const Arguments& arguments, size_t first, const char* function) {
  const size_t rank = arguments.count() - first;
  if (rank > kMaxRank) {
    throw Error("ERR_SHAPE", std::string(function) + ": a tensor has at most " + std::to_string(kMaxRank) +
                                 " axes, found " + std::to_string(rank));
  }
  double elements = 1;
  for (size_t i = 0; i < rank; ++i) {
    t.shape[i] = arguments.integer(first + i);
    if (t.shape[i] < 0) throw Error("ERR_SHAPE", std::string(function) + ": a size is " + std::to_string(t.shape[i]));
    elements *= static_cast<double>(t.shape[i]);
  }
  t.rank = static_cast<int8_t>(rank);
  if (elements > 1e15) {
    throw Error("ERR_OUT_OF_MEMORY", std::string(function) + ": a tensor of shape " + show_shape(t) + " does not fit",
                {{"requested", elements * static_cast<double>(size_of(t.dtype))}});
  }
  t.set_contiguous_strides();
}

// empty(device, dtype, ...shape) => handle
napi_value empty(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments arguments(env, info, "empty");
    Environment& environment = Environment::of(env);
    Tensor t;
    t.dtype = static_cast<DType>(arguments.integer(1));
    set_shape(t, arguments, 2, "empty");
    auto storage = std::make_shared<Storage>(device_at(static_cast<int>(arguments.integer(0))), t.bytes());
    t.data = storage->data;
    const double handle = environment.add(std::move(storage), t);
    environment.account(env);
    return number(env, handle);
  });
}

// view(handle, offset, ...shape, ...strides) => handle, in elements of the tensor that is viewed
napi_value view(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    const Arguments arguments(env, info, "view");
    Environment& environment = Environment::of(env);
    const TensorSlot& slot = environment.get(arguments.number(0), "view", "tensor");
    const size_t rank = (arguments.count() - 2) / 2;
    if (rank > kMaxRank) throw Error("ERR_SHAPE", "view: a tensor has at most " + std::to_string(kMaxRank) + " axes");
    Tensor t = slot.view;
    t.rank = static_cast<int8_t>(rank);
    int64_t offset = arguments.integer(1), last = offset;
    bool is_empty = false;
    for (size_t i = 0; i < rank; ++i) {
      t.shape[i] = arguments.integer(2 + i);
      t.strides[i] = arguments.integer(2 + rank + i);
      is_empty = is_empty || t.shape[i] == 0;
      last += (t.shape[i] - 1) * t.strides[i];
    }
    t.data = static_cast<char*>(slot.view.data) + offset * static_cast<int64_t>(size_of(t.dtype));
    const char* begin = static_cast<const char*>(slot.storage->data);
    const char* end = static_cast<const char*>(slot.view.data) + (last + 1) * static_cast<int64_t>(size_of(t.dtype));
    if (offset < 0 || (!is_empty && (static_cast<char*>(t.data) < begin || end > begin + slot.storage->bytes))) {
      throw Error("ERR_SHAPE", "view: it would reach outside the tensor");
    }
    auto storage = slot.storage;
    return number(env, environment.add(std::move(storage), t));
  });
}

napi_value release(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "release");
    Environment& environment = Environment::of(env);
    for (size_t i = 0; i < arguments.count(); ++i) environment.release(arguments.number(i));
    environment.account(env);
    return nullptr;
  });
}

struct HostArray {
  const void* data;
  size_t bytes;
};

// Checks the element type, not only that it is a typed array: reading a Float16Array as floats would overrun.
HostArray host_array(napi_env env, napi_value value, DType dtype) {
  napi_typedarray_type type;
  size_t length, offset;
  void* data = nullptr;
  napi_value buffer;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, &buffer, &offset) != napi_ok) {
    throw Error("ERR_ARGUMENT", "upload: data is not a typed array");
  }
  const napi_typedarray_type expected = dtype == DType::float32 ? napi_float32_array
                                        : dtype == DType::int32 ? napi_int32_array
                                                                : napi_uint16_array;
  if (type != expected) {
    static const char* const kNames[] = {"Float32Array", "Uint16Array", "Uint16Array", "Int32Array"};
    throw Error("ERR_DTYPE",
                std::string("upload: a ") + name_of(dtype) + " tensor takes a " + kNames[static_cast<int>(dtype)]);
  }
  return {data, length * size_of(dtype)};
}

// upload(handle, typedArray, start?): copies at once; the array, or `size` elements of it from `start`, fills the
// tensor
napi_value upload(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "upload");
    const TensorSlot& slot = Environment::of(env).get(arguments.number(0), "upload", "tensor");
    const HostArray array = host_array(env, arguments.value(1), slot.view.dtype);
    const size_t start =
        arguments.count() > 2 ? static_cast<size_t>(arguments.integer(2)) * size_of(slot.view.dtype) : 0;
    const size_t bytes = slot.view.bytes();
    if (!slot.view.is_contiguous()) throw Error("ERR_LAYOUT", "upload: the tensor is a strided view");
    if (start > array.bytes || array.bytes - start < bytes || (arguments.count() <= 2 && array.bytes != bytes)) {
      throw Error("ERR_SHAPE", "upload: data holds " + std::to_string(array.bytes / size_of(slot.view.dtype)) +
                                   " elements, expected " + std::to_string(slot.view.size()) + " for shape " +
                                   show_shape(slot.view));
    }
    if (bytes > 0) slot.storage->device->upload(slot.view.data, static_cast<const char*>(array.data) + start, bytes);
    return nullptr;
  });
}

// download(handle) => Promise of a typed array (Uint16Array for 16-bit floats)
napi_value download(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "download");
    const TensorSlot& slot = Environment::of(env).get(arguments.number(0), "data", "tensor");
    if (!slot.view.is_contiguous()) throw Error("ERR_LAYOUT", "download: the tensor is a strided view");
    const size_t bytes = slot.view.bytes();
    const std::shared_ptr<unsigned char[]> host(new unsigned char[bytes + 1]);
    const auto storage = slot.storage;  // lives until the copy is done
    const DType dtype = slot.view.dtype;
    auto [promise, done] = promise_of(env, [host, storage, bytes, dtype](Napi::Env env) -> Napi::Value {
      auto buffer = Napi::ArrayBuffer::New(env, bytes);
      if (bytes > 0) std::memcpy(buffer.Data(), host.get(), bytes);
      const size_t count = bytes / size_of(dtype);
      if (dtype == DType::float32) return Napi::Float32Array::New(env, count, buffer, 0);
      if (dtype == DType::int32) return Napi::Int32Array::New(env, count, buffer, 0);
      return Napi::Uint16Array::New(env, count, buffer, 0);
    });
    slot.storage->device->download(host.get(), slot.view.data, bytes, std::move(done));
    return promise;
  });
}

// transfer(source, target): copies between devices; the target's queue waits for the source's
napi_value transfer(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "transfer");
    const TensorSlot& source = Environment::of(env).get(arguments.number(0), "to", "tensor");
    const TensorSlot& target = Environment::of(env).get(arguments.number(1), "to", "target");
    const size_t bytes = source.view.bytes();
    using Bytes = std::shared_ptr<unsigned char[]>;
    auto ready = std::make_shared<std::promise<Bytes>>();
    const Bytes host(new unsigned char[bytes + 1]);
    source.storage->device->download(
        host.get(), source.view.data, bytes,
        [ready, host, kept = source.storage](const Error* error) { ready->set_value(error ? nullptr : host); });
    target.storage->device->upload_later(target.view.data, bytes, ready->get_future().share());
    return nullptr;
  });
}

// isContiguous(handle) => boolean
napi_value is_contiguous(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "isContiguous");
    return Napi::Boolean::New(
        env, Environment::of(env).get(arguments.number(0), "isContiguous", "tensor").view.is_contiguous());
  });
}

// isExclusive(handle) => whether no other view, reading or recording holds the tensor's memory
napi_value is_exclusive(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments arguments(env, info, "isExclusive");
    const TensorSlot& slot = Environment::of(env).get(arguments.number(0), "isExclusive", "tensor");
    return Napi::Boolean::New(env, slot.storage.use_count() == 1);
  });
}

napi_value live(napi_env env, napi_callback_info) {
  return guarded(env, [&] { return number(env, static_cast<double>(Environment::of(env).live())); });
}

}  // namespace

void define_tensor_functions(Napi::Env env, Napi::Object exports) {
  define(env, exports, "empty", empty);
  define(env, exports, "view", view);
  define(env, exports, "release", release);
  define(env, exports, "upload", upload);
  define(env, exports, "download", download);
  define(env, exports, "transfer", transfer);
  define(env, exports, "isContiguous", is_contiguous);
  define(env, exports, "isExclusive", is_exclusive);
  define(env, exports, "live", live);
}

}  // namespace statespace::napi
