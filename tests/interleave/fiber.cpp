#include "tests/interleave/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "pagoda/base/check.h"

#if defined(PAGODA_FIBERS_TELL_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(PAGODA_FIBERS_TELL_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
// void pagoda_switch_stack(void** leave, void* enter): keeps what the callee owns (System V ABI 3.2.1) on the stack that it
// leaves and takes the same off the stack that it enters.
extern "C" void pagoda_switch_stack(void** leave, void* enter);
asm(R"(
  .text
  .type pagoda_switch_stack, @function
pagoda_switch_stack:
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
  .size pagoda_switch_stack, . - pagoda_switch_stack
)");
#endif

namespace pagoda::interleave {

namespace {

// A choice: mm's deepest path takes 20 KB unoptimised, sanitizers multiply it.
constexpr std::size_t kStackBytes = std::size_t{512} << 10;

// Who is entered, and who was left, on the way from one stack to another.
Fiber* entered = nullptr;
#if defined(PAGODA_FIBERS_TELL_ASAN)
Fiber* left = nullptr;
#endif

}  // namespace

Fiber::Fiber() {
#if defined(PAGODA_FIBERS_TELL_TSAN)
  watched_as_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(std::function<void()> body) {
  const auto guard = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const mapped =
      mmap(nullptr, kStackBytes + guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PAGODA_CHECK(mapped != MAP_FAILED);
  mapped_ = static_cast<std::byte*>(mapped);
  stack_ = mapped_ + guard;
  stack_bytes_ = kStackBytes;
  PAGODA_CHECK_EQ(mprotect(stack_, stack_bytes_, PROT_READ | PROT_WRITE), 0);
  restart(std::move(body));
}

Fiber::~Fiber() {
  if (mapped_ == nullptr) return;
#if defined(PAGODA_FIBERS_TELL_TSAN)
  __tsan_destroy_fiber(watched_as_);
#elif defined(PAGODA_FIBERS_TELL_ASAN)
  ASAN_UNPOISON_MEMORY_REGION(stack_, stack_bytes_);  // Who gets the addresses next knows nothing of our variables.
#endif
  munmap(mapped_, static_cast<std::size_t>(stack_ - mapped_) + stack_bytes_);
}

void Fiber::restart(std::function<void()> body) {
  PAGODA_CHECK(mapped_ != nullptr);
  body_ = std::move(body);
#if defined(PAGODA_FIBERS_TELL_TSAN)
  if (watched_as_ != nullptr) __tsan_destroy_fiber(watched_as_);
  watched_as_ = __tsan_create_fiber(0);
#elif defined(PAGODA_FIBERS_TELL_ASAN)
  ASAN_UNPOISON_MEMORY_REGION(stack_, stack_bytes_);  // What a body left there that never returned.
  fake_stack_ = nullptr;
#endif
#if defined(__x86_64__)
  // As if `entry` had been called from nowhere: a multiple of 16 lies above the return address, which it never uses (System V ABI
  // 3.2.2).
  auto** top = reinterpret_cast<void**>(stack_ + stack_bytes_);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&Fiber::entry);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  stack_pointer_ = top;
#else
  PAGODA_CHECK_EQ(getcontext(&context_), 0);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = stack_bytes_;
  context_.uc_link = nullptr;
  makecontext(&context_, &Fiber::entry, 0);
#endif
}

void Fiber::run(Fiber& from, Fiber& to, [[maybe_unused]] Leaving leaving) {
  entered = &to;
#if defined(PAGODA_FIBERS_TELL_ASAN)
  left = &from;
  // Without the address the sanitizer frees where it keeps the fiber's variables; otherwise each end would leak megabytes.
  __sanitizer_start_switch_fiber(leaving == Leaving::kForGood ? nullptr : &from.fake_stack_, to.stack_,
                                 to.stack_bytes_);
#elif defined(PAGODA_FIBERS_TELL_TSAN)
  __tsan_switch_to_fiber(to.watched_as_, 0);
#endif
#if defined(__x86_64__)
  pagoda_switch_stack(&from.stack_pointer_, to.stack_pointer_);
#else
  PAGODA_CHECK_EQ(swapcontext(&from.context_, &to.context_), 0);
#endif
  from.arrived();
}

void Fiber::arrived() {
#if defined(PAGODA_FIBERS_TELL_ASAN)
  // The stack that the program began on is known once it was left.
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(fake_stack_, &bottom, &bytes);
  if (left->stack_ == nullptr) {
    left->stack_ = const_cast<std::byte*>(static_cast<const std::byte*>(bottom));
    left->stack_bytes_ = bytes;
  }
#endif
}

void Fiber::entry() {
  Fiber& self = *entered;
  self.arrived();
  self.body_();
  PAGODA_CHECK(false);  // It had to switch away.
}

}  // namespace pagoda::interleave
