#include "cpp/napi/mailbox.h"

#include <utility>

namespace statespace::napi {

std::shared_ptr<Mailbox> Mailbox::create(Napi::Env env) {
  auto mailbox = std::make_shared<Mailbox>();
  const napi_value name = Napi::String::New(env, "statespace");
  const napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                                             mailbox.get(), &Mailbox::on_bell, &mailbox->bell_);
  if (status != napi_ok) throw Napi::Error::New(env, "statespace could not create its mailbox");
  napi_unref_threadsafe_function(env, mailbox->bell_);
  return mailbox;
}

bool Mailbox::post(Letter letter) {
  std::lock_guard lock(mutex_);
  if (closed_) return false;
  letters_.push_back(std::move(letter));
  napi_call_threadsafe_function(bell_, nullptr, napi_tsfn_nonblocking);
  return true;
}

void Mailbox::expect(Napi::Env env) {
  if (expected_++ == 0) napi_ref_threadsafe_function(env, bell_);
}

void Mailbox::received(Napi::Env env) {
  if (--expected_ == 0) napi_unref_threadsafe_function(env, bell_);
}

void Mailbox::close() {
  std::deque<Letter> dropped;
  std::lock_guard lock(mutex_);
  closed_ = true;
  dropped.swap(letters_);
}

void Mailbox::on_bell(napi_env env, napi_value, void* context, void*) {
  if (env == nullptr) return;
  const auto self = static_cast<Mailbox*>(context)->shared_from_this();
  std::deque<Letter> letters;
  {
    std::lock_guard lock(self->mutex_);
    letters.swap(self->letters_);
  }
  for (auto& letter : letters) {
    try {
      Napi::HandleScope scope(env);
      letter(Napi::Env(env));
    } catch (const Napi::Error&) {
      // While a worker is being terminated every call into JavaScript throws; nobody is left to be told.
    }
  }
}

}  // namespace statespace::napi
