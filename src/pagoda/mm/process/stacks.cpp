#include "pagoda/mm/process/process_space.h"

namespace pagoda::mm {

namespace {

constexpr Protection kGuard = with_modifier(Protection::kReadWrite, kProtectionGuard);

}  // namespace

Result<VpnRange> ProcessSpace::reserve_stack(Processor& cpu, ByteCount size, ByteCount commit) {
  // No gap for the region has the same status as no frames, and no wait makes one.
  auto refused = Status::kSuccess;
  const auto made = with_memory(relief(), cpu, [&]() -> Result<VpnRange> {
    const ChangeGuard guard(*this);
    const auto reserved = reserve_locked({.size = size});
    if (!reserved) {
      refused = reserved.error();
      return VpnRange{};
    }
    Vad& vad = **reserved;
    const VpnRange pages = vad.range;
    const Vpn limit = pages.first + pages_of(size - commit);
    auto done = vad.kind->commit(*this, cpu, vad, {limit, pages_of(commit)}, Protection::kReadWrite);
    if (done) done = vad.kind->commit(*this, cpu, vad, {limit - 1_pages, 1_pages}, kGuard);
    if (done) return pages;
    PAGODA_TRY(release_pages(cpu, {&vad, pages}));
    return std::unexpected(done.error());
  });
  if (refused != Status::kSuccess) return fail(refused);
  return made;
}

Result<> ProcessSpace::add_stack(VirtualAddress base, VirtualAddress limit, VirtualAddress top, ByteCount guarantee) {
  const auto is_aligned = [](VirtualAddress va) { return va.value() % kPageBytes == 0; };
  if (!is_aligned(base) || !is_aligned(limit) || !is_aligned(top) || base >= limit || limit > top)
    return fail(Status::kInvalidParameter);
  const LockGuard guard(lock);
  const VpnRange pages{base.vpn(), top.vpn() - base.vpn()};
  static_cast<void>(PAGODA_TRY(region_of(pages)));
  if (!stacks_.add({.pages = pages, .limit = limit.vpn(), .guarantee = pages_of(guarantee)}))
    return fail(Status::kConflictingAddresses);
  return {};
}

Result<> ProcessSpace::remove_stack(VirtualAddress base) {
  const LockGuard guard(lock);
  if (!stacks_.remove(base.vpn())) return fail(Status::kInvalidParameter);
  return {};
}

Result<VirtualAddress> ProcessSpace::stack_limit(VirtualAddress base) {
  const LockGuard guard(lock);
  const Stack* const stack = stacks_.find(base.vpn());
  if (stack == nullptr || stack->pages.first != base.vpn()) return fail(Status::kInvalidParameter);
  return VirtualAddress(stack->limit);
}

std::optional<Vpn> ProcessSpace::next_guard(Vpn page) {
  const Stack* const stack = stacks_.find(page);
  return stack != nullptr ? stack->next_guard(page) : std::nullopt;
}

Status ProcessSpace::guard_hit(Processor& cpu, Vpn page) {
  Stack* const stack = stacks_.find(page);
  if (stack == nullptr) return Status::kGuardPageViolation;
  if (const auto next = stack->next_guard(page)) {
    const VpnRange below{*next, 1_pages};
    const auto region = region_of(below);
    const auto committed = region ? (*region)->kind->commit(*this, cpu, **region, below, kGuard)
                                  : Result<>(std::unexpected(region.error()));
    if (!committed && committed.error() == Status::kNoMemory) return Status::kNoMemory;
    stack->limit = page;
    return committed ? Status::kPageFaultGuardPage : Status::kStackOverflow;
  }
  stack->limit = page;
  return Status::kStackOverflow;
}

}  // namespace pagoda::mm
