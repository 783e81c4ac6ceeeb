#include "pagoda/nt/thread.h"

#include "pagoda/mm/pte/protection.h"

namespace pagoda::nt {

namespace {

constexpr mm::Protection kGuardPage = mm::with_modifier(mm::Protection::kReadWrite, mm::kProtectionGuard);
// The lowest page, the guarantee, a guard page, and one to use.
constexpr ByteCount kSmallestStack = kPageSize + kStackGuarantee + kPageSize + kPageSize;

ByteCount page_rounded(ByteCount bytes) { return bytes_of(pages_of(bytes)); }

}  // namespace

Thread::Thread(std::shared_ptr<Process> process, VirtualAddress stack_base, VirtualAddress allocation_base)
    : Object(kType), process_(std::move(process)), stack_base_(stack_base), allocation_base_(allocation_base) {}

// A process that has ended takes its stacks with it.
Thread::~Thread() {
  if (const auto use = process_->use_space()) static_cast<void>(use->space().remove_stack(allocation_base_));
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

  const auto use = process->use_space();
  if (!use) return fail(use.error());
  mm::AddressSpace& space = use->space();
  const auto region = space.reserve({.size = reserve});
  if (!region) return fail(region.error());
  const VirtualAddress base(region->end());
  const VirtualAddress allocation_base(region->first);
  const VirtualAddress limit = base - commit;
  auto done = space.commit(cpu, limit, commit, mm::Protection::kReadWrite);
  if (done) done = space.commit(cpu, limit - kPageSize, kPageSize, kGuardPage);
  if (done) done = space.add_stack(allocation_base, limit, base, kStackGuarantee);
  if (!done) {
    static_cast<void>(space.release(cpu, allocation_base, ByteCount()));
    return fail(done.error());
  }
  process->virtual_size_grew(reserve);
  return std::make_shared<Thread>(process, base, allocation_base);
}

Result<Stack> Thread::stack() const {
  const auto use = process_->use_space();
  if (!use) return fail(use.error());
  const auto limit = use->space().stack_limit(allocation_base_);
  if (!limit) return fail(limit.error());
  return Stack{.base = stack_base_, .limit = *limit, .allocation_base = allocation_base_};
}

}  // namespace pagoda::nt
