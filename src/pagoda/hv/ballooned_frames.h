// The guest frames that are in a balloon: the guest said that it does not use them, and the host has their memory. ESX:
// the annotation "ballooned" of a pmap entry.
//
//   the guest's --add (inflated)-> in the balloon --remove (deflated, or popped: the guest touched it)-> the guest's
//
// Invariants (hv::check):
//   [BL1] Nothing is behind a frame in the balloon: its page of vmmem is nowhere, and the second level has no entry.
//   [BL2] What is in the balloon is what was inflated less what left it (PartitionCounts).
// Locking: belongs to the thread that drives the virtual processors, as the counts do.
// Source: reference/virtualization.md 1.1 and 1.3.
#pragma once

#include "pagoda/base/bitmap.h"
#include "pagoda/base/units.h"

namespace pagoda::hv {

class BalloonedFrames {
 public:
  // `memory`: the guest's own frames, from 0 on.
  explicit BalloonedFrames(PageCount memory) : memory_(memory) {}

  [[nodiscard]] bool contains(Gfn frame) const { return frame.value() < frames_.size() && frames_.test(frame.value()); }
  [[nodiscard]] PageCount count() const { return PageCount(frames_.count()); }

  // Requires: the guest's own memory, not in it.
  void add(Gfn frame) {
    if (frames_.size() == 0) frames_.resize(memory_.value());
    frames_.set(frame.value());
  }
  // False: it was not in it.
  bool remove(Gfn frame) {
    if (!contains(frame)) return false;
    frames_.clear(frame.value());
    return true;
  }
  void clear() { frames_ = Bitmap(); }
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (std::size_t at = frames_.next_set(0); at < frames_.size(); at = frames_.next_set(at + 1))
      visit(Gfn(static_cast<std::uint32_t>(at)));
  }

 private:
  friend struct Corruptor;

  PageCount memory_;
  Bitmap frames_;  // By frame; empty until the first is added.
};

}  // namespace pagoda::hv
