// Paging transfers under way: which frames and slots they use, when they end, and who waits for that.
//
//   begin ── the disk works, no lock is held ──> answered ── until the disk's time has come ──> ended (complete)
//
// What a transfer uses is nobody else's before it has ended. Its frames have a reference from it. Its slots are its own
// as much as the pages': a page that is dirtied, removed or reset meanwhile gives up its slot, and the transfer's end
// frees it. Entries are read again at the end: a fork may have moved them.
//
// Bytes move while the disk works; frames stay in transition until the time at which a real disk would have answered.
// A caller of mm calls `complete` with its clock first; an event loop, which always runs the processor furthest behind,
// so never lets a page arrive early. Waiting is for both: a thread sleeps while the disk works, which only other
// threads see, and moves its clock, or gives itself back to the event loop, for the rest.
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

#include "pagoda/base/lock.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

// 64 KB. reference/nt.md section 3 (writing) and 4 (reading: 8 pages at most).
inline constexpr std::size_t kMaxTransferPages = 16;

class Transfers {
 public:
  enum class Kind : std::uint8_t { kRead, kWrite };
  enum class Id : std::uint64_t {};

  struct Transfer {
    Time completes = kNever;     // kNever: the disk works.
    std::uint64_t sequence = 0;  // In the order of beginning; orders those that end at the same time.
    Kind kind = Kind::kRead;
    PfnDatabase::WriteOutcome outcome = PfnDatabase::WriteOutcome::kWritten;
    std::uint8_t count = 0;
    SlotName first;  // The first page's slot, the others' behind it; none: a file's.
    std::array<Pfn, kMaxTransferPages> frame{};

    [[nodiscard]] std::span<const Pfn> frames() const { return std::span(frame).first(count); }
    [[nodiscard]] SlotName slot(std::size_t page) const { return first.next(PageCount(page)); }
  };

  Transfers();

  // The disk is about to be asked. Requires: `begin_read`, `begin_write` or its like for each frame.
  Id begin(Kind kind, std::span<const Pfn> frames, SlotName first);
  // The disk has answered; the frames stay as they are until `completes`.
  void answered(Id id, Time completes, PfnDatabase::WriteOutcome outcome = PfnDatabase::WriteOutcome::kWritten);
  // Of a read, the disk has brought this page alone; what the others' entries say the caller has mended.
  void answered_one(Id id, std::size_t page, Time completes);
  // The disk has brought nothing.
  void failed(Id id);
  // Its slots are somebody else's to free.
  void give_up_slots(Id id);

  // kNever when none has been answered and not ended.
  [[nodiscard]] Time next() const { return heap_.empty() ? kNever : heap_.front().completes; }
  [[nodiscard]] bool any() const { return !heap_.empty() || !working_.empty(); }
  // Frames of all that are under way.
  [[nodiscard]] PageCount frames() const { return frames_; }
  // Calls `visit(transfer)` for each.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Transfer& transfer : heap_) visit(transfer);
    for (const Transfer& transfer : working_) visit(transfer);
  }
  // Ends every transfer that completed by `now`.
  void complete(Time now, PfnDatabase& pfns) PAGODA_REQUIRES(pfns.lock) {
    if (next() <= now) [[unlikely]]
      complete_some(now, pfns);
  }

  // --- Waiting; the caller holds the PFN lock alone, which is let go while a thread sleeps. Look again afterwards. ---
  // Until the bytes of the page are there, if it is being read.
  void wait_for_read(machine::Processor& cpu, PfnDatabase& pfns, Pfn frame) PAGODA_REQUIRES(pfns.lock);
  // Until some transfer ends. False: none is under way.
  bool wait_for_any(machine::Processor& cpu, PfnDatabase& pfns) PAGODA_REQUIRES(pfns.lock);

 private:
  void complete_some(Time now, PfnDatabase& pfns) PAGODA_REQUIRES(pfns.lock);
  Transfer take(Id id);
  void add(const Transfer& transfer);

  std::vector<Transfer> heap_;     // Answered; the one that ends next is in front.
  std::vector<Transfer> working_;  // The disk works. As many as threads at most.
  PageCount frames_;
  std::uint64_t sequence_ = 0;
  WaitQueue answers_;
};

}  // namespace pagoda::mm
