#include "pagoda/machine/sim/sim_processor.h"

#include <algorithm>
#include <utility>

namespace pagoda::machine {

template <class Body>
void SimProcessor::with_tlb(Body&& body) {
  if (driving_ == Driving::kOneThread) return body();
  const LockGuard guard(lock_);
  body();
}

// The clock is the driving thread's, which folds in at its next access what others made this processor do.
void SimProcessor::charge_interrupt(Cycles work) {
  if (driving_ == Driving::kOneThread) return charge(work);
  owed_ += work;
}

void SimProcessor::take_shootdown() {
  with_tlb([&] {
    ++counts_.shootdowns_received;
    charge_interrupt(costs_.shootdown);
  });
}

void SimProcessor::do_load_root(Pfn root, Asid asid, OldEntries old) {
  set_root(root, asid);
  with_tlb([&] {
    if (asid == kUntagged || old == OldEntries::kForget) tlb_.invalidate_asid(asid);
    tlb_.load_space(asid);
  });
  if (guest_mmu_ != nullptr) guest_mmu_->root_loaded(*this);
}

void SimProcessor::set_walk_rules(const WalkRules& rules) {
  set_rules(rules);
  with_tlb([&] { tlb_.invalidate_all(); });
  if (guest_mmu_ != nullptr) guest_mmu_->rules_changed(*this);
}

void SimProcessor::count_invalidation() {
  ++counts_.invalidations;
  charge_interrupt(costs_.invalidate);
}

void SimProcessor::invalidate_page(VirtualAddress va, Asid asid) {
  with_tlb([&] {
    count_invalidation();
    tlb_.invalidate_page(va, asid);
  });
  if (guest_mmu_ != nullptr) guest_mmu_->page_invalidated(*this, va, asid);
}

void SimProcessor::invalidate_asid(Asid asid) {
  with_tlb([&] {
    count_invalidation();
    tlb_.invalidate_asid(asid);
  });
  if (guest_mmu_ != nullptr) guest_mmu_->space_invalidated(*this, asid);
}

void SimProcessor::invalidate_all() {
  with_tlb([&] {
    count_invalidation();
    tlb_.invalidate_all();
  });
  if (guest_mmu_ != nullptr) guest_mmu_->all_invalidated(*this);
}

void SimProcessor::invalidate_range(VpnRange pages, Asid asid) {
  with_tlb([&] {
    count_invalidation();
    tlb_.invalidate_range(pages, asid);
  });
  if (guest_mmu_ != nullptr) guest_mmu_->space_invalidated(*this, asid);
}

void SimProcessor::fill_tlb(VirtualAddress va, const Translation& translation) {
  with_tlb([&] { remember(va, translation, translation.dirty ? Access::kWrite : Access::kRead); });
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
  if (std::byte* host = find_entry(va, access, privilege)) return host;
  return translate_slowly(va, access, privilege);
}

inline bool SimProcessor::can_translate(VirtualAddress va) const {
  return paging_.is_canonical(va) && root() != kNoPfn;
}

std::byte* SimProcessor::find_entry(VirtualAddress va, Access access, Privilege privilege) {
  const Tlb::Entry* entry = tlb_.find(va);
  return entry != nullptr && entry->allows(access_right(access, privilege)) ? entry->host(va) : nullptr;
}

std::byte* SimProcessor::find_refilled(VirtualAddress va, Access access, Privilege privilege) {
  return once_ != nullptr ? std::exchange(once_, nullptr) : find_entry(va, access, privilege);
}

// What follows is the way of every fault, and is in one piece where it is used.
[[gnu::always_inline]] inline std::expected<Translation, PageFault> SimProcessor::walk_tables(VirtualAddress va,
                                                                                              Access access,
                                                                                              Privilege privilege) {
  std::uint64_t loads = 0;
  auto walked = guest_mmu_ != nullptr ? guest_mmu_->walk(*this, va, access, privilege, loads)
                                      : walk(physical(), paging_, root(), va, access, privilege, walk_rules(), loads);
  counts_.walk_loads += loads;
  charge(costs_.walk_load * loads);
  return walked;
}

// The handler decides: the access is to be repeated, or fails.
[[gnu::always_inline]] inline Result<> SimProcessor::raise(const PageFault& fault) {
  FaultOutcome outcome = Status::kSuccess;
  if (refill_ == TlbRefill::kHardware) {
    ++counts_.faults;
    charge(costs_.exception);
    outcome = handler().resolve(*this, fault);
  } else {
    ++counts_.refills;
    charge(costs_.refill_exception);
    once_ = nullptr;
    outcome = handler().refill(*this, fault.address, fault.access, fault.privilege);
  }
  if (outcome != Status::kSuccess) {
    once_ = nullptr;
    return fail(outcome);
  }
  if (once_ == nullptr && is_blocked()) return fail(Status::kPending);
  return {};
}

Result<std::byte*> SimProcessor::translate_slowly(VirtualAddress va, Access access, Privilege privilege) {
  if (!can_translate(va)) return fail(Status::kAccessViolation);
  ++counts_.tlb_misses;
  for (;;) {
    if (refill_ == TlbRefill::kSoftware) {
      if (std::byte* host = find_refilled(va, access, privilege)) return host;
      PAGODA_TRY(raise({va, access, privilege}));
    } else {
      const auto walked = walk_tables(va, access, privilege);
      if (walked) return remember(va, *walked, access);
      PAGODA_TRY(raise(walked.error()));
    }
  }
}

template <class Use>
Result<> SimProcessor::with_bytes(VirtualAddress va, Access access, Privilege privilege, Use&& use) {
  if (driving_ == Driving::kThreads) return with_bytes_locked(va, access, privilege, use);
  use(PAGODA_TRY(translate(va, access, privilege)));
  return {};
}

template <class Use>
Result<> SimProcessor::with_bytes_locked(VirtualAddress va, Access access, Privilege privilege, Use&& use) {
  if (!can_translate(va)) return fail(Status::kAccessViolation);
  for (bool first = true;; first = false) {
    PageFault fault{va, access, privilege};
    {
      const LockGuard guard(lock_);
      charge(std::exchange(owed_, Cycles()));
      std::byte* host =
          refill_ == TlbRefill::kSoftware ? find_refilled(va, access, privilege) : find_entry(va, access, privilege);
      if (host == nullptr && first) ++counts_.tlb_misses;
      if (host == nullptr && refill_ == TlbRefill::kHardware) {
        const auto walked = walk_tables(va, access, privilege);
        if (walked)
          host = remember(va, *walked, access);
        else
          fault = walked.error();
      }
      if (host != nullptr) {
        use(host);
        return {};
      }
    }
    PAGODA_TRY(raise(fault));
  }
}

template <class Move>
Result<> SimProcessor::for_each_page(VirtualAddress va, std::size_t bytes, Access access, Privilege privilege,
                                     Move&& move) {
  for (std::size_t done = 0; done < bytes;) {
    const VirtualAddress at = va + ByteCount(done);
    const auto here = std::min<std::size_t>(bytes - done, kPageBytes - at.page_offset());
    PAGODA_TRY(with_bytes(at, access, privilege, [&](std::byte* host) { move(host, done, here); }));
    done += here;
  }
  return {};
}

Result<> SimProcessor::load(VirtualAddress va, std::span<std::byte> into, Privilege privilege) {
  return for_each_page(va, into.size(), Access::kRead, privilege,
                       [&](std::byte* host, std::size_t at, std::size_t n) { copy_shared(into.data() + at, host, n); });
}

Result<> SimProcessor::store(VirtualAddress va, std::span<const std::byte> from, Privilege privilege) {
  return for_each_page(va, from.size(), Access::kWrite, privilege,
                       [&](std::byte* host, std::size_t at, std::size_t n) { copy_shared(host, from.data() + at, n); });
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
  return with_bytes(va, access, privilege, [](std::byte*) {});
}

}  // namespace pagoda::machine
