// An address space that is divided into regions: its VADs, what they are charged, and what all kinds of regions do with
// their entries. A process's space is one; so will be sessions' and the system's views.
//
// Invariants (mm::check), beside those of AddressSpace and VadTree:
//   [AS1] Every entry that is not zero lies inside a VAD; regions of large pages have those throughout, no other has
//         any.
//   [AS2] Each VAD's charge is the number of its committed private pages; the space's charge is the sum, the page tables
//         that its VADs span, the root, and AWE frames.
//   [AS3] VADs lie inside the space's range, with a protection that private memory may have; decommitted entries are in
//         committed VADs only.
//   [AS5] A placeholder has no entries, no charge and no rights.
//   [AS6] A region that commits on touch is private, of ordinary pages, not committed as a whole, and accessible.
// Locking: the lock of the address space. Source: reference/nt.md section 5.
#pragma once

#include "pagoda/mm/region/region_kind.h"
#include "pagoda/mm/region/vad_extra.h"
#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

class RegionSpace : public AddressSpace, protected RegionSource {
 public:
  RegionSpace(Core& core, ShortageRelief& relief, Sections& sections, const Identity& identity,
              const WorkingSet::Limits& limits);

  [[nodiscard]] Sections& sections() const { return sections_; }
  [[nodiscard]] VadTree& vads() PAGODA_REQUIRES(lock) { return vads_; }
  [[nodiscard]] const VadTree& vads() const PAGODA_REQUIRES(lock) { return vads_; }
  [[nodiscard]] VadExtras& extras() PAGODA_REQUIRES(lock) { return extras_; }
  [[nodiscard]] const VadExtras& extras() const PAGODA_REQUIRES(lock) { return extras_; }
  // The region that holds the whole range. Fails with: kConflictingAddresses.
  Result<Vad*> region_of(VpnRange pages) PAGODA_REQUIRES(lock);

  // --- Regions come and go ---
  // Adds a region and takes its charge and that of the page tables it adds. Requires: `vad.kind`.
  // Fails with: kCommitmentLimit.
  Result<Vad*> insert_vad(const Vad& vad) PAGODA_REQUIRES(lock);
  // Deletes a region whose entries are gone and gives its charge back.
  void erase_vad(Vad& vad) PAGODA_REQUIRES(lock);
  // Undoes the insertion of a region that has no entries: what it replaced comes back.
  void take_back(Vad& vad) PAGODA_REQUIRES(lock);
  // Puts a region into the place of the placeholder of exactly its range and takes its commit charge; page tables are
  // charged already. Fails with: kConflictingAddresses, kCommitmentLimit.
  Result<Vad*> replace_placeholder(const Vad& by) PAGODA_REQUIRES(lock);
  // A region whose entries are gone becomes a placeholder; gives its commit charge back.
  void leave_placeholder(Vad& vad) PAGODA_REQUIRES(lock);
  // A region starts to be watched for writes.
  void watch(Vad& vad) PAGODA_REQUIRES(lock);
  // Frees the pages and takes them out of their region, which shrinks, splits or ends; gives their charge back, but not
  // that of page tables. Requires: all of the region if its kind's pages are always mapped.
  // Fails with: kInPageError, kNoMemory, having changed nothing.
  Result<> cut(Processor& cpu, Vad& vad, VpnRange pages) PAGODA_REQUIRES(lock);

