// Reading pages that lie side by side, in a paging file or a mapped file, by one transfer. Their entries, of a page
// table or of a page of prototype PTEs, go into transition, frames are taken, and the bytes arrive later.
//
// Locking: as said. The entries of a page table are guarded by the lock of its space too, prototype PTEs by the PFN
// lock alone.
#pragma once

#include <array>
#include <memory>

#include "pagoda/mm/backing/core.h"

namespace pagoda::mm {

struct Cluster {
  std::array<PhysicalAddress, kMaxTransferPages> pte{};
  std::array<RawPte, kMaxTransferPages> raw{};
  std::array<Pfn, kMaxTransferPages> frame{};
  std::size_t count = 0;
  std::size_t wanted = 0;  // Which of them the access needs.
  // Where the first page is: in a backing's slot, or in a file.
  Backing* backing = nullptr;
  PageFileSlot slot;
  std::shared_ptr<machine::DiskFile> file;  // Lives as long as the transfer; what maps it need not.
  FileOffset at;
  PteHome home = PteHome::kPageTable;
  // The bytes that a file has for its pages; zeros follow. Pages of a backing have all of theirs.
  ByteCount bytes = bytes_of(PageCount(kMaxTransferPages));
  Transfers::Id transfer{};  // Once it has begun.
};

// The entry at `pte` and its neighbours on both sides, forward first (programs read upward more often than downward),
// for as long as `belongs(distance in entries, entry)` says so and at most `most`.
template <class Belongs>
Cluster gather(const Core& core, const Processor& cpu, PhysicalAddress pte, std::size_t most, Belongs&& belongs) {
  const auto width = static_cast<std::int64_t>(core.mode.entry_bytes);
  const auto address = [&](std::int64_t distance) {
    return PhysicalAddress(pte.value() + static_cast<std::uint64_t>(distance * width));
  };
  const auto neighbour = [&](std::int64_t distance) {
    return address(distance).pfn() == pte.pfn() && belongs(distance, core.load(cpu, address(distance)));
  };
  std::int64_t ahead = 0;
  std::int64_t behind = 0;
  while (static_cast<std::size_t>(ahead) + 1 < most && neighbour(ahead + 1)) ++ahead;
  while (static_cast<std::size_t>(ahead + behind) + 1 < most && neighbour(-behind - 1)) ++behind;
  Cluster cluster;
  cluster.wanted = static_cast<std::size_t>(behind);
  for (std::int64_t distance = -behind; distance <= ahead; ++distance) {
    cluster.pte[cluster.count] = address(distance);
    cluster.raw[cluster.count++] = core.load(cpu, address(distance));
  }
  return cluster;
}

// Takes frames, puts the entries into transition, and begins the transfer. Frames for neighbours are taken only beyond the faults' reserve:
// they cost a standby page each, which is what they will be themselves; without that the cluster shrinks to the page
// that the access needs. False: there is no frame at all, and nothing has changed.
bool begin_read(Core& core, Processor& cpu, Cluster& cluster) PAGODA_REQUIRES(core.pfns.lock);

struct ReadOutcome {
  Status status = Status::kSuccess;  // kInPageError: the page that the access needs could not be read.
  std::size_t pages = 0;             // That will arrive.
  std::uint64_t operations = 0;
  std::uint64_t errors = 0;
  Time completes;
};
// Asks the disk, and then says when each page arrives, or puts its entry back, wherever it is by then. If the transfer
// fails, the page that the access needs is asked for alone. Counts the operations in the file's or the backing's name.
// Requires: the caller holds no lock of the manager's.
ReadOutcome finish_read(Core& core, Processor& cpu, Cluster& cluster) PAGODA_EXCLUDES(core.pfns.lock);

}  // namespace pagoda::mm
