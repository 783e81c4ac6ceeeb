// The segment reaper's work, until there is none: prototype PTEs that were given up while they were out.
#pragma once

#include "pagoda/base/check.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::mm::testing {

inline constexpr int kMostReaps = 1000;  // Dies after so many: it does not end.

// Moves the processor's clock. Requires: no lock of the manager.
inline void reap(MemoryManager& manager, Processor& cpu) {
  SystemThread& reaper = *manager.system_threads().front();
  PAGODA_CHECK(reaper.name() == "segment reaper");
  int runs = 0;
  for (Time due = reaper.due(cpu.now()); due != kNever; due = reaper.due(cpu.now())) {
    PAGODA_CHECK_LT(++runs, kMostReaps);
    cpu.advance_to(due);
    reaper.run(cpu);
    if (cpu.is_blocked()) cpu.advance_to(cpu.take_blocked_until());
  }
}

}  // namespace pagoda::mm::testing
