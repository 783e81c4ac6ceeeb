// AWE: frames that a program has for its own, and windows in which it maps them where it likes. NT: Address Windowing
// Extensions, so that a 32-bit program can use more memory than it has addresses.
//
//   allocate -> owned, not mapped <-> mapped by one entry of a window -> free
//
// An owned frame is active with one reference, its owner's; nonpageable, in no working set, never clean. Its PFN entry
// says where the owner's list has it, and which entry maps it. A window (VadType::kAwe) promises nothing: its entries
// are zero, which faults as an access violation, or map a frame read-write.
//
// Invariants (mm::check):
//   [AW1] Every AWE frame is in the list of one space, at the place that its PFN entry names; lists have no others.
//   [AW2] An AWE frame is mapped by the entry that its PFN entry names, and no other; by none if it names none.
//   [AW3] An entry of a window is zero or maps a frame of its space's list; nothing else maps one.
// What reference/nt.md leaves open, and was chosen: a frame that the caller does not own is kInvalidParameter3; one
// that is named twice, or is mapped where the call does not replace it, kConflictingAddresses; so is the foreign frame
// at which freeing stops. An address named twice is kInvalidParameter1. A window can only be protected read-write,
// which changes nothing (kInvalidPageProtection). A mapped page of a window reads as committed, the others as reserved.
// Locking: the lock of the address space. Source: reference/nt.md 7.8.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

// The frames that one space owns.
class AweFrames {
 public:
  // Any frame number, also of no frame that exists.
  [[nodiscard]] bool owns(const PfnDatabase& pfns, Pfn frame) const PAGODA_REQUIRES(pfns.lock) {
    if (frame.value() >= pfns.frames().value()) return false;
    const PfnEntry& e = pfns.entry(frame);
    return e.awe != 0 && e.awe_index < all_.size() && all_[e.awe_index] == frame;
  }
  // A frame that was taken.
  void add(PfnDatabase& pfns, Pfn frame) PAGODA_REQUIRES(pfns.lock) {
    pfns.make_awe(frame, static_cast<std::uint32_t>(all_.size()));
    all_.push_back(frame);
  }
  // One that is not mapped; it is free then.
  void remove(PfnDatabase& pfns, Pfn frame) PAGODA_REQUIRES(pfns.lock) {
    const std::uint32_t index = pfns.entry(frame).awe_index;
    all_[index] = all_.back();
    pfns.set_awe_index(all_[index], index);
    all_.pop_back();
    pfns.remove_awe(frame);
  }
  [[nodiscard]] std::span<const Pfn> all() const { return all_; }
  [[nodiscard]] PageCount count() const { return PageCount(all_.size()); }

 private:
  friend struct Corruptor;  // Tests of mm::check.

  std::vector<Pfn> all_;
};

}  // namespace pagoda::mm
