// Paging files: where pages go that are promised and not in memory. NT: MMPAGING_FILE.
//
// A paging file is a bitmap of slots over a file on a disk. Slots are given out when pages are written, in runs, never
// when memory is committed; the commit limit sees to it that there is one for every page that needs it. Slot 0 is
// reserved, so that an all-zero name means "none". The compression store (compression_store.h) is one more to PTEs, by
// the number kStore; it adds nothing to what may be promised.
//
// Invariants (mm::check):
//   [SL1] A slot is in use exactly if one PTE or one frame's original PTE names it, or it is retired. So is one of the
//         compression store.
//   [SL2] Every slot named lies inside its file and is not 0.
//   [SL3] A file has as many bytes as its slots take, between its minimum and its maximum.
// Locking: the PFN lock, since slots live and die with the states of frames.
// Source: reference/nt.md section 8.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/base/bitmap.h"
#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/disk.h"

namespace pagoda::mm {

class CompressionStore;

struct PagingFileConfig {
  std::string name = "pagefile.sys";
  unsigned disk = 0;  // By its number in the machine.
  ByteCount minimum;
  ByteCount maximum;
};

class PagingFile {
 public:
  PagingFile(std::string name, std::unique_ptr<machine::DiskFile> file, PageCount minimum, PageCount maximum);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] machine::DiskFile& file() { return *file_; }
  [[nodiscard]] const machine::DiskFile& file() const { return *file_; }
  [[nodiscard]] PageCount minimum() const { return minimum_; }
  [[nodiscard]] PageCount maximum() const { return maximum_; }
  [[nodiscard]] PageCount size() const { return PageCount(slots_.size()); }  // Slot 0 included.
  // What it adds to the commit limit: every slot but 0 and the retired ones.
  [[nodiscard]] PageCount usable() const { return size() - retired_ - 1_pages; }
  [[nodiscard]] PageCount used() const { return PageCount(slots_.count()) - retired_ - 1_pages; }
  [[nodiscard]] PageCount free() const { return usable() - used(); }
  [[nodiscard]] PageCount peak_used() const { return peak_used_; }
  [[nodiscard]] PageCount retired() const { return retired_; }
  [[nodiscard]] const Bitmap& slots() const { return slots_; }

  struct Run {
    PageFileSlot first;
    PageCount count;
  };
  // A run of at most `wanted` consecutive slots, as long as there is one; empty if the file is full.
  Run allocate(PageCount wanted);
  void free(PageFileSlot slot);
  // A slot that could not be written is never used again.
  void retire(PageFileSlot slot);
  // Grows by up to `pages`, to its maximum and its disk's space; how much it did.
  PageCount grow(PageCount pages);

 private:
  friend struct Corruptor;

  std::string name_;
  std::unique_ptr<machine::DiskFile> file_;
  PageCount minimum_;
  PageCount maximum_;
  Bitmap slots_;
  std::size_t hint_ = 1;
  PageCount retired_;
  PageCount peak_used_;
};

// All of a manager's paging files, by the number that PTEs carry.
class PagingFiles {
 public:
  static constexpr std::size_t kMaxFiles = 16;  // Four bits of a PTE.
  // What PTEs name the compression store by, if there is one: there can be a file less then.
  static constexpr unsigned kStore = 15;

  struct Slot {
    unsigned file = 0;
    PageFileSlot first;
    PageCount count;  // Zero: every file is full.
  };

  // Fails with kTooManyPagingFiles.
  Result<> add(std::unique_ptr<PagingFile> file);
  [[nodiscard]] std::size_t size() const { return files_.size(); }
  [[nodiscard]] PagingFile& operator[](std::size_t number) { return *files_[number]; }
  [[nodiscard]] const PagingFile& operator[](std::size_t number) const { return *files_[number]; }

  // From the file with the most free space.
  Slot allocate(PageCount wanted);
  void free(unsigned file, PageFileSlot slot);
  // Another PTE names the slot from now on, which the store keeps in mind.
  void moved(unsigned file, PageFileSlot slot, PhysicalAddress pte);
  // Before the first file.
  void set_store(CompressionStore& store) { store_ = &store; }
  [[nodiscard]] bool is_store(unsigned file) const { return store_ != nullptr && file == kStore; }
  [[nodiscard]] std::size_t most_files() const { return store_ != nullptr ? kStore : kMaxFiles; }
  [[nodiscard]] PageCount usable() const;
  [[nodiscard]] PageCount used() const;
  [[nodiscard]] PageCount free_slots() const;
  // Grows files in order until `pages` more are there or none can grow; how much it did.
  PageCount grow(PageCount pages);

 private:
  std::vector<std::unique_ptr<PagingFile>> files_;
  CompressionStore* store_ = nullptr;  // None: not a slot is in memory.
};

}  // namespace pagoda::mm
