// Which page leaves a working set: the choice alone, a file each. What happens to the page is ws/replacement.h's.
//
//   clock.cpp          by use and age: the first that the hand finds not accessed since it last came by. NT's.
//   random_victim.cpp  any page that is not locked: how a host keeps out of step with its guests
//                      (reference/virtualization.md section 3, "random host victim")
//
// A policy has no state of its own: the hand and the random numbers are the working set's, so that each space replays.
// Locking: the lock of the address space.
#pragma once

#include <cstdint>

#include "pagoda/mm/base/tunables.h"
#include "pagoda/mm/space/working_set.h"

namespace pagoda::mm {

class ReplacementPolicy {
 public:
  // What the processor and the observers of the space know of an entry's page.
  class Uses {
   public:
    virtual ~Uses() = default;
    [[nodiscard]] virtual bool is_accessed(const Wsle& entry) = 0;
    // Afterwards the page counts as not accessed until its next use.
    virtual bool test_and_clear_accessed(Wsle& entry) = 0;
  };

  // One pass over a working set while memory is short: what it has not seen yet.
  struct Pass {
    Pass(const WorkingSet& ws, unsigned least_age)
        : age(least_age), slots(ws.end_slot()), candidates(ws.as_old_as(least_age)) {}
    unsigned age;              // Of the pages to trim, at least.
    std::uint32_t slots;       // That the pass has not looked at.
    std::uint32_t candidates;  // Pages of that age among them.
  };

  virtual ~ReplacementPolicy() = default;
  // The slot of the page that makes room for another; kNoSlot: all are locked.
  [[nodiscard]] virtual std::uint32_t replace(WorkingSet& ws, Uses& uses) const = 0;
  // The slot of the next page to trim, which the caller takes out of the set; kNoSlot: there is none more in this pass.
  [[nodiscard]] virtual std::uint32_t trim(WorkingSet& ws, Uses& uses, Pass& pass) const = 0;
  // The greatest age for which a pass may find a page. Requires: one is not locked.
  [[nodiscard]] virtual unsigned oldest(const WorkingSet& ws) const = 0;
};

const ReplacementPolicy& clock_policy();
const ReplacementPolicy& random_victim_policy();
[[nodiscard]] inline const ReplacementPolicy& replacement_policy(Tunables::Victim victim) {
  return victim == Tunables::Victim::kRandom ? random_victim_policy() : clock_policy();
}

}  // namespace pagoda::mm
