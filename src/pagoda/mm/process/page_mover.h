// Moves a page of a program to another frame while it stays mapped: for devices that reach low memory only.
//
//   PTE ── page in a frame that is too high     hidden: no PTE, TLB or observer leads to it
//          copied, byte for byte
//   PTE ── page in a frame below                the old frame is free, and so is the slot that the page had
//
// The page keeps its place in the working set, its rights and its age. Its new frame holds the only copy: it is written
// to a backing again before it can leave memory.
//
// What is not moved: a page that a transfer or a pin holds, that is locked, that a program has reset (MEM_RESET); one of
// a view, of a large page, of an AWE window, of a device, or that a fork or sharing by contents shares.
// Locking: the space's lock, and the PFN lock inside. Source: reference/virtualization.md 1.8.
#pragma once

#include <cstdint>
#include <optional>

#include "pagoda/mm/process/process_space.h"

namespace pagoda::mm {

class PageMover {
 public:
  explicit PageMover(Core& core) : core_(core) {}

  enum class Outcome : std::uint8_t {
    kDone,
    kCannot,  // It is not mapped, or it is not to be moved.
    kNoFrame,
  };
  // To a frame below `end`.
  // Requires: no PFN lock.
  Outcome move_below(ProcessSpace& space, Processor& cpu, Vpn page, Pfn end) PAGODA_REQUIRES(space.lock);
  // Makes a frame below `end` available: moves the page of the space there that was not used for longest to a frame
  // that is not below.
  Outcome make_room_below(ProcessSpace& space, Processor& cpu, Pfn end) PAGODA_REQUIRES(space.lock);

 private:
  struct Candidate {
    std::uint32_t slot = WorkingSet::kNoSlot;
    Vpn page;
    PhysicalAddress pte;
    RawPte raw = 0;
    Pfn frame = kNoPfn;
  };
  // Nothing: the page of the slot is not to be moved.
  [[nodiscard]] std::optional<Candidate> candidate(ProcessSpace& space, const Processor& cpu, std::uint32_t slot) const
      PAGODA_REQUIRES(space.lock);
  // `take()` has a frame for it, with the PFN lock held.
  template <class Take>
  Outcome move(ProcessSpace& space, Processor& cpu, const Candidate& of, Take&& take) PAGODA_REQUIRES(space.lock);

  Core& core_;
};

}  // namespace pagoda::mm
