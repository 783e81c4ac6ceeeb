// The thread that deletes control areas whose last page left memory while they were not used. NT: the dereference
// segment thread, priority 18. Source: reference/nt.md section 6.
#pragma once

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::mm {

class SegmentReaper : public SystemThread {
 public:
  SegmentReaper(PfnDatabase& pfns, Sections& sections) : pfns_(pfns), sections_(sections) {}

  [[nodiscard]] std::string_view name() const override { return "segment reaper"; }
  [[nodiscard]] Time due(Time now) const override {
    const LockGuard guard(pfns_.lock);
    return pfns_.prototype_pages().any_emptied() ? now : kNever;
  }
  void run(Processor& cpu) override { sections_.reap(cpu); }

 private:
  PfnDatabase& pfns_;
  Sections& sections_;
};

}  // namespace pagoda::mm
