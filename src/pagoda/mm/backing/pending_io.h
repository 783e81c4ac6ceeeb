// Paging transfers under way: which frames they hold, and when they complete.
//
// Bytes move when a transfer is issued; frames stay in transition until the time at which the disk would have answered.
// A caller of mm calls `complete` with its clock first; an event loop, which always runs the processor furthest behind,
// so never lets a page arrive early.
//
// Invariants (mm::check):
//   [IO1] A frame with a read (a write) under way is in exactly one read (write) transfer, all others in none; a read
//         ends when the frame's entry says, and none before the next one.
// Locking: the PFN lock.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

// 64 KB. reference/nt.md section 3 (writing) and 4 (reading: 8 pages at most).
inline constexpr std::size_t kMaxTransferPages = 16;

class PendingIo {
 public:
  struct Transfer {
    enum class Kind : std::uint8_t { kRead, kWrite, kFailedWrite };
    Time completes;
    std::uint64_t sequence = 0;  // Orders transfers that complete at the same time.
    Kind kind = Kind::kRead;
    std::uint8_t count = 0;
    std::array<Pfn, kMaxTransferPages> frames{};
  };

  PendingIo();

  void add(Time completes, Transfer::Kind kind, std::span<const Pfn> frames);
  // kNever when nothing is under way.
  [[nodiscard]] Time next() const { return heap_.empty() ? kNever : heap_.front().completes; }
  [[nodiscard]] std::span<const Transfer> transfers() const { return heap_; }
  // Ends every transfer that completed by `now`.
  void complete(Time now, PfnDatabase& pfns) PAGODA_REQUIRES(pfns.lock);

 private:
  std::vector<Transfer> heap_;
  std::uint64_t sequence_ = 0;
};

}  // namespace pagoda::mm
