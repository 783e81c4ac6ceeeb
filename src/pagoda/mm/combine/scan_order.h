// In which order the pages of a space are looked at.
//
//   kRandom   each slot of the working set once a pass, in a random order (ESX picks pages at random; this looks at none
//             twice, and at all)
//   kByYield  the slots in regions, those more often that have yielded something that lasts (UKSM)
//
// A region is a run of slots, which pages enter in the order of their first touch. By yield, a round visits each region
// once, in a random order, and looks at a part of its slots by its level:
//
//   level 2: all   ── more was written again than lasted, or nothing is shared ──> 1: a quarter ──> 0: a sixteenth
//   any level      ── more lasted ──> 2
//
// What *lasted* are slots that were shared when they were last visited and still are; *written again* are those that are
// not. A slot that became shared says nothing yet: the next visit tells. Visits count a quarter as much from one to the
// next. So pages that are merged and written in turns sink, as pages do that are alone in what they hold; both are
// sampled, the same slots twice so that the second visit can tell, and rise when that changes. What stays shared is passed
// over at no cost, and whoever leaves it is found soon. A new region begins at level 2: the first round is a whole pass.
//
// Locking: the caller's. Source: reference/overcommit-facts.md 3, "UKSM (FAST'18)"; virtualization.md 1.5.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/base/sharing.h"

namespace pagoda::mm {

class ScanOrder {
 public:
  static constexpr std::uint32_t kSlotsOfRegion = 64;

  // The next slot of so many, at least one; whether a pass, or round, begins with it.
  struct Step {
    std::uint32_t slot = 0;
    bool begins_pass = false;
  };
  [[nodiscard]] Step next(std::uint32_t slots, SharingTunables::Order order, Random& random) {
    return order == SharingTunables::Order::kRandom ? next_at_random(slots, random) : next_by_yield(slots, random);
  }
  // By yield: whether the next step leaves the region. What became of its pages is noted before.
  [[nodiscard]] bool is_visit_over(std::uint32_t slots) const {
    return step_ != 0 && at_ >= std::min(slots, (region_ + 1) * kSlotsOfRegion);
  }
  // What the slot has, seen on a visit or after its page was looked at.
  void note(std::uint32_t slot, bool is_shared);
  // Of the slot's region; for tests.
  [[nodiscard]] unsigned level(std::uint32_t slot) const { return regions_[slot / kSlotsOfRegion].level; }

 private:
  struct Region {
    std::uint64_t shared = 0;  // By slot: shared when it was seen last.
    std::int32_t lasted = 0;   // In this visit: slots that are still shared, less those that are no more.
    std::int32_t balance = 0;  // Of the visits before, each a quarter of the next.
    std::uint8_t level = 2;
    std::uint8_t turn = 0;  // Of the visits: two in turn are to the same part of the slots.
  };

  // All numbers below so many, in a random order: a walk by a stride that shares no divisor with it.
  class Walk {
   public:
    void begin(std::uint32_t size, Random& random);
    [[nodiscard]] bool is_done() const { return left_ == 0; }
    std::uint32_t next();

   private:
    std::uint32_t size_ = 0;
    std::uint32_t left_ = 0;
    std::uint32_t at_ = 0;
    std::uint32_t stride_ = 1;
  };

  Step next_at_random(std::uint32_t slots, Random& random);
  Step next_by_yield(std::uint32_t slots, Random& random);
  void end_visit(Region& region);

  Walk walk_;  // Of slots, or of regions.
  std::vector<Region> regions_;
  std::uint32_t region_ = 0;  // That is being visited,
  std::uint32_t at_ = 0;      // the next of its slots,
  std::uint32_t step_ = 0;    // and how far it is to the one after that; 0: none is visited.
};

}  // namespace pagoda::mm
