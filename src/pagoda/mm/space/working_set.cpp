#include "pagoda/mm/space/working_set.h"

#include <algorithm>
#include <new>
#include <utility>

namespace pagoda::mm {

void WorkingSet::watch(std::unique_ptr<Watcher> watcher) {
  watcher_ = std::move(watcher);
  watched_ = Trimmable::kNothing;
  tell_watcher();
}

void WorkingSet::tell_watcher_of_change() {
  watched_ = trimmable();
  if (watcher_ != nullptr) watcher_->may_be_trimmed(watched_);
}

std::uint32_t WorkingSet::insert(Vpn page, PhysicalAddress pte) {
  std::uint32_t slot = first_free_;
  if (slot != kNoSlot) {
    first_free_ = next_free(slot);
  } else {
    PAGODA_CHECK(has_slot());
    slot = end_slot_++;
  }
  slots_[slot] = Wsle(page, pte);
  ++size_;
  ++of_age_[0];
  ++insertions_;
  peak_ = std::max(peak_, size_);
  tell_watcher();
  return slot;
}

std::uint32_t WorkingSet::insert_shared(Vpn page, PhysicalAddress pte, Protection protection) {
  const std::uint32_t slot = insert(page, pte);
  make_shared(slot, protection);
  return slot;
}

void WorkingSet::set_protection(std::uint32_t slot, Protection protection) {
  Wsle& entry = slots_[slot];
  PAGODA_DCHECK(entry.is_shared());
  entry.word_ = (entry.word_ & ~Wsle::kProtectionMask) | std::uint64_t{bits(protection)} << Wsle::kProtectionShift;
}

void WorkingSet::make_private(std::uint32_t slot) {
  Wsle& entry = slots_[slot];
  hash_erase(entry.page());
  entry.word_ &= ~(Wsle::kShared | Wsle::kProtectionMask);
}

void WorkingSet::make_shared(std::uint32_t slot, Protection protection) {
  slots_[slot].word_ |= Wsle::kShared | std::uint64_t{bits(protection)} << Wsle::kProtectionShift;
  hash_insert(slot);
}

std::size_t WorkingSet::home_of(Vpn page) const {
  constexpr std::uint64_t kGoldenRatio = 0x9E3779B97F4A7C15;  // Spreads neighbours over the table.
  return static_cast<std::size_t>(page.value() * kGoldenRatio >> 32) & (hash_.size() - 1);
}

std::uint32_t WorkingSet::find_shared(Vpn page) const {
  if (hash_.empty()) return kNoSlot;
  for (std::size_t at = home_of(page); hash_[at] != kNoSlot; at = (at + 1) & (hash_.size() - 1))
    if (slots_[hash_[at]].page() == page) return hash_[at];
  return kNoSlot;
}

bool WorkingSet::grow_hash(std::size_t more) {
  constexpr std::size_t kSmallest = 64;
  std::size_t size = std::max(kSmallest, 2 * hash_.size());
  while (size < 2 * (shared_ + more)) size *= 2;
  std::vector<std::uint32_t> old;
  try {
    old.assign(size, kNoSlot);
  } catch (const std::bad_alloc&) {
    return shared_ + more < hash_.size();  // Longer searches, but they end.
  }
  hash_.swap(old);
  for (const std::uint32_t moved : old) {
    if (moved == kNoSlot) continue;
    std::size_t at = home_of(slots_[moved].page());
    while (hash_[at] != kNoSlot) at = (at + 1) & (hash_.size() - 1);
    hash_[at] = moved;
  }
  return true;
}

void WorkingSet::hash_insert(std::uint32_t slot) {
  PAGODA_CHECK(has_room_for_shared());
  ++shared_;
  std::size_t at = home_of(slots_[slot].page());
  while (hash_[at] != kNoSlot) at = (at + 1) & (hash_.size() - 1);
  hash_[at] = slot;
}

void WorkingSet::hash_erase(Vpn page) {
  const std::size_t mask = hash_.size() - 1;
  std::size_t hole = home_of(page);
  while (slots_[hash_[hole]].page() != page) hole = (hole + 1) & mask;
  --shared_;
  // Entries behind the hole move up as long as that brings them nearer to their home, so that no probe ends too early.
  for (std::size_t at = (hole + 1) & mask; hash_[at] != kNoSlot; at = (at + 1) & mask) {
    const std::size_t home = home_of(slots_[hash_[at]].page());
    if (((at - home) & mask) < ((at - hole) & mask)) continue;
    hash_[hole] = hash_[at];
    hole = at;
  }
  hash_[hole] = kNoSlot;
}

void WorkingSet::erase(std::uint32_t slot) {
  Wsle& entry = slots_[slot];
  PAGODA_DCHECK(entry.is_valid());
  if (entry.is_shared()) hash_erase(entry.page());
  if (entry.is_locked()) {
    --locked_;
  } else {
    --of_age_[entry.age()];
  }
  entry.word_ = std::uint64_t{first_free_} << Wsle::kVpnShift;
  entry.pte_ = 0;
  first_free_ = slot;
  --size_;
}

std::uint32_t WorkingSet::random_victim() {
  if (end_slot_ == 0) return kNoSlot;
  auto slot = static_cast<std::uint32_t>(random_.below(end_slot_));
  for (std::uint32_t steps = end_slot_; steps > 0; --steps) {
    if (slots_[slot].is_valid() && !slots_[slot].is_locked()) return slot;
    slot = slot + 1 == end_slot_ ? 0 : slot + 1;
  }
  return kNoSlot;
}

void WorkingSet::lock(std::uint32_t slot, LockKind kind) {
  Wsle& entry = slots_[slot];
  if (!entry.is_locked()) {
    ++locked_;
    --of_age_[entry.age()];
  }
  entry.word_ |= kind == LockKind::kInMemory ? Wsle::kLockedInMemory : Wsle::kLockedInWs;
}

void WorkingSet::unlock(std::uint32_t slot, LockKind kind) {
  Wsle& entry = slots_[slot];
  PAGODA_DCHECK(entry.is_locked());
  entry.word_ &= ~(kind == LockKind::kInMemory ? Wsle::kLockedInMemory : Wsle::kLockedInWs);
  if (entry.is_locked()) return;
  --locked_;
  ++of_age_[entry.age()];
  tell_watcher();
}

void WorkingSet::set_age(std::uint32_t slot, unsigned age) {
  Wsle& entry = slots_[slot];
  PAGODA_DCHECK(entry.is_valid() && age <= Wsle::kOldest);
  if (!entry.is_locked()) {
    --of_age_[entry.age()];
    ++of_age_[age];
  }
  entry.set_age(age);
}

}  // namespace pagoda::mm
