#include "pagoda/mm/ws/working_set.h"

#include <algorithm>

namespace pagoda::mm {

std::uint32_t WorkingSet::insert(Vpn page, PhysicalAddress pte) {
  std::uint32_t slot = first_free_;
  if (slot != kNoSlot) {
    first_free_ = next_free(slot);
  } else {
    slot = end_slot_++;
  }
  slots_[slot] = Wsle(page, pte);
  ++size_;
  ++insertions_;
  peak_ = std::max(peak_, size_);
  return slot;
}

void WorkingSet::erase(std::uint32_t slot) {
  Wsle& entry = slots_[slot];
  PAGODA_DCHECK(entry.is_valid());
  if (entry.is_locked()) --locked_;
  entry.word_ = std::uint64_t{first_free_} << Wsle::kVpnShift;
  entry.pte_ = 0;
  first_free_ = slot;
  --size_;
}

void WorkingSet::lock(std::uint32_t slot, LockKind kind) {
  Wsle& entry = slots_[slot];
  if (!entry.is_locked()) ++locked_;
  entry.word_ |= kind == LockKind::kInMemory ? Wsle::kLockedInMemory : Wsle::kLockedInWs;
}

void WorkingSet::unlock(std::uint32_t slot, LockKind kind) {
  Wsle& entry = slots_[slot];
  PAGODA_DCHECK(entry.is_locked());
  entry.word_ &= ~(kind == LockKind::kInMemory ? Wsle::kLockedInMemory : Wsle::kLockedInWs);
  if (!entry.is_locked()) --locked_;
}

}  // namespace pagoda::mm
