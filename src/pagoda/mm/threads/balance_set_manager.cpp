#include "pagoda/mm/threads/balance_set_manager.h"

#include <algorithm>

#include "pagoda/mm/combine/combiner.h"
#include "pagoda/mm/ws/prototype_trim.h"
#include "pagoda/mm/ws/replacement.h"
#include "pagoda/mm/ws/replacement_policy.h"
#include "pagoda/mm/ws/table_trim.h"

namespace pagoda::mm {

Time BalanceSetManager::due(Time now) const {
  const LockGuard guard(core_.pfns.lock);
  return core_.pfns.available() < core_.tunables.minimum_free ? now : next_tick_;
}

void BalanceSetManager::run(Processor& cpu) {
  if (cpu.now() >= next_tick_) {
    next_tick_ = cpu.now() + core_.tunables.balance_period;
    const LockGuard guard(spaces_.lock);
    for (const auto& space : spaces_.spaces) {
      const LockGuard space_guard(space->lock);
      age_working_set(*space, cpu);
    }
  }
  bool short_of_pages = false;
  {
    const LockGuard guard(core_.pfns.lock);
    short_of_pages = core_.pfns.available() < core_.tunables.minimum_free;
  }
  if (short_of_pages) trim(cpu, core_.tunables.plenty_free);
}

PageCount BalanceSetManager::missing(PageCount goal, Modified modified) const {
  const LockGuard guard(core_.pfns.lock);
  // Pages being written will be available soon; so will those that the writer can start on.
  PageCount coming = core_.pfns.available() + core_.transfers.frames();
  if (modified == Modified::kComing && (!core_.paging_files.free_slots().is_zero() || core_.store.has_room()))
    coming += core_.pfns.count(PageState::kModified);
  return coming >= goal ? 0_pages : goal - coming;
}

void BalanceSetManager::find_candidates() {
  const ReplacementPolicy& policy = replacement_policy(core_.tunables.victim);
  above_.clear();
  spaces_.to_trim.add_above_to(above_);
  candidates_.clear();
  for (AddressSpace* const space : above_) {
    const LockGuard guard(space->lock);
    WorkingSet& ws = space->working_set();
    ws.settle_watched();
    if (ws.trimmable() != WorkingSet::Trimmable::kAboveMinimum) continue;
    candidates_.push_back({space, ws.size() - ws.limits().minimum, policy.oldest(ws)});
  }
  // Equals in the order of their creation: the same run every time.
  std::ranges::sort(candidates_, [](const Candidate& a, const Candidate& b) {
    return a.above != b.above ? a.above > b.above : a.space->id() < b.space->id();
  });
}

PageCount BalanceSetManager::trim_to_minimum(Processor& cpu, PageCount goal, Modified modified) {
  find_candidates();
  unsigned oldest = 0;
  for (const Candidate& candidate : candidates_) oldest = std::max(oldest, candidate.oldest);
  PageCount trimmed;
  for (unsigned age = oldest + 1; age-- > 0;) {
    for (const Candidate& candidate : candidates_) {
      if (candidate.oldest < age) continue;
      const PageCount wanted = missing(goal, modified);
      if (wanted.is_zero()) return trimmed;
      const LockGuard guard(candidate.space->lock);
      const PageCount minimum = candidate.space->working_set().limits().minimum;
      trimmed += trim_working_set(*candidate.space, cpu, wanted, minimum, age);
    }
  }
  return trimmed;
}

PageCount BalanceSetManager::trim_below_minimum(Processor& cpu, PageCount goal, Modified modified) const {
  PageCount trimmed;
  AddressSpace* space = spaces_.to_trim.below(0);
  while (space != nullptr) {
    const PageCount wanted = missing(goal, modified);
    if (wanted.is_zero()) break;
    {
      const LockGuard guard(space->lock);
      trimmed += trim_working_set(*space, cpu, wanted, 0_pages, 0);
      space->working_set().settle_watched();
    }
    space = spaces_.to_trim.below(space->id() + 1);
  }
  return trimmed;
}

PageCount BalanceSetManager::trim(Processor& cpu, PageCount goal, Modified modified) {
  if (missing(goal, modified).is_zero()) return {};
  const LockGuard guard(spaces_.lock);
  PageCount trimmed = trim_to_minimum(cpu, goal, modified);
  if (trimmed.is_zero()) trimmed = trim_below_minimum(cpu, goal, modified);
  if (combiner_.any_to_join()) combiner_.join_late(cpu);
  trimmed += trim_tables(cpu, goal, modified);
  const PageCount wanted = missing(goal, modified);
  return wanted.is_zero() ? trimmed : trimmed + trim_prototypes(core_, cpu, wanted);
}

PageCount BalanceSetManager::trim_tables(Processor& cpu, PageCount goal, Modified modified) {
  PageCount trimmed;
  for (const auto& space : spaces_.spaces) {
    PageCount wanted = missing(goal, modified);
    {
      const LockGuard guard(core_.pfns.lock);
      wanted = std::min(wanted, core_.pfns.idle_tables());
    }
    if (wanted.is_zero()) break;
    const LockGuard guard(space->lock);
    trimmed += mm::trim_tables(*space, cpu, wanted);
  }
  return trimmed;
}

}  // namespace pagoda::mm
