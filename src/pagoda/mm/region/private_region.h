// Private memory: pages that belong to one process, demand zero at first. Ordinary, watched for writes, or committed by
// the first touch. Source: reference/nt.md 7.1 to 7.3.
//
// A page's state is in its entry where that is not zero, else in its VAD. So an entry exists for whatever differs from
// the VAD, and the page tables for a call's whole range are made first: after that nothing can fail.
#pragma once

#include "pagoda/mm/region/region_kind.h"

namespace pagoda::mm {

// Which rights private memory may have: any but the write-copy ones, since there is nothing to copy from, or none.
constexpr bool is_allowed_on_private(Protection protection) {
  return base_of(protection) != Protection::kNone ? !is_write_copy(protection) : protection == Protection::kNoAccess;
}

class PrivateRegion : public RegionKind {
 public:
  [[nodiscard]] DefaultRun rights(const Vad& vad, Vpn page) const override;
  [[nodiscard]] Result<PageCount> committed(RegionSpace& space, Processor& cpu, const Vad& vad,
                                            VpnRange pages) const override;
  [[nodiscard]] Result<> may_protect(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                     Protection protection) const override;
  Result<> protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const override;
  Result<> commit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const override;
  Result<> decommit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const override;
  Result<> discard(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const override;
  [[nodiscard]] Result<> may_reset(const Vad& vad) const override;
  [[nodiscard]] Vad child_of(const Vad& vad) const override;
};

const PrivateRegion& private_region();

}  // namespace pagoda::mm
