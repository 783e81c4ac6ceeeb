// A stack of its own on which a function runs until it, or whoever runs it, switches to another: a thread without a kernel.
//
// On x86-64 a switch is the dozen instructions that the calling convention asks for; elsewhere it is POSIX's ucontext, which asks
// the kernel each time. AddressSanitizer and ThreadSanitizer are told, where they watch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#define PAGODA_FIBERS_TELL_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define PAGODA_FIBERS_TELL_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PAGODA_FIBERS_TELL_ASAN 1
#elif __has_feature(thread_sanitizer)
#define PAGODA_FIBERS_TELL_TSAN 1
#endif
#endif

namespace pagoda::interleave {

class Fiber {
 public:
  // The stack that runs already: what other fibers switch back to.
  Fiber();
  // One of its own. `body` never returns: it ends by switching away for good.
  explicit Fiber(std::function<void()> body);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  // What is left of its stack is dropped, destructors and all.
  ~Fiber();

  // Begins again from the top of `body`, with an empty stack. Requires: it is not running, and has one of its own.
  void restart(std::function<void()> body);
  enum class Leaving : std::uint8_t {
    kForNow,
    kForGood,  // `from` may be restarted, but nobody switches back.
  };
  // Leaves `from`, which is running, for `to`. Returns when somebody switches back.
  static void run(Fiber& from, Fiber& to, Leaving leaving = Leaving::kForNow);

 private:
  static void entry();
  void arrived();

  std::function<void()> body_;
  std::byte* mapped_ = nullptr;  // The stack, below it a page that must not be touched. Null: not ours.
  std::byte* stack_ = nullptr;
  std::size_t stack_bytes_ = 0;
#if defined(__x86_64__)
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_{};
#endif
#if defined(PAGODA_FIBERS_TELL_ASAN)
  void* fake_stack_ = nullptr;
#elif defined(PAGODA_FIBERS_TELL_TSAN)
  void* watched_as_ = nullptr;
#endif
};

}  // namespace pagoda::interleave
