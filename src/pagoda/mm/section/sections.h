// All sections of a manager: making them, extending and flushing them, and what happens to their memory when they
// are not used any more. NT: MmCreateSection, MmExtendSection, MmFlushSection, the unused segment list and the
// dereference thread.
//
//   create -> Section -> ControlArea (segment, subsections, prototype PTEs)  <- views
//   last section and last view gone: pages of files stay on standby, the control area on the list of unused ones;
//   with its last page it goes too. Paging-file segments go at once.
//
// Locking: `lock` (rank kSection) for which control areas there are; their counts and prototype PTEs belong to the PFN
// lock. Neither is held while a disk works or while bytes go to or come from a caller: an operation that goes on without
// locks is a user of its control area (Use), and one that changes a file's size or makes its image is the only one of
// that file (FileChange). Source: reference/nt.md section 6.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "pagoda/base/lock.h"
#include "pagoda/base/status.h"
#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/backing/shortage.h"
#include "pagoda/mm/section/control_area.h"
#include "pagoda/mm/section/section.h"
#include "pagoda/mm/space/vad_tree.h"

namespace pagoda::mm {

// What the views of a control area know and it does not: the manager, which knows all spaces.
class AllViews {
 public:
  virtual ~AllViews() = default;
  // What was written through views, which only their entries say, becomes known to the pages. Requires: the control area
  // stays; the caller holds no lock.
  virtual void collect_writes(Processor& cpu, const ControlArea& area) = 0;
};

class Sections {
 public:
  Sections(Core& core, ShortageRelief& relief, AllViews& views);
  ~Sections();
  Sections(const Sections&) = delete;
  Sections& operator=(const Sections&) = delete;

  // Makes a section with one reference, the caller's. Requires: what depends on parameters alone (bad flags, a handle's
  // rights) was checked before.
  // Fails with: kInvalidParameter4 (no file and no size), kSectionTooBig (more than the format of PTEs can hold, or
  // than a read-only file or an image has), kMappedFileSizeZero, kInvalidFileForSection, what parse_pe_image says of an
  // image, kCommitmentLimit, kInsufficientResources, kInvalidParameter6 (large pages of a file, or not committed),
  // kInvalidParameter4 (a size that is no multiple of them), kInvalidPageProtection (their caching), kDiskFull (a file
  // that should grow), kNoMemory (also: no room for a based section), kPending, kIoDeviceError.
  Result<Section*> create(Processor& cpu, const SectionRequest& request);
  // Adds a reference.
  void reference(Section& section);
  // Drops a reference; the last deletes the section. Views that exist stay.
  void dereference(Processor& cpu, Section& section);
  // Makes a data section longer, its file too; a smaller size leaves it. Returns the size afterwards. Fails with
  // kSectionNotExtended (not a data file), kSectionTooBig, kDiskFull, kInsufficientResources.
  Result<ByteCount> extend(Processor& cpu, Section& section, ByteCount size);

  // --- Files ---
  // Writes the modified pages of the range of the file's data (size zero: to its end) and waits. Fails with
  // kIoDeviceError; what was not written stays modified.
  Result<> flush(Processor& cpu, FileStream& file, FileOffset offset, ByteCount size);
  // Whether the file may have the size: it does not become shorter while there is a section or a view of it (NT:
  // MmCanFileBeTruncated). Fails with kUserMappedFile.
  Result<> may_truncate(FileStream& file, ByteCount size);
  // Sets the file's size: pages beyond the new end go, the tail of the last one becomes zeros, and later sections end
  // where the file does. Fails with kUserMappedFile, kDiskFull, kInPageError.
  Result<> set_file_size(Processor& cpu, FileStream& file, ByteCount size);
  // Makes the file long enough for so many bytes at `at`, or behind its end, and never shorter. Returns where they go.
  // Fails with kDiskFull.
  Result<FileOffset> make_room(Processor& cpu, FileStream& file, std::optional<FileOffset> at, ByteCount bytes);
  // Reads and writes the file through the pages that its views show (there is no other copy). Reading ends at the end
  // of the file, writing makes it longer; both return what was done, which under an event loop may be a part: the
  // processor is blocked then, and the rest is to be asked for when it goes on. Fails with kEndOfFile (nothing there to
  // read), kInPageError, kDiskFull, kNoMemory, kPending.
  Result<ByteCount> read(Processor& cpu, const std::shared_ptr<FileStream>& file, FileOffset offset,
                         std::span<std::byte> into);
  Result<ByteCount> write(Processor& cpu, const std::shared_ptr<FileStream>& file, FileOffset offset,
                          std::span<const std::byte> from);
  // Whether the file may be written to, as far as its image goes: no, if the image has a section or a view. Without
  // any, drops what was kept of the image. The caller asks when it opens the file for writing; a write through a
  // handle that was open already does not show in the image. NT: MmFlushImageSection.
  bool flush_image(Processor& cpu, FileStream& file);
  // Drops every unused control area, after writing what is modified, for a shortage of pool, or a test. Returns how
  // many it dropped.
  std::size_t drop_unused(Processor& cpu);
  // Deletes unused control areas whose last page left memory. What makes or ends sections and views calls it, and the
  // dereference thread.
  void reap(Processor& cpu);

