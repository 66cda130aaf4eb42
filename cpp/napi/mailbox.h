// How threads of a backend reach JavaScript: one queue per environment, with one thread-safe function as its bell.
// A bare thread-safe function per call is unsafe while an environment is torn down (nodejs/node#38775, #55706).
#pragma once
#include <napi.h>

#include <deque>
#include <functional>
#include <memory>
#include <mutex>

namespace statespace::napi {

class Mailbox : public std::enable_shared_from_this<Mailbox> {
 public:
  using Letter = std::function<void(Napi::Env)>;

  static std::shared_ptr<Mailbox> create(Napi::Env env);

  // From any thread; false when the environment is gone. The lock is held while the bell rings, so that no thread
  // touches the bell of an environment that has closed.
  bool post(Letter letter);

  // From the JavaScript thread: while letters are expected the process stays alive.
  void expect(Napi::Env env);
  void received(Napi::Env env);

  // From the environment's cleanup hook, which runs before its finalizers.
  void close();

 private:
  static void on_bell(napi_env env, napi_value, void* context, void*);

  std::mutex mutex_;
  bool closed_ = false;
  std::deque<Letter> letters_;
  napi_threadsafe_function bell_ = nullptr;
  int expected_ = 0;
};

}  // namespace statespace::napi
