// How pages leave a working set, whatever chose them. NT: MiEliminateWorkingSetEntry, MiFreeWsleList.
#pragma once

#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

// Pages leave in batches: their PTEs become transition entries, then one shoot-down, then their frames go where their
// contents deserve.
class EvictionBatch {
 public:
  EvictionBatch(AddressSpace& space, Processor& cpu) : batch_(space, cpu) {}

  // Requires: the space's lock.
  void add(std::uint32_t slot);
  // The page stays, and its accessed bit was cleared. Requires: the space's lock.
  void add_unaccessed(Vpn page) { batch_.add_unaccessed(page); }
  // Requires: the space's lock, which was held since the first page was added.
  void flush() { batch_.flush(); }

 private:
  // Pages for one interrupt. A choice: a trim takes so many at once, and a fault has 5 KB of a stack for it.
  static constexpr std::size_t kMost = 64;

  FlushBatchOf<kMost> batch_;
};

}  // namespace pagoda::mm