  // --- Commit charge ---
  // Of the manager. Fails with: kCommitmentLimit.
  Result<> charge_commit(PageCount pages) PAGODA_REQUIRES(lock);
  void give_back_commit(PageCount pages) PAGODA_REQUIRES(lock);
  // Enters pages that `charge_commit` took into the region's account, or removes them and gives them back.
  void add_charge(Vad& vad, PageCount pages) PAGODA_REQUIRES(lock);
  void drop_charge(Vad& vad, PageCount pages) PAGODA_REQUIRES(lock);
  // Changes the region's charge from `before` to `after` pages. Fails with: kCommitmentLimit.
  Result<> change_charge(Vad& vad, PageCount before, PageCount after) PAGODA_REQUIRES(lock);
  // Page tables that the range spans and no neighbour does.
  [[nodiscard]] PageCount tables_spanned(VpnRange pages, const Vad* before, const Vad* after) const
      PAGODA_REQUIRES(lock);
  // The nearest region from `vad` on, backward or forward, whose page tables are charged.
  [[nodiscard]] static const Vad* previous_charged(const Vad* vad);
  [[nodiscard]] static const Vad* next_charged(const Vad* vad);
  void give_back_tables(PageCount tables) PAGODA_REQUIRES(lock);
  // The most pages that all regions ever had. NT: PeakVirtualSize.
  [[nodiscard]] PageCount peak_pages() const PAGODA_REQUIRES(lock) { return peak_pages_; }
  [[nodiscard]] PageCount commit_charge() const PAGODA_REQUIRES(lock) { return commit_; }
  [[nodiscard]] PageCount peak_commit_charge() const PAGODA_REQUIRES(lock) { return peak_commit_; }
  // Page tables, the root among them.
  [[nodiscard]] PageCount table_charge() const PAGODA_REQUIRES(lock) { return table_charge_; }

  // --- Entries of regions ---
  // Frees the pages of a range of entries, whose PTEs become zero or, with `hole`, that. kAsDemandZero: those that have
  // contents become demand zero with their own protection, others stay.
  static constexpr RawPte kAsDemandZero = ~RawPte{0};
  // Brings page tables in. Requires: a ChangeGuard.
  void free_pages(Processor& cpu, const Vad& vad, VpnRange pages, RawPte hole) PAGODA_REQUIRES(lock);
  // What a query says of a page's rights: that a fork shares a private page does not show.
  [[nodiscard]] Protection shown_protection(const Processor& cpu, const Vad& vad, Vpn page, RawPte raw) const
      PAGODA_REQUIRES(lock);
  // Pages of the range that are charged to a region whose private pages are copies: those that are private, or whose
  // rights copy when written.
  [[nodiscard]] Result<PageCount> charged_copies(Processor& cpu, const Vad& vad, VpnRange pages) PAGODA_REQUIRES(lock);
  // Frees page tables of the range that have become empty.
  using AddressSpace::free_empty_tables;
  void free_empty_tables(Processor& cpu, VpnRange pages) PAGODA_REQUIRES(lock);

  // --- RegionSource ---
  using AddressSpace::record_write;
  using RegionSource::region_at;
  [[nodiscard]] Protection rights_by_region(const Vad& vad, Vpn page) const override;
  [[nodiscard]] Protection rights_by_segment(const Vad& vad, Vpn page) const override;
  [[nodiscard]] Protection rights_of_device_page(Vpn page) const override;
  fault::Outcome fault(fault::Context& context, Vad& vad) override;
  Result<> commit_touched(Vpn page) override PAGODA_NO_THREAD_SAFETY;
  void uncommit_touched(Vpn page) override PAGODA_NO_THREAD_SAFETY;

 protected:
  friend struct Corruptor;

  void record_write_slowly(Vpn page) override;

 private:
  [[nodiscard]] PageCount tables_charged(const Vad& vad, const Vad* before, const Vad* after) const
      PAGODA_REQUIRES(lock);

  Sections& sections_;
  VadExtras extras_ PAGODA_GUARDED_BY(lock);
  PageCount commit_ PAGODA_GUARDED_BY(lock);
  PageCount peak_commit_ PAGODA_GUARDED_BY(lock);
  PageCount table_charge_ PAGODA_GUARDED_BY(lock){1};  // The root.
  PageCount peak_pages_ PAGODA_GUARDED_BY(lock);
};

}  // namespace pagoda::mm
