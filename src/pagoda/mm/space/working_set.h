// The working set: the pages of a space that are mapped, and how many may be. NT: MMWSL, MMWSLE.
//
// Entries keep where the page's PTE lies, so that aging and replacement do not walk. Slots of entries that left are
// linked for use again. The hand is where the last replacement stopped; it runs over the slots in a circle.
//
// A private page's frame knows its slot. A page that is shared through a prototype PTE may be mapped by many, so its
// slot is found by a hash of its address, and the slot keeps the protection that this mapping has. (NT: Direct and
// Hashed; there the first sharer is direct too.)
//
// Invariants (mm::check):
//   [WS1] Entries and valid PTEs of the space correspond one to one; an entry's PTE address is where a walk ends.
//   [WS2] The PFN entry of a private page names its slot; the hash leads to those of the shared pages and to no others.
//   [WS3] Size, locked count, counts by age and the chain of free slots agree with the entries.
//   [WS4] Whoever watches knows of at least what may be trimmed.
// What it needs grows with it; where there is no memory for that, a page is replaced in place of one more.
// Locking: the lock of the address space. Source: reference/nt.md section 9.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "pagoda/base/growing_array.h"
#include "pagoda/base/random.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/pte/protection.h"

namespace pagoda::mm {

enum class LockKind : std::uint8_t { kInWorkingSet = 1, kInMemory = 2 };  // NT's MapType.

class Wsle {
 public:
  static constexpr unsigned kOldest = 3;

  Wsle() = default;
  Wsle(Vpn page, PhysicalAddress pte) : word_(kValid | page.value() << kVpnShift), pte_(pte.value()) {}

  [[nodiscard]] bool is_valid() const { return (word_ & kValid) != 0; }
  [[nodiscard]] bool is_locked() const { return (word_ & (kLockedInWs | kLockedInMemory)) != 0; }
  [[nodiscard]] bool is_locked_in_ws() const { return (word_ & kLockedInWs) != 0; }
  [[nodiscard]] bool is_locked_in_memory() const { return (word_ & kLockedInMemory) != 0; }
  [[nodiscard]] bool is_locked(LockKind kind) const {
    return kind == LockKind::kInMemory ? is_locked_in_memory() : is_locked_in_ws();
  }
  // Its lock is charged to commit (AddressSpace::lock_page).
  [[nodiscard]] bool is_charged() const { return (word_ & kCharged) != 0; }
  void set_charged(bool charged) { word_ = charged ? word_ | kCharged : word_ & ~kCharged; }
  // Shared through a prototype PTE. NT: Hashed.
  [[nodiscard]] bool is_shared() const { return (word_ & kShared) != 0; }
  // The rights of this mapping of a shared page.
  [[nodiscard]] Protection protection() const {
    return protection_from_bits(static_cast<unsigned>(word_ >> kProtectionShift));
  }
  [[nodiscard]] unsigned age() const { return static_cast<unsigned>(word_ >> kAgeShift & kOldest); }
  [[nodiscard]] Vpn page() const { return Vpn(word_ >> kVpnShift); }
  [[nodiscard]] PhysicalAddress pte() const { return PhysicalAddress(pte_); }

 private:
  friend class WorkingSet;
  friend struct Corruptor;
  void set_age(unsigned age) {
    word_ = (word_ & ~(std::uint64_t{kOldest} << kAgeShift)) | std::uint64_t{age} << kAgeShift;
  }
  // The bits of NT's MMWSLE (reference/nt.md section 9): 0 valid, 1 locked in the working set, 2 in memory, 3-7
  // protection, 8 hashed, 10-11 age, 12 up the page. Bit 9 (there: Direct) is ours.
  static constexpr std::uint64_t kValid = 1U << 0;
  static constexpr std::uint64_t kLockedInWs = 1U << 1;
  static constexpr std::uint64_t kLockedInMemory = 1U << 2;
  static constexpr unsigned kProtectionShift = 3;
  static constexpr std::uint64_t kProtectionMask = std::uint64_t{0x1F} << kProtectionShift;
  static constexpr std::uint64_t kShared = 1U << 8;
  static constexpr std::uint64_t kCharged = 1U << 9;
  static constexpr unsigned kAgeShift = 10;
  static constexpr unsigned kVpnShift = 12;

