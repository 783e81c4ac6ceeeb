#include "pagoda/mm/region/device_frames.h"

#include <iterator>

#include "pagoda/mm/region/clone_entries.h"
#include "pagoda/mm/region/region_space.h"
#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

DefaultRun DeviceFrames::run_from(Vpn page) const {
  const auto next = rights_.upper_bound(page);
  return {next == rights_.end() ? pages_.end() : next->first, std::prev(next)->second};
}

void DeviceFrames::set_rights(VpnRange pages, Protection protection) {
  if (pages.end() < pages_.end()) rights_[pages.end()] = rights(pages.end());
  rights_.erase(rights_.lower_bound(pages.first), rights_.lower_bound(pages.end()));
  rights_[pages.first] = protection;
  for (auto run = std::next(rights_.begin()); run != rights_.end();)
    run = std::prev(run)->second == run->second ? rights_.erase(run) : std::next(run);
}

const DeviceRegion& device_region() {
  static const DeviceRegion kind;
  return kind;
}

DefaultRun DeviceRegion::rights(const Vad& vad, Vpn page) const { return device_frames(vad).run_from(page); }

Result<> DeviceRegion::may_protect(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                   Protection protection) const {
  if (PAGODA_TRY(committed(space, cpu, vad, pages)) != pages.count) return fail(Status::kNotCommitted);
  if (is_no_cache(protection) || is_write_combine(protection)) return fail(Status::kInvalidParameter4);
  return is_allowed_on_device(shared_by_fork(protection)) ? Result<>{} : fail(Status::kInvalidPageProtection);
}

Result<> DeviceRegion::protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages,
                               Protection protection) const {
  space.lock.assert_held();
  Core& core = space.core();
  PageTables& tables = space.tables();
  PAGODA_TRY(make_private(space, cpu, pages));
  const Protection rights = shared_by_fork(protection);  // Writable means: by a copy.
  PageCount charged = is_write_copy(rights) ? pages.count : 0_pages;
  if (charged.is_zero()) {
    const Status counted = space.for_each_entry(cpu, pages, [&](Vpn, PhysicalAddress, RawPte raw) {
      if (space.is_private_entry(raw)) ++charged;
    });
    if (counted != Status::kSuccess) return fail(counted);
  }
  PAGODA_TRY(space.change_charge(vad, PAGODA_TRY(space.charged_copies(cpu, vad, pages)), charged));
  FlushBatchOf<kRangeBatch> batch(space, cpu);
  const Status status = space.for_each_entry(
      cpu, pages,
      [&](Vpn page, PhysicalAddress pte, RawPte raw) {
        space.lock.assert_held();
        if (raw == 0) return;
        const Protection now = space.current_protection(cpu, vad, page, raw);
        if (space.is_private_entry(raw)) {
          if (now != unshared(protection)) space.protect_entry(batch, page, pte, raw, unshared(protection));
          return;
        }
        if (now == rights) return;
        const Pfn frame = core.codec.frame(raw);
        core.note(cpu, EventKind::kProtected, pte, frame, raw);
        tables.store(cpu, pte,
                     is_mappable(rights) ? core.codec.valid(frame, rights, space.owner(), PteCodec::Dirty::kNo) : 0);
        batch.add({.page = page, .pte = pte, .was = raw}, is_mappable(rights) ? nullptr : release_freed);
      },
      [&](Vpn page) {
        batch.unlink_tables(page);
        batch.flush();
      },
      AddressSpace::For::kEnd);
  PAGODA_CHECK(status == Status::kSuccess);
  device_frames(vad).set_rights(pages, rights);
  return {};
}

fault::Outcome DeviceRegion::fault(fault::Context& c, Vad& vad) const {
  c.space.lock.assert_held();
  const Pfn frame = device_frames(vad).frame_of(c.page);
  const RawPte before = c.raw;
  c.raw = c.core.codec.valid(frame, c.protection, c.space.owner(), PteCodec::Dirty::kNo);
  c.space.tables().store(c.cpu, c.pte, c.raw);
  {
    const LockGuard guard(c.core.pfns.lock);
    c.core.pfns.add_table_share(c.pte.pfn());
  }
  c.core.note(c.cpu, EventKind::kMapped, c.pte, frame, before);
  if (c.fault.access == machine::Access::kWrite) {
    // Without a frame for the copy the page is mapped all the same, and the write comes again.
    const fault::Outcome copied = fault::copy_on_write(c);
    if (copied.status == Status::kSuccess) return copied;
  }
  return {Status::kSuccess, FaultKind::kShared};
}

bool DeviceRegion::is_forked(const Vad& vad) const { return vad.inherit == Inherit::kShare; }

Result<> DeviceRegion::fork(RegionSpace& child, RegionSpace& parent, Processor& cpu, const Vad& of_parent,
                            Vad& of_child, CloneEntries& entries) const {
  child.lock.assert_held();
  child.extras().set_state(of_child, std::make_unique<DeviceFrames>(device_frames(of_parent)));
  return RegionKind::fork(child, parent, cpu, of_parent, of_child, entries);
}

}  // namespace pagoda::mm
