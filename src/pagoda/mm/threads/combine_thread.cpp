#include "pagoda/mm/threads/combine_thread.h"

#include <algorithm>

namespace pagoda::mm {

namespace {

PageCount in_period(PageCount a_second, Duration period) {
  return std::max(1_pages, PageCount(a_second.value() * period.value() / Duration(1_s).value()));
}

}  // namespace

Time CombineThread::due(Time now) const { return combiner_.has_members() ? std::max(next_, now) : kNever; }

void CombineThread::run(machine::Processor& cpu) {
  if (cpu.now() < next_) return;
  next_ = cpu.now() + tunables_.period;
  combiner_.scan(cpu, {.of_space = in_period(tunables_.scan_of_space, tunables_.period),
                       .in_all = in_period(tunables_.scan_in_all, tunables_.period)});
}

}  // namespace pagoda::mm
