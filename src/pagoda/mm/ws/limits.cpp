// A space's say in its working set: limits, emptying, locking.
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/space/address_space.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::mm {

namespace {

// Pages of the minimum that may not be locked (reference/nt.md 7.5).
constexpr PageCount kUnlockable{8};

}  // namespace

Result<> AddressSpace::set_limits(Processor& cpu, const WorkingSet::Limits& limits) {
  if (limits.minimum > limits.maximum) return fail(Status::kBadWorkingSetLimit);
  if (limits.minimum > core_.pfns.frames() - core_.tunables.commit_reserve) return fail(Status::kInsufficientResources);
  const LockGuard guard(lock);
  if (limits.minimum < working_set_.locked() + kUnlockable && !working_set_.locked().is_zero())
    return fail(Status::kBadWorkingSetLimit);
  working_set_.set_limits(limits);
  if (working_set_.size() > limits.maximum)
    trim_working_set(*this, cpu, working_set_.size() - limits.maximum, limits.maximum, 0);
  return {};
}

PageCount AddressSpace::empty(Processor& cpu) {
  const LockGuard guard(lock);
  return trim_working_set(*this, cpu, working_set_.size(), 0_pages, 0);
}

Result<> AddressSpace::lock_pages(Processor& cpu, VirtualAddress base, ByteCount size, LockKind kind) {
  const auto pages = pages_covering(base, size);
  if (!pages || pages->last() > user_range().last()) return fail(Status::kInvalidParameter);
  bool was_locked = false;
  for (Vpn page = pages->first; page < pages->end();) {
    {
      const LockGuard guard(lock);
      if (page == pages->first) {
        // The quota first, so that a refusal locks nothing.
        if (working_set_.locked() + pages->count + kUnlockable > working_set_.limits().minimum)
          return fail(Status::kWorkingSetQuota);
        const auto region = region_of(*pages);
        if (!region) return fail(Status::kAccessViolation);
        bool accessible = true;
        for (Vpn at = page; at < pages->end() && accessible; ++at) {
          const PhysicalAddress pte = tables_.find(cpu, at);
          const RawPte raw = pte == PageTables::kNone ? 0 : core_.load(cpu, pte);
          accessible = base_of(current_protection(**region, raw)) != Protection::kNone;
        }
        if (!accessible) return fail(Status::kAccessViolation);
      }
      const PhysicalAddress pte = tables_.find(cpu, page);
      const RawPte raw = pte == PageTables::kNone ? 0 : core_.load(cpu, pte);
      if (PteCodec::is_valid(raw)) {
        const std::uint32_t slot = core_.pfns.entry(core_.codec.frame(raw)).ws_index;
        const Wsle& entry = working_set_[slot];
        was_locked |= kind == LockKind::kInMemory ? entry.is_locked_in_memory() : entry.is_locked_in_ws();
        working_set_.lock(slot, kind);
        ++page;
        continue;
      }
    }
    const machine::PageFault fault{VirtualAddress(page), machine::Access::kRead, machine::Privilege::kUser, false,
                                   false};
    if (const Status status = resolve_fault(*this, cpu, fault); status != Status::kSuccess) return fail(status);
    if (cpu.is_blocked()) return fail(Status::kPending);
  }
  return was_locked ? fail(Status::kWasLocked) : Result<>{};
}

Result<> AddressSpace::unlock_pages(Processor& cpu, VirtualAddress base, ByteCount size, LockKind kind) {
  const auto pages = pages_covering(base, size);
  if (!pages || pages->last() > user_range().last()) return fail(Status::kInvalidParameter);
  const LockGuard guard(lock);
  PageCount locked;
  const auto slot_of = [&](RawPte raw) { return core_.pfns.entry(core_.codec.frame(raw)).ws_index; };
  tables_.for_each(cpu, *pages, [&](Vpn, PhysicalAddress, RawPte raw) {
    if (!PteCodec::is_valid(raw)) return;
    const Wsle& entry = working_set_[slot_of(raw)];
    if (kind == LockKind::kInMemory ? entry.is_locked_in_memory() : entry.is_locked_in_ws()) ++locked;
  });
  if (locked != pages->count) return fail(Status::kNotLocked);
  tables_.for_each(cpu, *pages, [&](Vpn, PhysicalAddress, RawPte raw) { working_set_.unlock(slot_of(raw), kind); });
  return {};
}

}  // namespace pagoda::mm
