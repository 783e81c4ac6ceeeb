#include "pagoda/mm/threads/zero_page_thread.h"

namespace pagoda::mm {

Time ZeroPageThread::due(Time now) const {
  const LockGuard guard(core_.pfns.lock);
  return core_.pfns.count(PageState::kFree) >= core_.tunables.zero_wake ? now : kNever;
}

void ZeroPageThread::run(Processor& cpu) {
  for (PageCount zeroed; zeroed < core_.tunables.zero_batch; ++zeroed) {
    Pfn frame = kNoPfn;
    {
      const LockGuard guard(core_.pfns.lock);
      frame = core_.pfns.begin_zeroing();
    }
    if (frame == kNoPfn) return;
    cpu.physical().zero_in_background(frame);
    cpu.charge(core_.machine.costs().zero_page);
    const LockGuard guard(core_.pfns.lock);
    core_.pfns.finish_zeroing(frame);
    ++core_.counters.pages_zeroed_by_thread;
  }
}

}  // namespace pagoda::mm
