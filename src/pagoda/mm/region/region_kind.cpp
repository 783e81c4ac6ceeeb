#include "pagoda/mm/region/region_kind.h"

#include <algorithm>

#include "pagoda/mm/region/clone_entries.h"
#include "pagoda/mm/region/region_space.h"

namespace pagoda::mm {

DefaultRun RegionKind::default_run(const RegionSpace& /*space*/, const Processor& /*cpu*/, const Vad& vad,
                                   VpnRange pages) const {
  return rights(vad, pages.first);
}

Protection RegionKind::segment_rights(const Vad& vad, Vpn /*page*/) const { return vad.protection; }

Result<PageCount> RegionKind::committed(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages) const {
  PageCount committed;
  for (Vpn page = pages.first; page < pages.end();) {
    const DefaultRun run = default_run(space, cpu, vad, {page, pages.end() - page});
    const Vpn end = std::min(run.end, pages.end());
    if (run.protection != Protection::kNone) committed += end - page;
    page = end;
  }
  return committed;
}

Result<Protection> RegionKind::shown_protection(RegionSpace& space, Processor& cpu, const Vad& vad, Vpn page) const {
  space.lock.assert_held();
  if (const Status status = space.bring_in(cpu, page, AddressSpace::For::kChange); status != Status::kSuccess)
    return fail(status);
  return space.shown_protection(cpu, vad, page, space.tables().read(cpu, page));
}

Result<> RegionKind::may_protect(RegionSpace& /*space*/, Processor& /*cpu*/, const Vad& /*vad*/, VpnRange /*pages*/,
                                 Protection /*protection*/) const {
  return fail(Status::kInvalidPageProtection);
}

Result<> RegionKind::protect(RegionSpace& /*space*/, Processor& /*cpu*/, Vad& /*vad*/, VpnRange /*pages*/,
                             Protection /*protection*/) const {
  return fail(Status::kInvalidPageProtection);
}

Result<> RegionKind::commit(RegionSpace& /*space*/, Processor& /*cpu*/, Vad& /*vad*/, VpnRange /*pages*/,
                            Protection /*protection*/) const {
  return fail(Status::kConflictingAddresses);
}

Result<> RegionKind::decommit(RegionSpace& /*space*/, Processor& /*cpu*/, Vad& /*vad*/, VpnRange /*pages*/) const {
  return fail(Status::kMemoryNotAllocated);
}

Result<> RegionKind::discard(RegionSpace& /*space*/, Processor& /*cpu*/, Vad& /*vad*/, VpnRange /*pages*/) const {
  return fail(Status::kConflictingAddresses);
}

Result<> RegionKind::may_reset(const Vad& /*vad*/) const { return fail(Status::kConflictingAddresses); }

fault::Outcome RegionKind::fault(fault::Context& /*context*/, Vad& /*vad*/) const {
  return {Status::kAccessViolation, FaultKind::kAccessViolation};
}

void RegionKind::unmap(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const {
  space.lock.assert_held();
  space.free_pages(cpu, vad, pages, 0);
}

void RegionKind::removed(RegionSpace& /*space*/, Processor& /*cpu*/, const Vad& /*was*/) const {}

bool RegionKind::is_forked(const Vad& /*vad*/) const { return true; }

Vad RegionKind::child_of(const Vad& vad) const {
  Vad child = vad;
  child.extra = nullptr;
  return child;
}

Result<> RegionKind::fork(RegionSpace& child, RegionSpace& parent, Processor& cpu, const Vad& of_parent,
                          Vad& /*of_child*/, CloneEntries& entries) const {
  child.lock.assert_held();
  parent.lock.assert_held();
  return clone_entries(child, parent, cpu, of_parent.range, entries);
}

void RegionKind::check(const RegionSpace& /*space*/, const Vad& /*vad*/,
                       const std::function<void(const char* rule, const std::string& text)>& /*finding*/) const {}

}  // namespace pagoda::mm
