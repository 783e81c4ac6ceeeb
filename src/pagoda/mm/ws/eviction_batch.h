// How pages leave a working set, whatever chose them. NT: MiEliminateWorkingSetEntry, MiFreeWsleList.
#pragma once

#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

// Pages leave in batches: their PTEs become transition entries, then one shoot-down, then their frames go where their
// contents deserve; those of zeros to the zeroed list, if they are looked for (backing/zero_pages.h). A page is offered to
// sharing first (space/page_sharer.h): one that has become an equal page's costs no transfer.
class EvictionBatch {
 public:
  enum class Zeros : std::uint8_t { kWrite, kFind };
  EvictionBatch(AddressSpace& space, Processor& cpu, Zeros zeros = Zeros::kWrite) : batch_(space, cpu), zeros_(zeros) {}

  // Requires: the space's lock.
  void add(std::uint32_t slot);
  // The page stays, and its accessed bit was cleared. Requires: the space's lock.
  void add_unaccessed(Vpn page) { batch_.add_unaccessed(page); }
  // Requires: the space's lock, which was held since the first page was added.
  void flush();

 private:
  // Pages for one interrupt. A choice: a trim takes so many at once, and a fault has 5 KB of a stack for it.
  static constexpr std::size_t kMost = 64;

  FlushBatchOf<kMost> batch_;
  const Zeros zeros_;
  InlineVector<Pfn, kMost> candidates_;  // Frames that may hold zeros.
};

}  // namespace pagoda::mm