  std::uint64_t word_ = 0;  // A free slot has the next free one above kVpnShift.
  std::uint64_t pte_ = 0;
};

class WorkingSet {
 public:
  struct Limits {
    PageCount minimum;
    PageCount maximum;
    // Whether the maximum holds even while memory is plentiful. NT: QUOTA_LIMITS_HARDWS_MAX_ENABLE.
    enum class Maximum : std::uint8_t { kSoft, kHard } kind = Maximum::kSoft;
  };
  static constexpr std::uint32_t kNoSlot = ~std::uint32_t{0};

  // A frame may be mapped several times. So many slots for each frame of the machine there are; then pages are replaced
  // whatever the limits say. A choice.
  static constexpr std::uint64_t kSlotsPerFrame = 4;

  // What a trim may take: nothing (all pages are locked), only what lies below the minimum, or what lies above it.
  enum class Trimmable : std::uint8_t { kNothing, kBelowMinimum, kAboveMinimum };
  // Who keeps a list of sets to trim. Told when more may be trimmed than it was told last; that less may be, only when
  // it asks (`settle_watched`).
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void may_be_trimmed(Trimmable what) = 0;
  };

  WorkingSet(PageCount frames, const Limits& limits, std::uint64_t seed = 0)
      : most_slots_(std::min<std::uint64_t>(frames.value() * kSlotsPerFrame, kNoSlot)),
        limits_(limits),
        random_(seed) {}

  // At most one, which is told what there is now.
  void watch(std::unique_ptr<Watcher> watcher);
  [[nodiscard]] Trimmable trimmable() const {
    if (size_ == locked_) return Trimmable::kNothing;
    return size_ > limits_.minimum ? Trimmable::kAboveMinimum : Trimmable::kBelowMinimum;
  }
  [[nodiscard]] Trimmable watched() const { return watched_; }
  void settle_watched() {
    if (trimmable() != watched_) tell_watcher_of_change();
  }

  // --- Room ---
  // Whether there is a slot for one more page, after making more if there may be; else one is to be replaced.
  [[nodiscard]] bool has_slot() {
    return first_free_ != kNoSlot || (end_slot_ < most_slots_ && (end_slot_ < slots_.capacity() || slots_.grow()));
  }
  // Whether one more page can be mapped, in the place of another if need be. False: all are locked and there is no
  // memory for more.
  [[nodiscard]] bool has_room() { return has_slot() || size_ > locked_; }
  // Whether so many more pages can be shared ones.
  [[nodiscard]] bool has_room_for_shared(std::size_t more = 1) {
    return 2 * (shared_ + more) <= hash_.size() || grow_hash(more);
  }

  // --- Pages ---
  // A private page. Requires: there is a slot.
  std::uint32_t insert(Vpn page, PhysicalAddress pte);
  // A page that a prototype PTE owns. Requires, besides: room for one more shared page; so does `make_shared`.
  std::uint32_t insert_shared(Vpn page, PhysicalAddress pte, Protection protection);
  [[nodiscard]] std::uint32_t find_shared(Vpn page) const;
  // A shared page's mapping gets other rights, or becomes private (a copy was made).
  void set_protection(std::uint32_t slot, Protection protection);
  void make_private(std::uint32_t slot);
  void make_shared(std::uint32_t slot, Protection protection);
  void erase(std::uint32_t slot);
  void lock(std::uint32_t slot, LockKind kind);
  void unlock(std::uint32_t slot, LockKind kind);
  void set_age(std::uint32_t slot, unsigned age);

