// The memory behind sections: one control area for each file's data, each image, each paging-file section. NT:
// CONTROL_AREA with its SEGMENT and SUBSECTIONs.
//
//   Section* ─┐
//   views*   ─┴─> ControlArea ── subsections: which pages come from where
//                      │
//                      └── runs of prototype PTEs in the PrototypePool, whose pages are made when touched
//
// A segment is a sequence of pages; each has a prototype PTE in one of six states: valid, transition, modified-no-write
// (transition to the hardware), demand zero, page file, mapped file (subsection form). A page of prototype PTEs that
// does not exist stands for entries that are all as they were at the start, the template: so a large file costs what is
// touched of it. (NT makes the array of a whole subsection when its first view is made.)
//
// Invariants (mm::check):
//   [CA1] `resident` is the number of its prototype PTEs that are valid or in transition.
//   [CA2] `mapped_views` is the number of VADs that name it; `section_references` of Sections that do.
//   [CA3] A paging-file segment's `charge` is its committed pages and all pages that its prototype PTEs may need; an
//         image's is the latter and its shared writable pages; a file's data has none.
//   [CA4] A prototype PTE is in a form that its kind of segment has, and has its subsection's protection. All those of
//         a large-page segment are valid, and those of each large page name frames in a row.
// Locking: the PFN lock for counts and prototype PTEs, and for growth. Source: reference/nt.md section 6.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/mm/pfn/prototype_pool.h"
#include "pagoda/mm/pte/pte_codec.h"
#include "pagoda/mm/section/committed_pages.h"
#include "pagoda/mm/section/pe_image.h"
#include "pagoda/mm/section/section.h"

namespace pagoda::mm {

// Consecutive pages of a segment that come from one place. NT: SUBSECTION.
struct Subsection {
  PageCount first;  // In the segment.
  PageCount pages;
  FileOffset file_offset;  // Where its first byte is.
  ByteCount file_bytes;    // So many come from the file; zeros follow. Data reach as far as their file.
  // kNone: no program may touch the pages, which are not committed. What an image has behind a section, up to the
  // section alignment, is a subsection of its own. NT: UnusedPtes.
  Protection protection = Protection::kReadWrite;
  VirtualAddress address;  // What subsection-form PTEs name it by: it has a place in nonpaged pool.

  [[nodiscard]] PageCount end() const { return first + pages; }
  [[nodiscard]] bool contains(PageCount page) const { return page >= first && page < end(); }
  // Whether the page has bytes in the file.
  [[nodiscard]] bool in_file(PageCount page) const { return bytes_of(page - first) < file_bytes; }
  [[nodiscard]] FileOffset offset_of(PageCount page) const { return file_offset + bytes_of(page - first); }
};

class ControlArea : public PrototypeOwner {
 public:
  // Prototype PTEs of consecutive pages, in consecutive places.
  struct Run {
    PageCount first;  // In the segment.
    PageCount pages;  // Entries; whole pages of the pool.
    VirtualAddress prototypes;
  };

  ControlArea(std::uint32_t number, SectionKind kind, const SectionFlags& flags, std::shared_ptr<FileStream> file)
      : PrototypeOwner(number, kind == SectionKind::kData ? Kind::kFileData : Kind::kOther),
        kind_(kind),
        flags_(flags),
        file_(std::move(file)) {}

  [[nodiscard]] SectionKind kind() const { return kind_; }
  [[nodiscard]] const SectionFlags& flags() const { return flags_; }
  [[nodiscard]] const std::shared_ptr<FileStream>& file() const { return file_; }
  // What an image's file says about it; null: not an image. Never changes.
  [[nodiscard]] const ImageLayout* image() const { return image_ ? &*image_ : nullptr; }
  // Whether nothing was written to an image's file since the image was made. Requires: the PFN lock.
  [[nodiscard]] bool is_current() const { return file_->writes == file_writes_; }

  // --- The segment, under the PFN lock ---
  [[nodiscard]] PageCount pages() const { return pages_; }
  [[nodiscard]] const Subsection& subsection_of(PageCount page) const;
  [[nodiscard]] const std::vector<std::unique_ptr<Subsection>>& subsections() const { return subsections_; }
  [[nodiscard]] const std::vector<Run>& runs() const { return runs_; }
  // Where the page's prototype PTE stands, whether or not it exists yet.
  [[nodiscard]] VirtualAddress prototype_of(const PteCodec& codec, PageCount page) const;
  // The page that a prototype PTE of this segment is for.
  [[nodiscard]] PageCount page_of(const PteCodec& codec, VirtualAddress prototype) const;
  // What the page's prototype PTE is at the start. In a SEC_RESERVE segment a page of entries that was not in memory when
  // pages of it were committed has zeros for them, which mean the same.
  [[nodiscard]] RawPte template_of(const PteCodec& codec, PageCount page) const;
  void fill_template(const PteCodec& codec, VirtualAddress first, std::span<RawPte> entries) const override;

  // --- Counts, under the PFN lock ---
  std::uint32_t section_references = 0;  // NT: NumberOfSectionReferences.
  std::uint32_t mapped_views = 0;        // NT: NumberOfMappedViews.
  std::uint32_t users = 0;               // Operations that hold no lock and go on using it. NT: NumberOfUserReferences.
  CommittedPages committed;              // Of a SEC_RESERVE segment.
  PageCount charge;
  bool delete_when_unused = false;  // NT: DeleteOnClose: not kept for its standby pages.

  [[nodiscard]] bool is_used() const override { return section_references > 0 || mapped_views > 0 || users > 0; }

 private:
  friend class Sections;
  friend struct Corruptor;

  // Where the segment of a file's data ends from now on. Its subsections, one for each run, reach as far: those behind
  // are empty.
  void set_end(PageCount pages);

  const SectionKind kind_;
  const SectionFlags flags_;
  std::shared_ptr<FileStream> file_;
  PageCount pages_;
  std::optional<ImageLayout> image_;
  std::uint64_t file_writes_ = 0;  // What an image's file had counted when the image was made.
  std::vector<std::unique_ptr<Subsection>> subsections_;
  std::vector<Run> runs_;
  std::list<std::unique_ptr<ControlArea>>::iterator place_;  // Among all control areas.
};

// The owner of the prototype PTE; null: a clone's. All owners are control areas.
inline ControlArea* control_area_of(const PrototypePool& pool, PhysicalAddress prototype) {
  return static_cast<ControlArea*>(pool.owner_of(prototype));
}

}  // namespace pagoda::mm
