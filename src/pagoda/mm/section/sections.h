// All sections of a manager: making them, extending and flushing them, and what happens to their memory when nobody
// uses them any more. NT: MmCreateSection, MmExtendSection, MmFlushSection, the unused segment list and the
// dereference thread.
//
//   create -> Section -> ControlArea (segment, subsections, prototype PTEs)  <- views
//   last section and last view gone: pages of files stay on standby, the control area on the list of unused ones;
//   with its last page it goes too. Paging-file segments go at once.
//
// Locking: `lock` (rank kSection) for which control areas there are; their counts and prototype PTEs belong to the PFN
// lock. Source: reference/nt.md section 6.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "pagoda/base/lock.h"
#include "pagoda/base/status.h"
#include "pagoda/mm/core.h"
#include "pagoda/mm/section/section.h"

namespace pagoda::mm {

class Sections {
 public:
  explicit Sections(Core& core);
  ~Sections();
  Sections(const Sections&) = delete;
  Sections& operator=(const Sections&) = delete;

  // A section that somebody refers to once. What depends on parameters alone (bad flags, a handle's rights) was checked
  // before. Fails with kInvalidParameter4 (no file and no size), kSectionTooBig (more than the format of PTEs can hold,
  // or than a read-only file has), kMappedFileSizeZero, kInvalidFileForSection, kInvalidImageNotMz,
  // kInvalidImageFormat, kCommitmentLimit, kInsufficientResources, kDiskFull (a file that should grow), kNoMemory,
  // kPending, kIoDeviceError.
  Result<Section*> create(Processor& cpu, const SectionRequest& request);
  // One more who refers to it.
  void reference(Section& section);
  // One fewer; the last one ends it. Views that exist stay.
  void dereference(Processor& cpu, Section& section);
  // Makes a data section longer, its file too; a smaller size leaves it. Returns the size afterwards. Fails with
  // kSectionNotExtended (not a data file), kSectionTooBig, kDiskFull, kInsufficientResources.
  Result<ByteCount> extend(Processor& cpu, Section& section, ByteCount size);

  // --- Files ---
  // Writes the modified pages of the range of the file's data (size zero: to its end) and waits. Fails with
  // kIoDeviceError; what was not written stays modified.
  Result<> flush(Processor& cpu, FileStream& file, FileOffset offset, ByteCount size);
  // Whether the file may be cut to the size: not into a page that a view maps (NT: MmCanFileBeTruncated). Fails with
  // kUserMappedFile.
  Result<> may_truncate(FileStream& file, ByteCount size);
  // Sets the file's size: pages beyond the new end go, the tail of the last one becomes zeros. Fails with
  // kUserMappedFile, kDiskFull, kInPageError.
  Result<> set_file_size(Processor& cpu, FileStream& file, ByteCount size);
  // Reads and writes the file through the pages that its views show (there is no other copy). Reading ends at the end
  // of the file, writing makes it longer; both return what was done. Fails with kEndOfFile (nothing there to read),
  // kInPageError, kDiskFull, kNoMemory, kPending.
  Result<ByteCount> read(Processor& cpu, const std::shared_ptr<FileStream>& file, FileOffset offset,
                         std::span<std::byte> into);
  Result<ByteCount> write(Processor& cpu, const std::shared_ptr<FileStream>& file, FileOffset offset,
                          std::span<const std::byte> from);
  // Drops every control area that nobody uses, after writing what is modified: what a shortage of pool, or a test, asks
  // for. Returns how many went.
  std::size_t drop_unused(Processor& cpu);
};

}  // namespace pagoda::mm
