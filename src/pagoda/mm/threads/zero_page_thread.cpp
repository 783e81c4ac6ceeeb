#include "pagoda/mm/threads/zero_page_thread.h"

namespace pagoda::mm {

Time ZeroPageThread::due(Time now) const {
  const LockGuard guard(pfns_.lock);
  return pfns_.count(PageState::kFree) >= tunables_.zero_wake ? now : kNever;
}

void ZeroPageThread::run(machine::Processor& cpu) {
  for (PageCount zeroed; zeroed < tunables_.zero_batch; ++zeroed) {
    Pfn frame = kNoPfn;
    {
      const LockGuard guard(pfns_.lock);
      frame = pfns_.begin_zeroing();
    }
    if (frame == kNoPfn) return;
    cpu.physical().zero_in_background(frame);
    cpu.charge(costs_.zero_page);
    const LockGuard guard(pfns_.lock);
    pfns_.finish_zeroing(frame);
    ++counters_.pages_zeroed_by_thread;
  }
}

}  // namespace pagoda::mm
