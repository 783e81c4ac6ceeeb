// Pages locked in a working set: each is charged to resident available once, with the tables that lead to it
// (backing/kept.h).
#include "pagoda/mm/backing/kept.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

Result<> AddressSpace::lock_page(const Processor& cpu, std::uint32_t slot, LockKind kind) {
  Wsle& wsle = working_set_[slot];
  if (!wsle.is_locked()) {
    const LockGuard guard(core_.pfns.lock);
    // What is too much to lock is the caller's quota (reference/nt-kernel-facts.md, "Lock limit").
    const auto refused = [](Status status) {
      return fail(status == Status::kInsufficientResources ? Status::kWorkingSetQuota : status);
    };
    const auto tables =
        regions_.region_at(wsle.page())->tables_on_demand ? TablePromise::kNone : TablePromise::kByRegion;
    if (const auto kept = keep_resident(core_, wsle.pte().pfn(), 1_pages, tables); !kept) return refused(kept.error());
    if (wsle.is_shared()) {
      const Pfn frame = core_.codec.frame(core_.load(cpu, wsle.pte()));
      const bool of_file = core_.pfns.entry(frame).maps_file();
      auto kept = keep_resident(core_, core_.pfns.entry(frame).containing_page(), 0_pages);
      if (kept && of_file) {
        kept = core_.commit.charge(1_pages);
        if (!kept) drop_resident(core_, core_.pfns.entry(frame).containing_page(), 0_pages);
      }
      if (!kept) {
        drop_resident(core_, wsle.pte().pfn(), 1_pages);
        return refused(kept.error());
      }
      wsle.set_charged(of_file);
    }
  }
  working_set_.lock(slot, kind);
  return {};
}

void AddressSpace::unlock_page(const Processor& cpu, std::uint32_t slot, LockKind kind) {
  const Wsle& wsle = working_set_[slot];
  if (!wsle.is_locked(kind == LockKind::kInMemory ? LockKind::kInWorkingSet : LockKind::kInMemory))
    let_go_locked(cpu, slot);
  working_set_.unlock(slot, kind);
}

void AddressSpace::let_go_locked(const Processor& cpu, std::uint32_t slot) {
  const Wsle& wsle = working_set_[slot];
  const LockGuard guard(core_.pfns.lock);
  if (wsle.is_shared()) let_go_prototype(slot, core_.codec.frame(core_.load(cpu, wsle.pte())));
  drop_resident(core_, wsle.pte().pfn(), 1_pages);
}

void AddressSpace::let_go_prototype(std::uint32_t slot, Pfn frame) {
  core_.pfns.lock.assert_held();
  Wsle& wsle = working_set_[slot];
  if (!wsle.is_locked()) return;
  if (wsle.is_charged()) core_.commit.give_back(1_pages);
  wsle.set_charged(false);
  drop_resident(core_, core_.pfns.entry(frame).containing_page(), 0_pages);
}

}  // namespace pagoda::mm
