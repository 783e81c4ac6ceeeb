// Who leaves a working set: replacement when it is full, trimming when memory is short. NT: MiReplaceWorkingSetEntry,
// MmTrimWorkingSet.
//
// Tunables::victim says how: by use and age, or anyone who is not locked, whatever the age.
#pragma once

#include <array>

#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

// Before a page is added: a working set at its maximum replaces one page, the first that the hand finds not accessed
// since it last came by (a soft maximum only while memory is not plentiful). Without a victim, all being locked, it
// grows.
void make_room(AddressSpace& space, Processor& cpu) PAGODA_REQUIRES(space.lock);

// Pages leave in batches: their PTEs become transition entries, then one shoot-down, then their frames go where their
// contents deserve.
class EvictionBatch {
 public:
  explicit EvictionBatch(AddressSpace& space) : space_(space) {}
  EvictionBatch(const EvictionBatch&) = delete;
  EvictionBatch& operator=(const EvictionBatch&) = delete;
  ~EvictionBatch() { PAGODA_DCHECK_EQ(count_, std::size_t{0}); }

  // With the space's lock held.
  void add(Processor& cpu, std::uint32_t slot);
  // The same; to be called before the lock is released.
  void flush(Processor& cpu);

 private:
  static constexpr std::size_t kMost = 64;
  struct Page {
    Pfn frame;
    PhysicalAddress pte;
    RawPte raw = 0;  // As it was.
  };
  AddressSpace& space_;
  std::array<Vpn, kMost> pages_;
  std::array<Page, kMost> frames_;
  std::size_t count_ = 0;
};

// One aging pass: entries accessed since the last become young, others one step older.
void age_working_set(AddressSpace& space, Processor& cpu) PAGODA_REQUIRES(space.lock);

// Up to `wanted` pages of at least the age leave, none below `floor` left. Returns how many did.
PageCount trim_working_set(AddressSpace& space, Processor& cpu, PageCount wanted, PageCount floor, unsigned age)
    PAGODA_REQUIRES(space.lock);

}  // namespace pagoda::mm
