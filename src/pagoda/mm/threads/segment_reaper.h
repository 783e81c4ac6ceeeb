// The thread that deletes control areas whose last page left memory while they were not used, and what was given up of
// pages of prototype PTEs while they were out. NT: the dereference segment thread, priority 18. Source: reference/nt.md
// section 6.
#pragma once

#include <algorithm>

#include "pagoda/mm/backing/entries_in.h"
#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::mm {

class SegmentReaper : public SystemThread {
 public:
  SegmentReaper(Core& core, Sections& sections) : core_(core), sections_(sections) {}

  [[nodiscard]] std::string_view name() const override { return "segment reaper"; }
  [[nodiscard]] Time due(Time now) const override {
    const LockGuard guard(core_.pfns.lock);
    if (core_.prototypes.any_emptied()) return now;
    return core_.prototypes.any_given_up() ? std::max(now, wait_until_) : kNever;
  }
  void run(Processor& cpu) override {
    sections_.reap(cpu);
    {
      const LockGuard guard(core_.pfns.lock);
      if (!core_.prototypes.any_given_up() || cpu.now() < wait_until_) return;
    }
    const GivenUpIn done = bring_in_given_up(core_, cpu);
    const LockGuard guard(core_.pfns.lock);
    wait_until_ = done.next == kNever ? cpu.now() : done.next;
  }

 private:
  Core& core_;
  Sections& sections_;
  Time wait_until_ PAGODA_GUARDED_BY(core_.pfns.lock);  // For what comes in.
};

}  // namespace pagoda::mm
