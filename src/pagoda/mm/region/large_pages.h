// Large pages: regions of memory, private or of a section, that the hardware maps by entries of page directories.
//
// All is done when the region is reserved: it is committed, its frames lie in rows, are zeroed and mapped. They are
// nonpageable and in no working set, no page of them ever faults for being absent, and they go when the region is
// released. So the region has one protection, and there is nothing to decommit, to lock or to give back in part.
//
//   level 2 entry (large)  ->  512 frames (x86: 1024), aligned, active, each naming that entry
//
// Large-page sections are the same memory, shared: their frames are taken and zeroed when the section is made, and stay
// until its last reference and view are gone. The prototype PTE of each page stays valid and owns the frame; an entry
// of a page directory in each view maps a large page besides. A view has one protection, which its VAD keeps.
//
//   prototype PTEs, all valid, 512 (x86: 1024)  ->  frames  <-  level 2 entries (large) of all views
//
// Invariants (mm::check): [AS1] for the entries and their regions, [PT2] for the entries and their frames; of sections
// [CA4] for the prototype PTEs, [PF2] for the mappings, [CA3] for the charge, which is that of any committed section.
// What reference/nt.md leaves open, and was chosen: a base or a size that is no multiple of the large page is
// kInvalidParameter2 or kInvalidParameter4; a part of the region cannot be protected (kConflictingAddresses) or
// released (kFreeVmNotAtBase); protections that no valid entry can carry, NOACCESS and GUARD, are
// kInvalidPageProtection. A section of a file or of reserved pages is kInvalidParameter6, a size that is no
// multiple kInvalidParameter4; a view's base or offset that is none is kMappedAlignment, its size kInvalidViewSize;
// rights that no entry can carry (write copy too) or that change the caching are kInvalidPageProtection; a part of a
// view cannot be protected (kConflictingAddresses); a fork maps the same pages in the child, if the view is inherited
// at all. The level-1 page tables that the region does without are charged like any region's. Locking: the lock of the
// address space; of sections' frames the PFN lock. Source: reference/nt.md 6.1, 7.1 to 7.3, 7.5.
#pragma once

#include "pagoda/mm/region/private_region.h"
#include "pagoda/mm/region/region_space.h"
#include "pagoda/mm/region/view.h"

namespace pagoda::mm {

// What an entry of a page directory can carry.
constexpr bool is_allowed_on_large(Protection protection) {
  return is_allowed_on_private(protection) && is_mappable(protection);
}
// The same with the caching that all views of the frames have.
constexpr bool is_allowed_on_large_view(Protection protection) {
  return is_allowed_on_large(protection) && cache_attribute(protection) == CacheAttribute::kCached;
}
inline bool has_large_pages(const Vad& vad) {
  return vad.type == VadType::kLargePages || vad.type == VadType::kLargePageSection;
}

class LargeRegion final : public RegionKind {
 public:
  LargeRegion() : RegionKind(Residence::kMapped) {}
  [[nodiscard]] DefaultRun rights(const Vad& vad, Vpn page) const override;
  [[nodiscard]] Result<> may_protect(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                     Protection protection) const override;
  Result<> protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const override;
  void unmap(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const override;
  [[nodiscard]] bool is_forked(const Vad& vad) const override;
};

class LargeView final : public SectionView {
 public:
  LargeView() : SectionView(Residence::kMapped, MemoryType::kMapped) {}
  [[nodiscard]] DefaultRun rights(const Vad& vad, Vpn page) const override;
  Result<> protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const override;
  Result<> commit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const override;
  void unmap(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const override;
  Result<> fork(RegionSpace& child, RegionSpace& parent, Processor& cpu, const Vad& of_parent, Vad& of_child,
                CloneEntries& entries) const override;
};

const LargeRegion& large_region();
const LargeView& large_view();

// Takes, zeroes and maps the frames of a region, or maps those of a view's section: all of it, or nothing.
// Fails with: kInsufficientResources (not enough frames in a row); for a view kNoMemory (try again).
Result<> map_large_region(RegionSpace& space, Processor& cpu, Vad& vad) PAGODA_REQUIRES(space.lock);
Result<> map_large_view(RegionSpace& space, Processor& cpu, const Vad& vad) PAGODA_REQUIRES(space.lock);

}  // namespace pagoda::mm
