// Entries of an address space that become less permissive together, and the one place that knows in which order: entries
// first, shoot-down second, frames third.
//
//   FlushBatchOf<64> batch(space, cpu);
//   for (...) {
//     space.tables().store(cpu, pte, 0);         1. the caller makes the entry less permissive,
//     batch.add({page, pte, was}, release);         and says what becomes of its frame
//   }
//   batch.unlink_tables(page);                      tables that became empty leave the tables above
//   batch.flush();                               2. one shoot-down for all
//                                                3. `release` for each, then the tables' frames
//
// A batch that is full is flushed on the way, so its room says how many entries cost an interrupt. It allocates nothing.
//
// Locking: the space's lock, from the first entry on until the batch is flushed; no other thread sees what lies between.
// Releases are called with the PFN lock held.
#pragma once

#include <cstddef>

#include "pagoda/base/bounded_vector.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

class FlushBatch {
 public:
  // An entry that was valid.
  struct Change {
    Vpn page;
    PhysicalAddress pte;
    RawPte was = 0;                             // Before: which frame, and whether it is dirty.
    Protection protection = Protection::kNone;  // What the release wants to know of it.
    PageCount pages{1};                         // A large page's.
  };
  // What becomes of the entry's frame once nobody can reach it by the old entry. With the PFN lock held.
  using Release = void (*)(AddressSpace& space, const Processor& cpu, const Change& change);

  FlushBatch(const FlushBatch&) = delete;
  FlushBatch& operator=(const FlushBatch&) = delete;

  [[nodiscard]] AddressSpace& space() const { return space_; }
  [[nodiscard]] Processor& cpu() const { return cpu_; }

  // The entry is less permissive now. Null: nothing becomes of its frame.
  void add(const Change& change, Release release) {
    if (changes_.room() == 0 || runs_.room() == 0) flush();
    changes_.push_back({change, release});
    releases_any_ |= release != nullptr;
    add_run({change.page, change.pages}, space_.core().codec.frame(change.was));
  }
  // The entry's accessed bit was cleared: the TLBs forget the page, or its next use would not set the bit again.
  void add_unaccessed(Vpn page) {
    if (runs_.room() == 0) flush();
    add_run({page, 1_pages}, kNoPfn);
  }
  // The tables of the page that have become empty leave those above them.
  void unlink_tables(Vpn page);
  // Entries that have been added and whose page table is this, and not flushed yet.
  [[nodiscard]] std::uint32_t entries_in(Pfn table) const;
  void flush();

 protected:
  struct Entry {
    Change change;
    Release release;
  };
  // A few page tables' worth of upper tables.
  using Tables = InlineVector<Pfn, 16>;

  FlushBatch(AddressSpace& space, Processor& cpu, BoundedVector<Entry>& changes, BoundedVector<machine::StaleRun>& runs)
      : space_(space), cpu_(cpu), changes_(changes), runs_(runs) {}
  ~FlushBatch() = default;

 private:
  void add_run(VpnRange pages, Pfn first) {
    if (!runs_.empty()) {
      machine::StaleRun& last = runs_.back();
      const bool frames_follow =
          first == kNoPfn || last.first == kNoPfn ? first == last.first : first == last.first + last.pages.count;
      if (last.pages.end() == pages.first && frames_follow) {
        last.pages.count += pages.count;
        return;
      }
    }
    runs_.push_back({pages, first});
  }

  AddressSpace& space_;
  Processor& cpu_;
  BoundedVector<Entry>& changes_;
  BoundedVector<machine::StaleRun>& runs_;
  Tables tables_;  // Unlinked, from the bottom up.
  bool releases_any_ = false;
};

// One with room for so many entries.
template <std::size_t kMost>
class FlushBatchOf final : public FlushBatch {
 public:
  FlushBatchOf(AddressSpace& space, Processor& cpu) : FlushBatch(space, cpu, changes_, runs_) {}
  FlushBatchOf(const FlushBatchOf&) = delete;
  FlushBatchOf& operator=(const FlushBatchOf&) = delete;
  ~FlushBatchOf() { PAGODA_DCHECK(runs_.empty()); }

 private:
  InlineVector<Entry, kMost> changes_;
  InlineVector<machine::StaleRun, kMost> runs_;
};

// For operations on whole ranges: an interrupt for each so many pages, the entries of a page table of PAE and AMD64. A
// choice: 37 KB of a stack.
inline constexpr std::size_t kRangeBatch = 512;

// --- Releases that more than one caller needs ---
// The page is gone: the frame of a private page is free, a shared one has one mapping fewer.
void release_freed(AddressSpace& space, const Processor& cpu, const FlushBatch::Change& change);
// The page left the working set, and its frame goes where its contents deserve.
void release_unmapped(AddressSpace& space, const Processor& cpu, const FlushBatch::Change& change);
// The page stays mapped; that it was dirty becomes the PFN entry's.
void release_cleaned(AddressSpace& space, const Processor& cpu, const FlushBatch::Change& change);

}  // namespace pagoda::mm
