#include "pagoda/machine/sim/sim_processor.h"

#include <algorithm>
#include <cstring>

namespace pagoda::machine {

void SimProcessor::take_shootdown() {
  ++counts_.shootdowns_received;
  charge(machine().costs().shootdown);
}

void SimProcessor::do_load_root(Pfn root, Asid asid, OldEntries old) {
  set_root(root, asid);
  if (asid == kUntagged || old == OldEntries::kForget) tlb_.invalidate_asid(asid);
  tlb_.load_space(asid);
  if (guest_mmu_ != nullptr) guest_mmu_->root_loaded(*this);
}

void SimProcessor::set_walk_rules(const WalkRules& rules) {
  set_rules(rules);
  tlb_.invalidate_all();
  if (guest_mmu_ != nullptr) guest_mmu_->rules_changed(*this);
}

void SimProcessor::count_invalidation() {
  ++counts_.invalidations;
  charge(machine().costs().invalidate);
}

void SimProcessor::invalidate_page(VirtualAddress va, Asid asid) {
  count_invalidation();
  tlb_.invalidate_page(va, asid);
  if (guest_mmu_ != nullptr) guest_mmu_->page_invalidated(*this, va, asid);
}

void SimProcessor::invalidate_asid(Asid asid) {
  count_invalidation();
  tlb_.invalidate_asid(asid);
  if (guest_mmu_ != nullptr) guest_mmu_->space_invalidated(*this, asid);
}

void SimProcessor::invalidate_all() {
  count_invalidation();
  tlb_.invalidate_all();
  if (guest_mmu_ != nullptr) guest_mmu_->all_invalidated(*this);
}

void SimProcessor::invalidate_range(VpnRange pages, Asid asid) {
  count_invalidation();
  tlb_.invalidate_range(pages, asid);
  if (guest_mmu_ != nullptr) guest_mmu_->space_invalidated(*this, asid);
}

void SimProcessor::fill_tlb(VirtualAddress va, const Translation& translation) {
  remember(va, translation, translation.dirty ? Access::kWrite : Access::kRead);
}

std::byte* SimProcessor::remember(VirtualAddress va, const Translation& translation, Access use) {
  const TlbBytes page = physical().bytes_for_tlb(translation.frame, use, va, asid());
  if (page.keep == TlbBytes::Keep::kOnce) [[unlikely]]
    return once_ = page.bytes + va.page_offset();
  Translation kept = translation;
  // A frame that was reached for reading may be one that the host shares: the first write has to ask again.
  if (use != Access::kWrite && !physical().is_contiguous()) kept.dirty = false;
  return tlb_.insert(va, asid(), kept, page.bytes, walk_rules().write_protect, page.order).host(va);
}

Result<std::byte*> SimProcessor::translate(VirtualAddress va, Access access, Privilege privilege) {
  const Tlb::Entry* entry = tlb_.find(va);
  if (entry != nullptr && entry->allows(access_right(access, privilege))) return entry->host(va);
  return translate_slowly(va, access, privilege);
}

Result<std::byte*> SimProcessor::translate_slowly(VirtualAddress va, Access access, Privilege privilege) {
  const PagingMode& mode = machine().paging();
  const CostModel& costs = machine().costs();
  if (!mode.is_canonical(va) || root() == kNoPfn) return fail(Status::kAccessViolation);
  ++counts_.tlb_misses;
  for (;;) {
    FaultOutcome outcome = Status::kSuccess;
    if (machine().refill() == TlbRefill::kHardware) {
      std::uint64_t loads = 0;
      const auto walked = guest_mmu_ != nullptr
                              ? guest_mmu_->walk(*this, va, access, privilege, loads)
                              : walk(physical(), mode, root(), va, access, privilege, walk_rules(), loads);
      counts_.walk_loads += loads;
      charge(costs.walk_load * loads);
      if (walked) return remember(va, *walked, access);
      ++counts_.faults;
      charge(costs.exception);
      outcome = handler().resolve(*this, walked.error());
    } else {
      const Tlb::Entry* entry = tlb_.find(va);
      if (entry != nullptr && entry->allows(access_right(access, privilege))) return entry->host(va);
      ++counts_.refills;
      charge(costs.refill_exception);
      once_ = nullptr;
      outcome = handler().refill(*this, va, access, privilege);
      if (outcome == Status::kSuccess && once_ != nullptr) return once_;
    }
    if (outcome != Status::kSuccess) return fail(outcome);
    if (is_blocked()) return fail(Status::kPending);
  }
}

template <class Move>
Result<> SimProcessor::for_each_page(VirtualAddress va, std::size_t bytes, Access access, Privilege privilege,
                                     Move&& move) {
  for (std::size_t done = 0; done < bytes;) {
    const VirtualAddress at = va + ByteCount(done);
    const auto here = std::min<std::size_t>(bytes - done, kPageBytes - at.page_offset());
    move(PAGODA_TRY(translate(at, access, privilege)), done, here);
    done += here;
  }
  return {};
}

Result<> SimProcessor::load(VirtualAddress va, std::span<std::byte> into, Privilege privilege) {
  return for_each_page(va, into.size(), Access::kRead, privilege,
                       [&](std::byte* host, std::size_t at, std::size_t n) { std::memcpy(into.data() + at, host, n); });
}

Result<> SimProcessor::store(VirtualAddress va, std::span<const std::byte> from, Privilege privilege) {
  return for_each_page(va, from.size(), Access::kWrite, privilege,
                       [&](std::byte* host, std::size_t at, std::size_t n) { std::memcpy(host, from.data() + at, n); });
}

Status SimProcessor::load_slowly(VirtualAddress va, std::span<std::byte> into, Privilege privilege) {
  const auto loaded = load(va, into, privilege);
  return loaded ? Status::kSuccess : loaded.error();
}

Status SimProcessor::store_slowly(VirtualAddress va, std::span<const std::byte> from, Privilege privilege) {
  const auto stored = store(va, from, privilege);
  return stored ? Status::kSuccess : stored.error();
}

Result<> SimProcessor::fetch(VirtualAddress va, Privilege privilege) {
  return touch_page(va, Access::kExecute, privilege);
}

Result<> SimProcessor::touch_page(VirtualAddress va, Access access, Privilege privilege) {
  static_cast<void>(PAGODA_TRY(translate(va, access, privilege)));
  return {};
}

}  // namespace pagoda::machine
