// Views: parts of sections in an address space, data and images.
//
// An entry of a view is zero as long as nothing but the VAD needs to be known; valid with the prototype bit while the
// shared page is mapped; a pointer, or the lookup-needed form where the rights differ from the prototype's, when it was
// mapped before or its rights were changed; and that of a private page once a write has copied it. The rights of a data
// view that is protected as a whole are its VAD's from then on, so that an untouched one gets no page tables. A choice
// for all regions of one protection: NT makes entries.
//
// A view is charged for the pages that are private or become so when written. Source: reference/nt.md 6.2, 7.3.
#pragma once

#include "pagoda/mm/region/region_kind.h"

namespace pagoda::mm {

// What views of all kinds of sections share, those of large pages among them.
class SectionView : public RegionKind {
 public:
  using RegionKind::RegionKind;
  [[nodiscard]] Protection segment_rights(const Vad& vad, Vpn page) const override;
  // Asks what the view was mapped with before whether the pages are committed.
  [[nodiscard]] Result<> may_protect(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                     Protection protection) const override;
  [[nodiscard]] bool is_forked(const Vad& vad) const override;
  Result<> fork(RegionSpace& child, RegionSpace& parent, Processor& cpu, const Vad& of_parent, Vad& of_child,
                CloneEntries& entries) const override;
  void removed(RegionSpace& space, Processor& cpu, const Vad& was) const override;

 protected:
  // What the view was mapped with, as far as its pages' later rights go: they are compatible with it (`is_compatible`).
  [[nodiscard]] virtual Protection limit(const Vad& vad) const { return vad.allocation_protection; }
  // Whether any page of the view may get the protection. Fails with: kInvalidParameter4, kSectionProtection.
  [[nodiscard]] Result<> allows(const Vad& vad, Protection protection) const;
};

// A view of a paging-file section or of a file's data.
class DataView : public SectionView {
 public:
  using SectionView::SectionView;
  [[nodiscard]] DefaultRun rights(const Vad& vad, Vpn page) const override;
  [[nodiscard]] DefaultRun default_run(const RegionSpace& space, const Processor& cpu, const Vad& vad,
                                       VpnRange pages) const override;
  Result<> protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const override;
  // Gives the protection to the pages, which are committed for all views of the section: those of a SEC_RESERVE section
  // now; those of an extendable view by making its file as long as they reach. Fails with: kAlreadyCommitted (any other
  // file's, and an image's), kSectionProtection, kInvalidPageProtection, kCommitmentLimit, kDiskFull,
  // kInsufficientResources, kNoMemory (try again).
  Result<> commit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const override;
  [[nodiscard]] Result<> may_reset(const Vad& vad) const override;

 protected:
  // Whether the view's rights are its VAD's for all of its pages, so that protecting it as a whole changes the VAD.
  [[nodiscard]] virtual bool has_one_protection() const { return true; }
  // What a page of the view gets when it is asked to have the protection.
  [[nodiscard]] virtual Protection in_view(const Vad& vad, Vpn page, Protection protection) const;

 private:
  // What of the range is charged once its pages have the protection.
  [[nodiscard]] Result<PageCount> charged_afterwards(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                                     Protection protection) const;
  // Has the section have the pages, for all its views, as `commit` says.
  static Result<> promise(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages);
  // Gives the protection to the pages that have entries.
  Status protect_entries(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                         Protection protection) const;
};

class ImageView final : public DataView {
 public:
  using DataView::DataView;
  [[nodiscard]] DefaultRun rights(const Vad& vad, Vpn page) const override;
  [[nodiscard]] DefaultRun default_run(const RegionSpace& space, const Processor& cpu, const Vad& vad,
                                       VpnRange pages) const override;

 protected:
  // A program may give an image's pages any rights; writing copies them.
  [[nodiscard]] Protection limit(const Vad& vad) const override { return unshared(vad.allocation_protection); }
  [[nodiscard]] bool has_one_protection() const override { return false; }
  [[nodiscard]] Protection in_view(const Vad& vad, Vpn page, Protection protection) const override;
};

const DataView& data_view();
const ImageView& image_view();

// Counts one more view of the section [CA2]; `SectionView::removed` counts it out. Takes the PFN lock.
void count_view(const Core& core, const Vad& vad);

}  // namespace pagoda::mm