  [[nodiscard]] Wsle& operator[](std::uint32_t slot) { return slots_[slot]; }
  [[nodiscard]] const Wsle& operator[](std::uint32_t slot) const { return slots_[slot]; }
  // Slots in use lie below; some below are free.
  [[nodiscard]] std::uint32_t end_slot() const { return end_slot_; }
  [[nodiscard]] PageCount size() const { return size_; }
  // Slots that there is memory for.
  [[nodiscard]] std::size_t capacity() const { return slots_.capacity(); }
  [[nodiscard]] PageCount peak() const { return peak_; }
  [[nodiscard]] PageCount locked() const { return locked_; }
  // Pages of the age that are not locked.
  [[nodiscard]] std::uint32_t of_age(unsigned age) const { return of_age_[age]; }
  // The same of at least the age.
  [[nodiscard]] std::uint32_t as_old_as(unsigned age) const {
    std::uint32_t pages = 0;
    for (; age <= Wsle::kOldest; ++age) pages += of_age_[age];
    return pages;
  }
  [[nodiscard]] PageCount shared() const { return PageCount(shared_); }  // Mapped through prototype PTEs.
  [[nodiscard]] std::uint64_t insertions() const { return insertions_; }
  [[nodiscard]] const Limits& limits() const { return limits_; }
  void set_limits(const Limits& limits) {
    limits_ = limits;
    tell_watcher();
  }
  // Slots of shared pages by a hash of their address, kNoSlot where there is none: for the checker.
  [[nodiscard]] std::span<const std::uint32_t> hash() const { return hash_; }
  // The next slot in the circle, free or not; kNoSlot if there are none.
  std::uint32_t advance_hand() {
    if (end_slot_ == 0) return kNoSlot;
    if (hand_ >= end_slot_) hand_ = 0;
    return hand_++;
  }
  // Advances by so many slots at once, at most all.
  void skip(std::uint32_t slots) {
    if (slots > 0) hand_ = static_cast<std::uint32_t>((std::uint64_t{hand_} % end_slot_ + slots - 1) % end_slot_) + 1;
  }
  // Any page that is not locked; kNoSlot if there is none. The same ones for the same seed and history.
  std::uint32_t random_victim();
  [[nodiscard]] std::uint32_t first_free() const { return first_free_; }
  [[nodiscard]] std::uint32_t next_free(std::uint32_t slot) const {
    return static_cast<std::uint32_t>(slots_[slot].word_ >> Wsle::kVpnShift);
  }

 private:
  friend struct Corruptor;

  // Open addressing with linear probing; at most half full as long as there is memory for that, never quite full; a
  // power of two in size.
  [[nodiscard]] std::size_t home_of(Vpn page) const;
  void hash_insert(std::uint32_t slot);
  void hash_erase(Vpn page);
  [[nodiscard]] bool grow_hash(std::size_t more);
  // Few: most sets are above their minimum, or stay below.
  void tell_watcher() {
    if (watched_ != Trimmable::kAboveMinimum && trimmable() > watched_) [[unlikely]]
      tell_watcher_of_change();
  }
  void tell_watcher_of_change();

  GrowingArray<Wsle> slots_;
  const std::uint64_t most_slots_;
  std::vector<std::uint32_t> hash_;  // Slots; kNoSlot: empty.
  std::size_t shared_ = 0;           // Entries in the hash.
  Limits limits_;
  Random random_;
  PageCount size_;
  PageCount peak_;
  PageCount locked_;
  std::array<std::uint32_t, Wsle::kOldest + 1> of_age_{};  // Pages that are not locked.
  std::uint64_t insertions_ = 0;
  std::uint32_t end_slot_ = 0;
  std::uint32_t first_free_ = kNoSlot;
  std::uint32_t hand_ = 0;
  Trimmable watched_ = Trimmable::kNothing;
  std::unique_ptr<Watcher> watcher_;
};

}  // namespace pagoda::mm
