#include "pagoda/nt/thread.h"

namespace pagoda::nt {

namespace {

// The lowest page, the guarantee, a guard page, and one to use.
constexpr ByteCount kSmallestStack = kPageSize + kStackGuarantee + kPageSize + kPageSize;

ByteCount page_rounded(ByteCount bytes) { return bytes_of(pages_of(bytes)); }

}  // namespace

Thread::Thread(std::shared_ptr<Process> process, const Stack& stack)
    : Object(kType), process_(std::move(process)), stack_(stack) {}

void Thread::begin_running(mm::ProcessSpace& space) {
  const std::lock_guard guard(mutex_);
  // A stack that the program has freed stays unknown.
  if (running_++ == 0)
    known_ = space.add_stack(stack_.allocation_base, stack_.limit, stack_.base, kStackGuarantee).has_value();
}

void Thread::end_running(mm::ProcessSpace& space) {
  const std::lock_guard guard(mutex_);
  if (--running_ > 0 || !known_) return;
  if (const auto limit = space.stack_limit(stack_.allocation_base)) stack_.limit = *limit;
  [[maybe_unused]] const auto removed = space.remove_stack(stack_.allocation_base);
  known_ = false;
}

Result<std::shared_ptr<Thread>> Thread::create(mm::Processor& cpu, const std::shared_ptr<Process>& process,
                                               ByteCount reserve, ByteCount commit) {
  if (reserve > ByteCount(std::uint64_t{1} << 47) || commit > ByteCount(std::uint64_t{1} << 47))
    return fail(Status::kInvalidParameter);
  if (reserve.is_zero()) reserve = kDefaultStackReserve;
  if (commit.is_zero()) commit = kDefaultStackCommit;
  reserve = page_rounded(reserve);
  commit = page_rounded(commit);
  if (reserve < kSmallestStack || commit > reserve - (kSmallestStack - kPageSize))
    return fail(Status::kInvalidParameter);

  const auto use = PAGODA_TRY(process->use_space());
  const auto region = PAGODA_TRY(use.space().reserve_stack(cpu, reserve, commit));
  const VirtualAddress base(region.end());
  return std::make_shared<Thread>(
      process, Stack{.base = base, .limit = base - commit, .allocation_base = VirtualAddress(region.first)});
}

Result<Stack> Thread::stack() const {
  const auto use = PAGODA_TRY(process_->use_space());
  const std::lock_guard guard(mutex_);
  Stack now = stack_;
  if (known_) {
    now.limit = PAGODA_TRY(use.space().stack_limit(stack_.allocation_base));
  }
  return now;
}

}  // namespace pagoda::nt
