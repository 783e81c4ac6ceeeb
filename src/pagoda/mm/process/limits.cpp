// A space's say in its working set: limits, emptying, locking.
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/process/process_space.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::mm {

namespace {

// Pages of the minimum that may not be locked (reference/nt.md 7.5).
constexpr PageCount kUnlockable{8};

}  // namespace

Result<> ProcessSpace::set_limits(Processor& cpu, const WorkingSet::Limits& limits) {
  return change_limits(cpu, [&](const WorkingSet::Limits&) -> Result<WorkingSet::Limits> { return limits; });
}

Result<> ProcessSpace::change_limits(Processor& cpu, const LimitsChange& change) {
  const LockGuard guard(lock);
  const WorkingSet::Limits limits = PAGODA_TRY(change(working_set_.limits()));
  if (limits.minimum > limits.maximum) return fail(Status::kBadWorkingSetLimit);
  // One that could not be locked.
  if (limits.minimum > working_set_.limits().minimum &&
      limits.minimum > core_.resident.available() + working_set_.locked())
    return fail(Status::kInsufficientResources);
  if (limits.minimum < working_set_.locked() + kUnlockable && !working_set_.locked().is_zero())
    return fail(Status::kBadWorkingSetLimit);
  working_set_.set_limits(limits);
  if (working_set_.size() > limits.maximum)
    trim_working_set(*this, cpu, working_set_.size() - limits.maximum, limits.maximum, 0);
  return {};
}

PageCount ProcessSpace::empty_working_set(Processor& cpu) {
  const LockGuard guard(lock);
  return trim_working_set(*this, cpu, working_set_.size(), 0_pages, 0);
}

// In the order of reference/nt.md 7.5.
Result<> ProcessSpace::may_lock(Processor& cpu, VpnRange pages) {
  const auto region = region_of(pages);
  if (!region) return fail(Status::kAccessViolation);
  if ((*region)->kind->residence() != RegionKind::Residence::kPaged) return fail(Status::kIncompatibleFileMap);
  const Vad& vad = **region;
  bool accessible = true;
  PageCount locked;
  Vpn next = pages.first;
  // Pages whose entry is zero, or has no page table: run by run.
  const auto by_default = [&](Vpn to) {
    while (accessible && next < to) {
      const DefaultRun run = vad.kind->rights(vad, next);
      accessible = base_of(run.protection) != Protection::kNone;
      next = std::min(run.end, to);
    }
  };
  const Status status = for_each_entry(cpu, pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
    lock.assert_held();
    if (raw == 0) return true;
    by_default(page);
    accessible = accessible && base_of(current_protection(cpu, vad, page, raw)) != Protection::kNone;
    next = page + 1_pages;
    const std::uint32_t slot = working_set_slot(page, raw);
    if (slot != WorkingSet::kNoSlot && working_set_[slot].is_locked()) ++locked;
    return accessible;
  });
  if (status != Status::kSuccess) return fail(status);
  by_default(pages.end());
  if (!accessible) return fail(Status::kAccessViolation);
  const PageCount new_locks = pages.count - locked;
  if (working_set_.locked() + new_locks + kUnlockable > working_set_.limits().minimum ||
      new_locks > core_.resident.available())
    return fail(Status::kWorkingSetQuota);
  return {};
}

Result<> ProcessSpace::lock_pages(Processor& cpu, VirtualAddress base, ByteCount size, LockKind kind) {
  const auto pages = pages_covering(base, size);
  if (!pages || pages->last() > range().last()) return fail(Status::kInvalidParameter);
  {
    const ChangeGuard guard(*this);
    PAGODA_TRY(may_lock(cpu, *pages));
  }
  bool was_locked = false;
  std::vector<Vpn> newly_locked;
  for (Vpn page = pages->first; page < pages->end();) {
    Status status = Status::kSuccess;
    {
      const LockGuard guard(lock);
      // What was true of all pages may no longer be true of this one: other threads have not stood still.
      const Vad* const vad = vads_.find(page);
      const std::uint32_t slot = working_set_slot(page, tables_.read(cpu, page));
      if (vad == nullptr || vad->kind->residence() != RegionKind::Residence::kPaged) {
        status = Status::kAccessViolation;
      } else if (slot != WorkingSet::kNoSlot && working_set_[slot].is_locked(kind)) {
        was_locked = true;
        ++page;
        continue;
      } else if (slot != WorkingSet::kNoSlot) {
        const PageCount after = working_set_.locked() + (working_set_[slot].is_locked() ? 0_pages : 1_pages);
        const auto locked_now = after + kUnlockable <= working_set_.limits().minimum ? lock_page(cpu, slot, kind)
                                                                                     : fail(Status::kWorkingSetQuota);
        if (locked_now) {
          newly_locked.push_back(page);
          ++page;
          continue;
        }
        status = locked_now.error();
      }
    }
    if (status == Status::kSuccess) {
      const machine::PageFault fault{VirtualAddress(page), machine::Access::kRead, machine::Privilege::kUser, false,
                                     false};
      status = resolve_fault(*this, cpu, fault);
      if (status == Status::kSuccess && cpu.is_blocked()) status = Status::kPending;
      if (status == Status::kSuccess) continue;
    }
    const LockGuard guard(lock);
    for (const Vpn locked : newly_locked) {
      const std::uint32_t slot = working_set_slot(locked, tables_.read(cpu, locked));
      if (slot != WorkingSet::kNoSlot && working_set_[slot].is_locked(kind)) unlock_page(cpu, slot, kind);
    }
    return fail(status);
  }
  return was_locked ? fail(Status::kWasLocked) : Result<>{};
}

Result<> ProcessSpace::unlock_pages(Processor& cpu, VirtualAddress base, ByteCount size, LockKind kind) {
  const auto pages = pages_covering(base, size);
  if (!pages || pages->last() > range().last()) return fail(Status::kInvalidParameter);
  if (unlock_if_all_locked(cpu, *pages, kind)) return {};
  trim_range(cpu, *pages);
  return fail(Status::kNotLocked);
}

bool ProcessSpace::unlock_if_all_locked(Processor& cpu, VpnRange pages, LockKind kind) {
  const LockGuard guard(lock);
  Vpn next = pages.first;  // All before are locked.
  tables_.for_each_in_memory(cpu, pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
    lock.assert_held();
    const std::uint32_t slot = working_set_slot(page, raw);
    if (page != next || slot == WorkingSet::kNoSlot || !working_set_[slot].is_locked(kind)) return false;
    ++next;
    return true;
  });
  if (next != pages.end()) return false;
  tables_.for_each_in_memory(cpu, pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
    lock.assert_held();
    unlock_page(cpu, working_set_slot(page, raw), kind);
  });
  return true;
}

}  // namespace pagoda::mm
