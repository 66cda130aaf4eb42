// Promises that a backend's thread settles through the mailbox.
#pragma once
#include <napi.h>

#include <memory>
#include <optional>
#include <utility>

#include "cpp/napi/environment.h"

namespace statespace::napi {

// Resolves with make_value(env) on the JavaScript thread, or rejects with the error of the work before it.
template <typename F>
std::pair<Napi::Promise, Done> promise_of(Napi::Env env, F make_value) {
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
  const Napi::Promise promise = deferred->Promise();
  const auto mailbox = Environment::of(env).mailbox;
  mailbox->expect(env);
  Done done = [mailbox, deferred, make_value = std::move(make_value)](const Error* error) {
    std::optional<Error> kept;
    if (error) kept = *error;
    mailbox->post([mailbox, deferred, make_value, kept](Napi::Env env) {
      mailbox->received(env);
      if (kept)
        deferred->Reject(make_error(env, *kept));
      else
        deferred->Resolve(make_value(env));
    });
  };
  return {promise, std::move(done)};
}

}  // namespace statespace::napi