  // --- For the rest of mm ---
  // A view of the control area went.
  void view_unmapped(Processor& cpu, ControlArea& area);
  // Commits pages of a SEC_RESERVE segment for all its views. Fails with kCommitmentLimit.
  Result<> commit(const Processor& cpu, ControlArea& area, PageCount first, PageCount count);
  // A page of a file's data in memory and held there (one reference) until `let_go`. Requires: the area stays, and no
  // lock is held. Fails with kEndOfFile (the file has no such page, or not any more), kInPageError, kNoMemory, kPending,
  // kInsufficientResources (more hold it than can be counted).
  Result<Pfn> hold(Processor& cpu, ControlArea& area, PageCount page);
  void let_go(Pfn frame, PteCodec::Dirty dirty);

  mutable Lock lock;
  [[nodiscard]] const std::list<std::unique_ptr<ControlArea>>& areas() const PAGODA_REQUIRES(lock) { return areas_; }
  [[nodiscard]] std::size_t section_count() const PAGODA_REQUIRES(lock) { return sections_.size(); }
  [[nodiscard]] const std::list<std::unique_ptr<Section>>& sections() const PAGODA_REQUIRES(lock) { return sections_; }

 private:
  friend struct Corruptor;

  // Keeps a control area for an operation that holds no lock. What nobody uses any more goes at its end.
  class Use {
   public:
    Use() = default;
    Use(Sections& sections, Processor& cpu, ControlArea& area) PAGODA_REQUIRES(sections.lock);
    ~Use();
    Use(Use&& other) noexcept
        : sections_(other.sections_), cpu_(other.cpu_), area_(std::exchange(other.area_, nullptr)) {}
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    Use& operator=(Use&&) = delete;
    [[nodiscard]] ControlArea* get() const { return area_; }
    [[nodiscard]] ControlArea& operator*() const { return *area_; }

   private:
    Sections* sections_ = nullptr;
    Processor* cpu_ = nullptr;
    ControlArea* area_ = nullptr;
  };
  // The one change of a file that is under way; another waits for its end.
  class FileChange {
   public:
    FileChange(Sections& sections, FileStream& file);
    ~FileChange();
    FileChange(const FileChange&) = delete;
    FileChange& operator=(const FileChange&) = delete;

   private:
    Sections& sections_;
    FileStream& file_;
  };
  void wait_for_change(const FileStream& file) PAGODA_REQUIRES(lock) {
    while (file.changing_) changed_.wait(lock);
  }

