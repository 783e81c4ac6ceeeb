// Paging files: where pages go that are promised and not in memory. NT: MMPAGING_FILE.
//
// A paging file is a bitmap of slots over a file on a disk. Slots are given out when pages are written, in runs, never
// when memory is committed; the commit limit provides one for every page that needs it. Slot 0 is reserved, so that an
// all-zero name means "none".
//
// Invariants (mm::check):
//   [SL1] A slot of a backing is in use exactly if one PTE or one frame's original PTE names it, a transfer uses it
//         whose page gave it up, or it is retired.
//   [SL2] Every slot named lies inside its file and is not 0.
//   [SL3] A file has as many bytes as its slots take, between its minimum and its maximum.
// Locking: the PFN lock, since slots live and die with the states of frames.
// Source: reference/nt.md section 8.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/base/run_bitmap.h"
#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/disk.h"
#include "pagoda/mm/backing/backing_set.h"

namespace pagoda::mm {

struct PagingFileConfig {
  std::string name = "pagefile.sys";
  unsigned disk = 0;  // By its number in the machine.
  ByteCount minimum;
  ByteCount maximum;
};

class PagingFile final : public Backing {
 public:
  PagingFile(std::string name, std::unique_ptr<machine::DiskFile> file, PageCount minimum, PageCount maximum);

  [[nodiscard]] std::string_view name() const override { return name_; }
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
  [[nodiscard]] const Bitmap& slots() const { return slots_.bits(); }

  // A run of at most `wanted` consecutive slots, as long as there is one; empty if the file is full.
  SlotRange allocate(PageCount wanted);
  // A slot that could not be written is never used again.
  void retire(PageFileSlot slot);
  // Writes frames to consecutive slots, one transfer. Without the PFN lock. Fails with: kIoDeviceError.
  machine::DiskTransfer write(machine::Processor& cpu, PageFileSlot first, std::span<const Pfn> frames);

  // --- Backing ---
  machine::DiskTransfer read(machine::Processor& cpu, PageFileSlot first, std::span<const Pfn> frames) override;
  void free(PageFileSlot slot) override;
  void moved(PageFileSlot /*slot*/, PhysicalAddress /*pte*/) override {}  // Keeps no owners.
  [[nodiscard]] bool is_used(PageFileSlot slot) const override;
  [[nodiscard]] bool peek(const machine::PhysicalView& memory, PageFileSlot slot, Page page) const override;

  // Grows by up to `pages`, to its maximum and its disk's space; returns how much it did.
  PageCount grow(PageCount pages);

 private:
  friend struct Corruptor;

  std::string name_;
  std::unique_ptr<machine::DiskFile> file_;
  PageCount minimum_;
  PageCount maximum_;
  RunBitmap slots_;
  std::size_t hint_ = 1;
  PageCount retired_;
  PageCount peak_used_;
};

// All of a manager's paging files: the backings of the numbers from 0 on.
class PagingFiles {
 public:
  static constexpr std::size_t kMaxFiles = BackingSet::kMost;

  explicit PagingFiles(BackingSet& backings) : backings_(backings) {}

  struct Slot {
    unsigned file = 0;
    PageFileSlot first;
    PageCount count;  // Zero: every file is full.
  };

  // Whether one more can be added: its number must be free.
  [[nodiscard]] bool has_room() const {
    return files_.size() < kMaxFiles && backings_.find(static_cast<unsigned>(files_.size())) == nullptr;
  }
  // Fails with: kTooManyPagingFiles.
  Result<> add(std::unique_ptr<PagingFile> file);
  [[nodiscard]] std::size_t size() const { return files_.size(); }
  [[nodiscard]] PagingFile& operator[](std::size_t number) { return *files_[number]; }
  [[nodiscard]] const PagingFile& operator[](std::size_t number) const { return *files_[number]; }

  // From the file with the most free space.
  Slot allocate(PageCount wanted);
  [[nodiscard]] PageCount usable() const;
  [[nodiscard]] PageCount used() const;
  [[nodiscard]] PageCount free_slots() const;
  // Grows files in order until `pages` more are there or none can grow; returns how much it did.
  PageCount grow(PageCount pages);

 private:
  BackingSet& backings_;
  std::vector<std::unique_ptr<PagingFile>> files_;
};

}  // namespace pagoda::mm
