// A stack of its own to run on, and the switch between two of them. Used by cuda_emulator.cc only.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(EMULATOR_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char*, int);
void AnnotateIgnoreReadsEnd(const char*, int);
void AnnotateIgnoreWritesBegin(const char*, int);
void AnnotateIgnoreWritesEnd(const char*, int);
}
#endif

#if !defined(__x86_64__) || !defined(__linux__)
#define EMULATOR_UCONTEXT
#endif
#if defined(EMULATOR_UCONTEXT)
#include <ucontext.h>
#else
extern "C" void statespace_emulator_switch(void** saved_stack_pointer, void* next_stack_pointer);
// Keeps the registers that a call must preserve on this stack, and goes on with those on the other.
asm(R"(
.text
.globl statespace_emulator_switch
.hidden statespace_emulator_switch
.type statespace_emulator_switch, @function
statespace_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size statespace_emulator_switch, .-statespace_emulator_switch
)");
#endif

namespace statespace::emulator {
namespace {

// While one lives, the thread sanitizer overlooks what this fiber does: it is the emulator's work, not the kernel's.
struct Unseen {
#if defined(EMULATOR_TSAN)
  Unseen() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Unseen() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#else
  Unseen() {}
#endif
  Unseen(const Unseen&) = delete;
};

class Fiber {
 public:
  // The stack that the host thread runs on.
  Fiber() = default;

  explicit Fiber(void (*entry)()) : entry_(entry) {
    void* memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, kGuardBytes, PROT_NONE);
    stack_ = static_cast<char*>(memory) + kGuardBytes;
    bounds_ = stack_;
    bounds_bytes_ = kStackBytes;
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(stack_, kStackBytes);  // a fiber thrown away at this place may have left marks
#endif
#if defined(EMULATOR_TSAN)
    tsan_ = __tsan_create_fiber(0);
#endif
#if defined(EMULATOR_UCONTEXT)
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack_;
    context_.uc_stack.ss_size = kStackBytes;
    makecontext(&context_, &Fiber::main, 0);
#else
    // Tops at different distances from a page, or all stacks would fight for the same lines of the cache.
    static thread_local constinit unsigned color = 0;
    constexpr int kSavedRegisters = 6;
    void** top = reinterpret_cast<void**>(stack_ + kStackBytes - color++ % 60 * 64);
    *--top = nullptr;  // in the place of a return address: the stack is aligned as after a call
    *--top = reinterpret_cast<void*>(&Fiber::main);
    top -= kSavedRegisters;
    std::fill(top, top + kSavedRegisters, nullptr);
    stack_pointer_ = top;
#endif
  }

  ~Fiber() {
    if (!stack_) return;
#if defined(EMULATOR_TSAN)
    __tsan_destroy_fiber(tsan_);
#endif
    munmap(stack_ - kGuardBytes, kGuardBytes + kStackBytes);
  }

  Fiber(const Fiber&) = delete;

  // Stops here and goes on there; returns when another fiber switches back.
  void switch_to(Fiber& next) {
    left_ = this;
    arriving_ = &next;
#if defined(__SANITIZE_ADDRESS__)
    void* fake_stack = nullptr;
    __sanitizer_start_switch_fiber(&fake_stack, next.bounds_, next.bounds_bytes_);
#endif
#if defined(EMULATOR_TSAN)
    if (!tsan_) tsan_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(next.tsan_, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(EMULATOR_UCONTEXT)
    swapcontext(&context_, &next.context_);
#else
    statespace_emulator_switch(&stack_pointer_, next.stack_pointer_);
#endif
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, &left_->bounds_, &left_->bounds_bytes_);
#endif
  }

 private:
  // Reserved, not used: a page exists when it is touched.
  static constexpr size_t kStackBytes = 256 * 1024;
  static constexpr size_t kGuardBytes = 16 * 1024;

  static void main() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &left_->bounds_, &left_->bounds_bytes_);
#endif
    arriving_->entry_();
  }

  static inline thread_local constinit Fiber* left_ = nullptr;
  static inline thread_local constinit Fiber* arriving_ = nullptr;

  void (*entry_)() = nullptr;
  char* stack_ = nullptr;
  const void* bounds_ = nullptr;  // as the address sanitizer knows the stack
  size_t bounds_bytes_ = 0;
  void* tsan_ = nullptr;
#if defined(EMULATOR_UCONTEXT)
  ucontext_t context_;
#else
  void* stack_pointer_ = nullptr;
#endif
};

}  // namespace
}  // namespace statespace::emulator
