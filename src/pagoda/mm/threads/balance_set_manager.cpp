#include "pagoda/mm/threads/balance_set_manager.h"

#include <algorithm>

#include "pagoda/mm/ws/replacement.h"

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

PageCount BalanceSetManager::trim(Processor& cpu, PageCount goal) {
  const auto missing = [&] {
    const LockGuard guard(core_.pfns.lock);
    // Pages being written will be available soon; so will those that the writer can start on.
    PageCount coming = core_.pfns.available() + core_.transfers.frames();
    if (!core_.paging_files.free_slots().is_zero() || core_.store.has_room())
      coming += core_.pfns.count(PageState::kModified);
    return coming >= goal ? 0_pages : goal - coming;
  };

  const LockGuard guard(spaces_.lock);
  struct Candidate {
    AddressSpace* space;
    PageCount above;  // Its minimum.
  };
  std::vector<Candidate> candidates;
  for (const auto& space : spaces_.spaces) {
    const LockGuard space_guard(space->lock);
    const WorkingSet& ws = space->working_set();
    const PageCount minimum = ws.limits().minimum;
    candidates.push_back({space.get(), ws.size() > minimum ? ws.size() - minimum : 0_pages});
  }
  // Equals in the order of their creation: the same run every time.
  std::ranges::sort(candidates, [](const Candidate& a, const Candidate& b) {
    return a.above != b.above ? a.above > b.above : a.space->id() < b.space->id();
  });

  PageCount trimmed;
  const auto pass = [&](unsigned age, bool to_minimum) {
    for (const Candidate& candidate : candidates) {
      const PageCount wanted = missing();
      if (wanted.is_zero()) return;
      const LockGuard space_guard(candidate.space->lock);
      const PageCount floor = to_minimum ? candidate.space->working_set().limits().minimum : 0_pages;
      trimmed += trim_working_set(*candidate.space, cpu, wanted, floor, age);
    }
  };
  for (unsigned age = Wsle::kOldest + 1; age-- > 0;) pass(age, true);
  if (trimmed.is_zero()) pass(0, false);
  return trimmed;
}

}  // namespace pagoda::mm
