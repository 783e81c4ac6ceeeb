// The zero-page thread: zeroes free pages while the processor is idle. NT: MmZeroPageThread, priority 0.
#pragma once

#include "pagoda/machine/cost_model.h"
#include "pagoda/mm/base/counters.h"
#include "pagoda/mm/base/tunables.h"
#include "pagoda/mm/pfn/pfn_database.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::mm {

class ZeroPageThread : public SystemThread {
 public:
  // Counts its pages in `counters`, which the PFN lock guards.
  ZeroPageThread(PfnDatabase& pfns, Counters& counters, const Tunables& tunables, const machine::CostModel& costs)
      : pfns_(pfns), counters_(counters), tunables_(tunables), costs_(costs) {}

  [[nodiscard]] std::string_view name() const override { return "zero page thread"; }
  // Has the lowest priority: an event loop runs it only on an idle processor.
  [[nodiscard]] Time due(Time now) const override;
  void run(machine::Processor& cpu) override;

 private:
  PfnDatabase& pfns_;
  Counters& counters_ PAGODA_GUARDED_BY(pfns_.lock);
  const Tunables& tunables_;
  const machine::CostModel& costs_;
};

}  // namespace pagoda::mm
