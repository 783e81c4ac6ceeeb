#include "pagoda/hv/hypervisor_view.h"

#include <algorithm>

namespace pagoda::hv {

using machine::Access;

HypervisorView::HypervisorView(SecondLevel& second_level, WorldSwitch& world, const PartitionConfig& config,
                               PartitionCounts& counts)
    : second_level_(second_level),
      world_(world),
      counts_(counts),
      host_memory_(second_level.memory().host_memory()),
      hardware_walks_(config.mmu == MmuKind::kNested),
      may_be_large_(hardware_walks_ && config.backing == Backing::kPinned),
      tlb_(world.guest(), host_memory_, second_level.memory().host(), second_level.memory().map().end(), config.tlb),
      nothing_(2 * kPageBytes),
      nothing_page_(nothing_.data() +
                    (kPageBytes - reinterpret_cast<std::uintptr_t>(nothing_.data()) % kPageBytes) % kPageBytes) {
  second_level_.attach(tlb_);
}

HypervisorView::~HypervisorView() { second_level_.detach(tlb_); }

// Ones, again: what was written there is lost.
std::byte* HypervisorView::nothing() {
  std::fill_n(nothing_page_, kPageBytes, std::byte{0xFF});
  return nothing_page_;
}

std::byte* HypervisorView::reach_slowly(Gfn frame, Access use) {
  // Rights of guest-physical memory do not tell code from data.
  const Access data = use == Access::kWrite ? Access::kWrite : Access::kRead;
  if (!tlb_.names(frame)) {
    ++counts_.wild_accesses;
    return nothing();
  }
  for (;;) {
    {
      // From the walk to the entry the host takes nothing away.
      const LockGuard guard(second_level_.memory().vmmem().lock);
      std::uint64_t loads = 0;
      const auto walked = second_level_.slat().walk(frame, data, loads);
      if (hardware_walks_) {
        counts_.slat_loads += loads;
        world_.guest().charge(world_.guest().machine().costs().walk_load * loads);
      }
      if (walked) return tlb_.insert(frame, *walked, host_memory_.bytes(walked->frame, data).data());
    }
    if (!second_level_.handle_violation(world_, frame, data)) return nothing();
  }
}

machine::TlbBytes HypervisorView::reach_for_tlb(Gfn frame, Access use, VirtualAddress va, machine::Asid asid) {
  std::byte* const bytes = reach(frame, use);
  if (is_nothing(bytes)) [[unlikely]]
    return {.bytes = bytes, .keep = machine::TlbBytes::Keep::kOnce};
  tlb_.note_translation(frame, va, asid);
  return {.bytes = bytes, .order = order_around(frame)};
}

// A large page of the guest's in a large page of the host's is one entry of the TLB. Shadow entries are small.
machine::FrameOrder HypervisorView::order_around(Gfn frame) const {
  const bool large = may_be_large_ && (second_level_.slat().entry(frame) & machine::pte_bits::kLarge) != 0;
  return large ? machine::FrameOrder::kContiguous : machine::FrameOrder::kScattered;
}

}  // namespace pagoda::hv
