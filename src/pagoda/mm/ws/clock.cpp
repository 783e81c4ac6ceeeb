// The clock: the hand runs over the slots in a circle, and a page that was accessed since it last came by has a second
// chance. NT: MiReplaceWorkingSetEntry, MiTrimWorkingSet. Source: reference/nt.md section 9.
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
      entry.set_age(0);
    }
    return WorkingSet::kNoSlot;
  }

  std::uint32_t trim(WorkingSet& ws, Uses& uses, unsigned age, std::uint32_t& unseen) const override {
    for (; unseen > 0; --unseen) {
      const std::uint32_t slot = ws.advance_hand();
      const Wsle& entry = ws[slot];
      if (!may_leave(entry) || entry.age() < age) continue;
      // Used since the last aging pass: not as old as it looks. At age 0 nothing is spared any more.
      if (age > 0 && uses.is_accessed(entry)) continue;
      --unseen;
      return slot;
    }
    return WorkingSet::kNoSlot;
  }
};

}  // namespace

const ReplacementPolicy& clock_policy() {
  static const Clock policy;
  return policy;
}

}  // namespace pagoda::mm