  // `image`: the control area of an image section's file.
  Result<Section*> create_locked(Processor& cpu, const SectionRequest& request, ControlArea* image)
      PAGODA_REQUIRES(lock);
  // The control area of the file's image (section/image_area.cpp), made if there is none that is up to date or in use.
  // Requires: a FileChange.
  Result<Use> image_area(Processor& cpu, const std::shared_ptr<FileStream>& file) PAGODA_EXCLUDES(lock);
  Result<ControlArea*> make_image_area(Processor& cpu, const std::shared_ptr<FileStream>& file, ImageLayout layout)
      PAGODA_REQUIRES(lock);
  Result<ImageLayout> read_layout(Processor& cpu, const std::shared_ptr<FileStream>& file) PAGODA_EXCLUDES(lock);
  // Takes all frames of a segment of large pages (section/large_section.cpp), which keeps them until it ends. Fails
  // with kInsufficientResources, having taken a part.
  Result<> take_large_pages(Processor& cpu, ControlArea& area) PAGODA_REQUIRES(lock);
  Result<> take_large_page(Processor& cpu, ControlArea& area, PageCount page) PAGODA_REQUIRES(lock);
  void drop_large_pages(const Processor& cpu, const ControlArea& area) PAGODA_REQUIRES(lock);
  // Fails with kInsufficientResources: PTEs could not name so many more.
  Result<> may_add_subsections(std::size_t count) const PAGODA_REQUIRES(lock);
  Result<ControlArea*> area_for(Processor& cpu, const SectionRequest& request, PageCount pages) PAGODA_REQUIRES(lock);
  ControlArea& new_area(SectionKind kind, const SectionFlags& flags, std::shared_ptr<FileStream> file)
      PAGODA_REQUIRES(lock);
  // Adds pages at the end of the segment, from `subsection`'s place. Fails with kInsufficientResources.
  Result<> grow(Processor& cpu, ControlArea& area, PageCount pages) PAGODA_REQUIRES(lock);
  // The segment of a file's data ends at `pages` from now on, unless it does already. False: a page behind is being read
  // or written, and nothing has changed. Requires: no view.
  bool shrink(const Processor& cpu, ControlArea& area, PageCount pages) PAGODA_REQUIRES(lock, core_.pfns.lock);
  Result<> charge(ControlArea& area, PageCount pages, PageCount prototypes) PAGODA_REQUIRES(lock);
  Subsection& add_subsection(ControlArea& area, const Subsection& what) PAGODA_REQUIRES(lock);
  void end_if_unused(Processor& cpu, ControlArea& area) PAGODA_REQUIRES(lock);
  void destroy(Processor& cpu, ControlArea& area) PAGODA_REQUIRES(lock);
  Result<> may_truncate_locked(const FileStream& file, ByteCount size) const PAGODA_REQUIRES(lock);
  Result<> cut(Processor& cpu, ControlArea& area, ByteCount size) PAGODA_EXCLUDES(lock);
  // Makes the file so long, unless it is longer, and its segment as long as it is. Fails with kDiskFull,
  // kInsufficientResources.
  Result<> lengthen(Processor& cpu, FileStream& file, ByteCount size) PAGODA_REQUIRES(lock);
  Result<> resize_file(const Processor& cpu, FileStream& file, ByteCount size) PAGODA_REQUIRES(lock);
  bool drop_pages(const Processor& cpu, ControlArea& area, PageCount first) PAGODA_REQUIRES(core_.pfns.lock);
  // The control area of the file's data, made if there is none.
  Result<Use> use_data(Processor& cpu, const std::shared_ptr<FileStream>& file) PAGODA_EXCLUDES(lock);
  // The same if there is one.
  Use use_data_if_any(Processor& cpu, const FileStream& file) PAGODA_EXCLUDES(lock);
  // The part of the bytes that lies in the page of their first one, held meanwhile: `move(where they are, how many)`.
  // Returns how many.
  template <class Move>
  Result<std::size_t> transfer_in_page(Processor& cpu, ControlArea& area, FileOffset offset, std::size_t bytes,
                                       PteCodec::Dirty dirty, Move&& move) PAGODA_EXCLUDES(lock);
  // Reads as many of the bytes as lie in the page of their first one. Returns how many.
  Result<std::size_t> read_in_page(Processor& cpu, ControlArea& area, FileOffset offset, std::span<std::byte> into)
      PAGODA_EXCLUDES(lock);
  // Moves bytes page by page: `move(bytes of the page, done before, how many)`.
  template <class Move>
  Result<ByteCount> transfer(Processor& cpu, const std::shared_ptr<FileStream>& file, FileOffset offset,
                             std::size_t bytes, PteCodec::Dirty dirty, Move&& move);
  [[nodiscard]] bool is_used(const ControlArea& area) const;
  Result<> file_for(const Processor& cpu, const SectionRequest& request, ByteCount size) PAGODA_REQUIRES(lock);

  Core& core_;
  ShortageRelief& relief_;
  AllViews& views_;
  WaitQueue changed_;  // A FileChange has ended.
  // In the order in which they were made; each knows its place.
  std::list<std::unique_ptr<ControlArea>> areas_ PAGODA_GUARDED_BY(lock);
  std::list<std::unique_ptr<Section>> sections_ PAGODA_GUARDED_BY(lock);
  // Places of subsections' addresses: those from `next_place_` on were never given out. 0 never is, so that no
  // subsection-form PTE looks empty.
  std::size_t next_place_ PAGODA_GUARDED_BY(lock) = 1;
  std::vector<std::uint32_t> free_places_ PAGODA_GUARDED_BY(lock);
  std::uint32_t next_area_ PAGODA_GUARDED_BY(lock) = 1;
  VadTree based_ PAGODA_GUARDED_BY(lock);  // Addresses of SEC_BASED sections, the same in all processes.
};

}  // namespace pagoda::mm
