// The clock: the hand runs over the slots in a circle, and a page that was accessed since it last came by has a second
// chance. NT: MiReplaceWorkingSetEntry, MiTrimWorkingSet. Source: reference/nt.md section 9.
#include <utility>

#include "pagoda/mm/ws/replacement_policy.h"

namespace pagoda::mm {

namespace {

bool may_leave(const Wsle& entry) { return entry.is_valid() && !entry.is_locked(); }

class Clock final : public ReplacementPolicy {
 public:
  std::uint32_t replace(WorkingSet& ws, Uses& uses) const override {
    // One round clears every accessed bit, so a second round always finds a page that is not locked.
    for (std::uint64_t steps = 2 * std::uint64_t{ws.end_slot()} + 1; steps > 0; --steps) {
      const std::uint32_t slot = ws.advance_hand();
      if (slot == WorkingSet::kNoSlot) break;
      Wsle& entry = ws[slot];
      if (!may_leave(entry)) continue;
      if (!uses.test_and_clear_accessed(entry)) return slot;
      ws.set_age(slot, 0);
    }
    return WorkingSet::kNoSlot;
  }

  std::uint32_t trim(WorkingSet& ws, Uses& uses, Pass& pass) const override {
    while (pass.candidates > 0 && pass.slots > 0) {
      const std::uint32_t slot = ws.advance_hand();
      --pass.slots;
      const Wsle& entry = ws[slot];
      if (!may_leave(entry) || entry.age() < pass.age) continue;
      --pass.candidates;
      // Used since the last aging pass: not as old as it looks. At age 0 nothing is spared any more.
      if (pass.age > 0 && uses.is_accessed(entry)) continue;
      return slot;
    }
    // What is left of the round has none: the hand comes back to where it began, as if it had looked.
    ws.skip(std::exchange(pass.slots, 0));
    return WorkingSet::kNoSlot;
  }

  [[nodiscard]] unsigned oldest(const WorkingSet& ws) const override {
    unsigned age = Wsle::kOldest;
    while (age > 0 && ws.of_age(age) == 0) --age;
    return age;
  }
};

}  // namespace

const ReplacementPolicy& clock_policy() {
  static const Clock policy;
  return policy;
}

}  // namespace pagoda::mm
