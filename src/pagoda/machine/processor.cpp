#include "pagoda/machine/processor.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace pagoda::machine {

Processor::Processor(Machine& machine, unsigned number, PhysicalView physical, TlbGeometry geometry)
    : machine_(machine),
      number_(number),
      physical_(physical),
      cycles_per_us_(machine.costs().cycles_per_us),
      tlb_(geometry) {}

void Processor::advance_to(Time time) {
  PAGODA_DCHECK_NE(time, kNever);
  // The first cycle at which now() >= time.
  const std::uint64_t cycles =
      time.value() / 1000 * cycles_per_us_ + (time.value() % 1000 * cycles_per_us_ + 999) / 1000;
  cycles_ = std::max(cycles_, cycles);
}

void Processor::wait_until(Time time) {
  if (time <= now()) return;
  if (waiting_ == Waiting::kYields) {
    blocked_until_ = std::max(blocked_until_, time);
  } else {
    waited_ += time - now();
    advance_to(time);
  }
}

void Processor::catch_up_with(const Processor& other) {
  PAGODA_DCHECK_EQ(cycles_per_us_, other.cycles_per_us_);
  cycles_ = std::max(cycles_, other.cycles_);
}

void Processor::take_shootdown() {
  ++counts_.shootdowns_received;
  charge(machine_.costs().shootdown);
}

Time Processor::take_blocked_until() { return std::exchange(blocked_until_, Time{}); }

void Processor::load_root(Pfn root, Asid asid) {
  PAGODA_DCHECK(asid != kGlobalAsid);
  root_ = root;
  asid_ = asid;
  if (asid == kUntagged) tlb_.invalidate_asid(asid);
  if (guest_mmu_ != nullptr) guest_mmu_->root_loaded(*this);
}

void Processor::set_walk_rules(const WalkRules& rules) {
  rules_ = rules;
  tlb_.invalidate_all();
  if (guest_mmu_ != nullptr) guest_mmu_->rules_changed(*this);
}

void Processor::invalidate_page(VirtualAddress va, Asid asid) {
  ++counts_.invalidations;
  charge(machine_.costs().invalidate);
  tlb_.invalidate_page(va, asid);
  if (guest_mmu_ != nullptr) guest_mmu_->page_invalidated(*this, va, asid);
}

void Processor::invalidate_asid(Asid asid) {
  ++counts_.invalidations;
  charge(machine_.costs().invalidate);
  tlb_.invalidate_asid(asid);
  if (guest_mmu_ != nullptr) guest_mmu_->space_invalidated(*this, asid);
}

void Processor::invalidate_all() {
  ++counts_.invalidations;
  charge(machine_.costs().invalidate);
  tlb_.invalidate_all();
  if (guest_mmu_ != nullptr) guest_mmu_->all_invalidated(*this);
}

void Processor::invalidate_range(VpnRange pages, Asid asid) {
  ++counts_.invalidations;
  charge(machine_.costs().invalidate);
  tlb_.invalidate_range(pages, asid);
  if (guest_mmu_ != nullptr) guest_mmu_->space_invalidated(*this, asid);
}

void Processor::fill_tlb(VirtualAddress va, const Translation& translation) {
  remember(va, translation, translation.dirty ? Access::kWrite : Access::kRead);
}

std::byte* Processor::remember(VirtualAddress va, const Translation& translation, Access use) {
  const TlbBytes page = physical_.bytes_for_tlb(translation.frame, use, va, asid_);
  if (page.keep == TlbBytes::Keep::kOnce) [[unlikely]]
    return once_ = page.bytes + va.page_offset();
  Translation kept = translation;
  // A frame that was reached for reading may be one that the host shares: the first write has to ask again.
  if (use != Access::kWrite && !physical_.is_contiguous()) kept.dirty = false;
  return tlb_.insert(va, asid_, kept, page.bytes, rules_.write_protect, page.order).host(va);
}

Result<std::byte*> Processor::translate(VirtualAddress va, Access access, Privilege privilege) {
  const Tlb::Entry* entry = tlb_.find(va, asid_);
  if (entry != nullptr && entry->allows(Tlb::right(access, privilege))) return entry->host(va);
  return translate_slowly(va, access, privilege);
}

Result<std::byte*> Processor::translate_slowly(VirtualAddress va, Access access, Privilege privilege) {
  const PagingMode& mode = machine_.paging();
  const CostModel& costs = machine_.costs();
  if (!mode.is_canonical(va) || root_ == kNoPfn) return fail(Status::kAccessViolation);
  ++counts_.tlb_misses;
  for (;;) {
    FaultOutcome outcome = Status::kSuccess;
    if (machine_.refill() == TlbRefill::kHardware) {
      std::uint64_t loads = 0;
      const auto walked = guest_mmu_ != nullptr ? guest_mmu_->walk(*this, va, access, privilege, loads)
                                                : walk(physical_, mode, root_, va, access, privilege, rules_, loads);
      counts_.walk_loads += loads;
      charge(costs.walk_load * loads);
      if (walked) return remember(va, *walked, access);
      ++counts_.faults;
      charge(costs.exception);
      PAGODA_CHECK(handler_ != nullptr);
      outcome = handler_->resolve(*this, walked.error());
    } else {
      const Tlb::Entry* entry = tlb_.find(va, asid_);
      if (entry != nullptr && entry->allows(Tlb::right(access, privilege))) return entry->host(va);
      ++counts_.refills;
      charge(costs.refill_exception);
      PAGODA_CHECK(handler_ != nullptr);
      once_ = nullptr;
      outcome = handler_->refill(*this, va, access, privilege);
      if (outcome == Status::kSuccess && once_ != nullptr) return once_;
    }
    if (outcome != Status::kSuccess) return fail(outcome);
    if (blocked_until_ != Time{}) return fail(Status::kPending);
  }
}

template <class Move>
Result<> Processor::for_each_page(VirtualAddress va, std::size_t bytes, Access access, Privilege privilege,
                                  Move&& move) {
  for (std::size_t done = 0; done < bytes;) {
    const VirtualAddress at = va + ByteCount(done);
    const auto here = std::min<std::size_t>(bytes - done, kPageBytes - at.page_offset());
    const auto host = translate(at, access, privilege);
    if (!host) return std::unexpected(host.error());
    move(*host, done, here);
    done += here;
  }
  return {};
}

Result<> Processor::load(VirtualAddress va, std::span<std::byte> into, Privilege privilege) {
  return for_each_page(va, into.size(), Access::kRead, privilege,
                       [&](std::byte* host, std::size_t at, std::size_t n) { std::memcpy(into.data() + at, host, n); });
}

Result<> Processor::store(VirtualAddress va, std::span<const std::byte> from, Privilege privilege) {
  return for_each_page(va, from.size(), Access::kWrite, privilege,
                       [&](std::byte* host, std::size_t at, std::size_t n) { std::memcpy(host, from.data() + at, n); });
}

Status Processor::load_slowly(VirtualAddress va, std::span<std::byte> into, Privilege privilege) {
  const auto loaded = load(va, into, privilege);
  return loaded ? Status::kSuccess : loaded.error();
}

Status Processor::store_slowly(VirtualAddress va, std::span<const std::byte> from, Privilege privilege) {
  const auto stored = store(va, from, privilege);
  return stored ? Status::kSuccess : stored.error();
}

Result<> Processor::fetch(VirtualAddress va, Privilege privilege) { return touch(va, Access::kExecute, privilege); }

Result<> Processor::touch(VirtualAddress va, Access access, Privilege privilege) {
  PAGODA_TRY(translate(va, access, privilege));
  return {};
}

}  // namespace pagoda::machine
