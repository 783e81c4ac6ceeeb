// What a second level over the page tables asks before and after a fault: which pages of a range are resident and how
// they are mapped, and what bringing another one in would cost.
//
// Locking: the space's lock; what asks for available frames takes the PFN lock too.
#pragma once

#include <cstdint>
#include <optional>

#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

// A page that is resident, as its PTE says.
struct ResidentPage {
  Pfn frame;
  bool writable = false;  // And known to be dirty, so that a first write faults as any other does.
  bool is_large = false;  // A piece of a large page.
};

// Calls `visit(page, resident)` for each resident page of the range, in order.
template <class Visit>
void for_each_resident(const AddressSpace& space, const Processor& cpu, VpnRange pages, Visit&& visit)
    PAGODA_REQUIRES(space.lock) {
  const Core& core = space.core();
  RawPte above = 0;  // The entry for the page table, or the large page, that the page is in.
  for (Vpn page = pages.first; page < pages.end(); ++page) {
    const VirtualAddress va(page);
    if (page == pages.first || core.mode.index(va, 1) == 0) {
      const PhysicalAddress entry = space.tables().find_large(cpu, page);
      above = entry != PageTables::kNone ? core.load(cpu, entry) : 0;
    }
    if (!PteCodec::is_valid(above)) continue;
    if (PageTables::is_large(above, PageTables::kLargeLevel)) {
      const PageCount in_large(core.mode.index(va, 1));
      visit(page, ResidentPage{.frame = core.codec.frame(above) + in_large,
                               .writable = (above & machine::pte_bits::kWrite) != 0,
                               .is_large = true});
      continue;
    }
    const RawPte raw = core.load(cpu, core.mode.entry_address(core.mode.frame(above), va, 1));
    if (!PteCodec::is_valid(raw)) continue;
    visit(page, ResidentPage{.frame = core.codec.frame(raw),
                             .writable = PteCodec::is_dirty(raw) && (raw & machine::pte_bits::kWrite) != 0});
  }
}

// Whether a private page is in a paging file and nowhere else: a fault on it costs a transfer. Takes the PFN lock.
[[nodiscard]] inline bool is_paged_out(const AddressSpace& space, const Processor& cpu, Vpn page)
    PAGODA_REQUIRES(space.lock) {
  const Core& core = space.core();
  const LockGuard guard(core.pfns.lock);
  const RawPte raw = space.tables().peek(cpu, page);
  return core.codec.has_slot(raw) && !core.is_compressed(raw);
}

// What a fault on a page that no access has asked for yet would cost.
enum class PrefetchCost : std::uint8_t {
  kZeros,      // A frame: the page is zero.
  kSoftFault,  // Nothing: the page is in transition and not being read.
  kMore,       // A transfer, perhaps; or the page is mapped already.
  kOthers,     // Memory is not plentiful: others would lose their pages.
};
// The cost while `margin` frames beyond Tunables::plenty_free stay available. Takes the PFN lock.
[[nodiscard]] inline PrefetchCost prefetch_cost(const AddressSpace& space, const Processor& cpu, Vpn page,
                                                PageCount margin) PAGODA_REQUIRES(space.lock) {
  const Core& core = space.core();
  const LockGuard guard(core.pfns.lock);
  if (core.pfns.available() < core.tunables.plenty_free + margin) return PrefetchCost::kOthers;
  const std::optional<RawPte> raw = space.tables().read_if_in(cpu, page);
  if (!raw) return PrefetchCost::kMore;
  switch (core.codec.kind(*raw)) {
    case PteKind::kZero:
    case PteKind::kDemandZero:
      return PrefetchCost::kZeros;
    case PteKind::kTransition:
      return core.pfns.entry(core.codec.frame(*raw)).read_in_progress ? PrefetchCost::kMore : PrefetchCost::kSoftFault;
    default:
      return PrefetchCost::kMore;
  }
}

}  // namespace pagoda::mm
