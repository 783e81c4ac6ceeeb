#include "pagoda/nt/thread.h"

#include <algorithm>

#include "pagoda/mm/pte/protection.h"

namespace pagoda::nt {

namespace {

constexpr mm::Protection kGuardPage = mm::with_modifier(mm::Protection::kReadWrite, mm::kProtectionGuard);
// The lowest page, the guarantee, a guard page, and one to use.
constexpr ByteCount kSmallestStack = kPageSize + kStackGuarantee + kPageSize + kPageSize;

ByteCount page_rounded(ByteCount bytes) { return bytes_of(pages_of(bytes)); }

}  // namespace

Thread::Thread(std::shared_ptr<Process> process, const Stack& stack)
    : Object(kType), process_(std::move(process)), lock_(LockRank(LockClass::kObjects, 0)), stack_(stack) {}

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

  const auto use = process->use_space();
  if (!use) return fail(use.error());
  mm::AddressSpace& space = use->space();
  const auto region = space.reserve({.size = reserve});
  if (!region) return fail(region.error());
  const Stack stack{.base = VirtualAddress(region->end()),
                    .limit = VirtualAddress(region->end()) - commit,
                    .allocation_base = VirtualAddress(region->first)};
  auto done = space.commit(cpu, stack.limit, commit, mm::Protection::kReadWrite);
  if (done) done = space.commit(cpu, stack.limit - kPageSize, kPageSize, kGuardPage);
  if (!done) {
    static_cast<void>(space.release(cpu, stack.allocation_base, ByteCount()));
    return fail(done.error());
  }
  process->virtual_size_grew(reserve);
  return std::make_shared<Thread>(process, stack);
}

Stack Thread::stack() const {
  const LockGuard guard(lock_);
  return stack_;
}

bool Thread::is_on_stack(VirtualAddress address) const {
  const LockGuard guard(lock_);
  return address >= stack_.allocation_base && address < stack_.base;
}

Status Thread::grow_stack(mm::Processor& cpu, mm::AddressSpace& space, VirtualAddress hit) {
  // Only its own thread makes a stack grow, so that nothing moves between these steps.
  const Stack now = stack();
  const VirtualAddress page = hit.page_base();
  if (page < now.allocation_base || page >= now.limit) return Status::kGuardPageViolation;
  const bool has_room = page > now.allocation_base + kPageSize + kStackGuarantee;
  const bool grew = has_room && space.commit(cpu, page - kPageSize, kPageSize, kGuardPage).has_value();
  const LockGuard guard(lock_);
  stack_.limit = page;
  return grew ? Status::kPageFaultGuardPage : Status::kStackOverflow;
}

}  // namespace pagoda::nt
