// Frames of the machine's that are not memory of the manager's, in an address space: those behind the last one that the
// PFN database has. In a guest that is where its hypervisor shows files of the host (machine/hypercalls.h). NT: views
// of \Device\PhysicalMemory, VadDevicePhysicalMemory.
//
//   zero entry --first touch--> valid entry of the device frame --write, if the page may be copied--> a private page
//
// A region maps frames in a row, cached, read-only, executable or copied when written. Its entries are made by faults
// (counted as FaultKind::kShared), since a file may be large and little of it touched. They are in no working set and
// count in no share count but that of their page table, so that they are never trimmed; a page that a write has copied
// is an ordinary private one from then on. No program may write to the frames themselves: a page that is made writable
// is copied when it is written.
//
// For the rest of mm such a region is a view: it is unmapped as a whole by `unmap_view`, its pages are committed, and
// those that are or become private are charged. A fork inherits it as it does a view (a choice): the child maps the
// same frames at its own faults and shares the copies. Its pages are not reset, not locked, and have no guards.
//
// Invariants (mm::check):
//   [DF1] An entry of such a region that is valid maps the frame of its page, with the rights of its page and neither
//         writable nor shared; or a page that was copied. (Other entries map none: PT3.)
//   [DF2] Such a region, and no other, knows its frames, which the database has none of; the rights of its pages are
//         such as a page can get; and no page of it is demand zero or a hole.
// Locking: the lock of the address space. Source: reference/nt.md section 5 (VadDevicePhysicalMemory);
// reference/virtualization.md section 5, "Direct map".
#pragma once

#include <map>

#include "pagoda/base/units.h"
#include "pagoda/mm/region/region_kind.h"
#include "pagoda/mm/region/vad_extra.h"

namespace pagoda::mm {

// What a page that maps a device frame may allow.
constexpr bool is_allowed_on_device(Protection protection) {
  if (protection == Protection::kNoAccess) return true;
  return is_mappable(protection) && !is_writable(protection) && cache_attribute(protection) == CacheAttribute::kCached;
}

// What one region of device frames knows: which they are, and the rights of pages that are not private.
class DeviceFrames : public KindState {
 public:
  DeviceFrames(VpnRange pages, Pfn first, Protection protection)
      : pages_(pages), first_(first), rights_{{pages.first, protection}} {}

  [[nodiscard]] VpnRange pages() const { return pages_; }
  [[nodiscard]] Pfn first() const { return first_; }
  [[nodiscard]] Pfn frame_of(Vpn page) const { return first_ + (page - pages_.first); }

  // The rights of `page`, and how far they reach.
  [[nodiscard]] DefaultRun run_from(Vpn page) const;
  [[nodiscard]] Protection rights(Vpn page) const { return run_from(page).protection; }
  void set_rights(VpnRange pages, Protection protection);
  // Where rights begin that differ from those before: for tests.
  [[nodiscard]] std::size_t runs() const { return rights_.size(); }

 private:
  friend struct Corruptor;

  VpnRange pages_;
  Pfn first_;
  std::map<Vpn, Protection> rights_;  // From the page on, up to the next one; no two neighbours are equal.
};

inline bool has_device_frames(const Vad& vad) { return vad.type == VadType::kPhysical; }
// Requires: a region of device frames.
inline DeviceFrames& device_frames(const Vad& vad) { return static_cast<DeviceFrames&>(*vad.extra->state); }

class DeviceRegion final : public RegionKind {
 public:
  DeviceRegion() : RegionKind(Residence::kUnlocked, MemoryType::kMapped) {}
  [[nodiscard]] DefaultRun rights(const Vad& vad, Vpn page) const override;
  [[nodiscard]] Result<> may_protect(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                     Protection protection) const override;
  Result<> protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const override;
  // The frame is there and is mapped; a write makes a private copy.
  fault::Outcome fault(fault::Context& context, Vad& vad) const override;
  [[nodiscard]] bool is_forked(const Vad& vad) const override;
  Result<> fork(RegionSpace& child, RegionSpace& parent, Processor& cpu, const Vad& of_parent, Vad& of_child,
                CloneEntries& entries) const override;
};

const DeviceRegion& device_region();

}  // namespace pagoda::mm
