// How pages leave a working set, whatever chose them. NT: MiEliminateWorkingSetEntry, MiFreeWsleList.
#pragma once

#include <array>

#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

// Pages leave in batches: their PTEs become transition entries, then one shoot-down, then their frames go where their
// contents deserve; those of zeros to the zeroed list, if they are looked for (backing/zero_pages.h).
class EvictionBatch {
 public:
  enum class Zeros : std::uint8_t { kWrite, kFind };
  explicit EvictionBatch(AddressSpace& space, Zeros zeros = Zeros::kWrite) : space_(space), zeros_(zeros) {}
  EvictionBatch(const EvictionBatch&) = delete;
  EvictionBatch& operator=(const EvictionBatch&) = delete;
  ~EvictionBatch() { PAGODA_DCHECK_EQ(count_, std::size_t{0}); }

  // Requires: the space's lock.
  void add(Processor& cpu, std::uint32_t slot);
  // Requires: the space's lock, which was held since the first page was added.
  void flush(Processor& cpu);

 private:
  static constexpr std::size_t kMost = 64;
  struct Page {
    Pfn frame;
    PhysicalAddress pte;
    RawPte raw = 0;  // As it was.
  };
  AddressSpace& space_;
  const Zeros zeros_;
  std::array<Vpn, kMost> pages_;
  std::array<Page, kMost> frames_;
  std::size_t count_ = 0;
};

}  // namespace pagoda::mm
