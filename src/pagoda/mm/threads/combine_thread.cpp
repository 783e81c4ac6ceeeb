#include "pagoda/mm/threads/combine_thread.h"

#include <algorithm>

namespace pagoda::mm {

Time CombineThread::next_look(Time now) const {
  const ScanRate rate = combiner_.scan_rate();
  if (rate.in_all.is_zero() || !combiner_.has_members()) return kNever;
  return last_ ? std::max(*last_ + rate.period, now) : now;
}

Time CombineThread::due(Time now) const { return combiner_.any_to_join() ? now : next_look(now); }

void CombineThread::run(machine::Processor& cpu) {
  if (combiner_.any_to_join()) {
    const LockGuard guard(spaces_.lock);
    combiner_.join_late(cpu);
  }
  if (cpu.now() < next_look(cpu.now())) return;
  last_ = cpu.now();
  const ScanRate rate = combiner_.scan_rate();
  combiner_.scan(cpu, {.of_space = rate.of_space, .in_all = rate.in_all});
}

}  // namespace pagoda::mm
