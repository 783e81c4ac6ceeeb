#include "pagoda/mm/process/process_space.h"

namespace pagoda::mm {

namespace {

// The highest VAD ends 64 KB below the highest user address, the lowest begins at 64 KB (reference/nt.md section 1).
VpnRange usable(VirtualAddress highest) {
  const Vpn first(kAllocationGranularity >> kPageShift);
  const Vpn last = (highest - ByteCount(kAllocationGranularity)).vpn();
  return {first, last - first + 1_pages};
}

}  // namespace

std::optional<VpnRange> pages_covering(VirtualAddress base, ByteCount size) {
  const std::uint64_t last = base.value() + size.value() - 1;
  if (size.is_zero() || last < base.value()) return std::nullopt;
  const Vpn first = base.vpn();
  return VpnRange{first, VirtualAddress(last).vpn() - first + 1_pages};
}

ProcessSpace::ProcessSpace(Core& core, ShortageRelief& relief, Sections& sections, const Creation& creation)
    : RegionSpace(core, relief, sections,
                  {.id = creation.id,
                   .root = creation.root,
                   .asid = creation.asid,
                   .range = usable(highest_user_address(core.mode, creation.range)),
                   .highest = highest_user_address(core.mode, creation.range)},
                  creation.limits),
      domain_(creation.domain.value_or(own_domain(creation.id))),
      user_pages_(*this) {}

Result<> ProcessSpace::set_sharing_domain(SharingDomain domain) {
  const LockGuard guard(lock);
  if (is_forked_ && domain != domain_) return fail(Status::kInvalidParameter);
  domain_ = domain;
  return {};
}

PageCount ProcessSpace::total_charge() const { return commit_charge() + table_charge() + user_pages_.frames().count(); }

void ProcessSpace::tear_down(Processor& cpu) {
  const ChangeGuard guard(*this);
  while (Vad* const vad = vads_.first()) {
    vad->kind->unmap(*this, cpu, *vad, vad->range);
    const Vad was = *vad;
    erase_vad(*vad);
    was.kind->removed(*this, cpu, was);
  }
  user_pages_.free_all();
  PAGODA_CHECK_EQ(working_set_.size(), 0_pages);
  PAGODA_CHECK_EQ(commit_charge(), 0_pages);
}

}  // namespace pagoda::mm
