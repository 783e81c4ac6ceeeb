// The thread that ends control areas whose last page left memory while nobody used them. NT: the dereference segment
// thread, priority 18. Source: reference/nt.md section 6.
#pragma once

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::mm {

class SegmentReaper : public SystemThread {
 public:
  SegmentReaper(Core& core, Sections& sections) : core_(core), sections_(sections) {}

  [[nodiscard]] std::string_view name() const override { return "segment reaper"; }
  [[nodiscard]] Time due(Time now) const override {
    const LockGuard guard(core_.pfns.lock);
    return core_.prototypes.any_emptied() ? now : kNever;
  }
  void run(Processor& cpu) override { sections_.reap(cpu); }

 private:
  Core& core_;
  Sections& sections_;
};

}  // namespace pagoda::mm
