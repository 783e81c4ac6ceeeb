#include "pagoda/mm/ws/replacement.h"

#include <algorithm>
#include <span>

#include "pagoda/mm/ws/eviction_batch.h"
#include "pagoda/mm/ws/replacement_policy.h"

namespace pagoda::mm {

namespace {

class UsesOfSpace final : public ReplacementPolicy::Uses {
 public:
  // The batch has TLBs forget what was accessed.
  UsesOfSpace(AddressSpace& space, Processor& cpu, EvictionBatch& batch) : space_(space), cpu_(cpu), batch_(batch) {}

  bool is_accessed(const Wsle& entry) override {
    space_.lock.assert_held();
    return space_.is_accessed(cpu_, entry);
  }
  bool test_and_clear_accessed(Wsle& entry) override {
    space_.lock.assert_held();
    if (!space_.test_and_clear_accessed(cpu_, entry)) return false;
    batch_.add_unaccessed(entry.page());
    return true;
  }

 private:
  AddressSpace& space_;
  Processor& cpu_;
  EvictionBatch& batch_;
};

}  // namespace

void make_room(AddressSpace& space, Processor& cpu) {
  WorkingSet& ws = space.working_set();
  const bool has_slot = ws.has_slot();
  if (ws.size() < ws.limits().maximum && has_slot) return;
  Core& core = space.core();
  if (has_slot && ws.limits().kind == WorkingSet::Limits::Maximum::kSoft) {
    const LockGuard guard(core.pfns.lock);
    if (core.pfns.available() >= core.tunables.plenty_free) return;
  }
  EvictionBatch batch(space, cpu);
  UsesOfSpace uses(space, cpu, batch);
  const std::uint32_t slot = replacement_policy(core.tunables.victim).replace(ws, uses);
  if (slot != WorkingSet::kNoSlot) batch.add(slot);
  batch.flush();
  if (slot == WorkingSet::kNoSlot) return;
  const LockGuard guard(core.pfns.lock);
  ++core.counters.pages_replaced;
}

void age_working_set(AddressSpace& space, Processor& cpu) {
  WorkingSet& ws = space.working_set();
  bool any_accessed = false;
  for (std::uint32_t slot = 0; slot < ws.end_slot(); ++slot) {
    const Wsle& entry = ws[slot];
    if (!entry.is_valid()) continue;
    if (space.test_and_clear_accessed(cpu, entry)) {
      ws.set_age(slot, 0);
      any_accessed = true;
    } else {
      ws.set_age(slot, std::min(entry.age() + 1, Wsle::kOldest));
    }
  }
  const machine::StaleRun all{space.range(), kNoPfn};
  if (any_accessed) space.invalidate_tlbs(cpu, std::span(&all, 1));
}

PageCount trim_working_set(AddressSpace& space, Processor& cpu, PageCount wanted, PageCount floor, unsigned age) {
  WorkingSet& ws = space.working_set();
  const ReplacementPolicy& policy = replacement_policy(space.core().tunables.victim);
  EvictionBatch batch(space, cpu, EvictionBatch::Zeros::kFind);
  UsesOfSpace uses(space, cpu, batch);
  PageCount trimmed;
  for (ReplacementPolicy::Pass pass(ws, age); trimmed < wanted && ws.size() > floor; ++trimmed) {
    const std::uint32_t slot = policy.trim(ws, uses, pass);
    if (slot == WorkingSet::kNoSlot) break;
    batch.add(slot);
  }
  batch.flush();
  const LockGuard guard(space.core().pfns.lock);
  space.core().counters.pages_trimmed += trimmed.value();
  return trimmed;
}

}  // namespace pagoda::mm
