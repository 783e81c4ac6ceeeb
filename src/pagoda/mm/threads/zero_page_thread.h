// The zero-page thread: zeroes free pages while nobody else wants the processor. NT: MmZeroPageThread, priority 0.
#pragma once

#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::mm {

class ZeroPageThread : public SystemThread {
 public:
  explicit ZeroPageThread(Core& core) : core_(core) {}

  [[nodiscard]] std::string_view name() const override { return "zero page thread"; }
  // Has the lowest priority: an event loop runs it only on an idle processor.
  [[nodiscard]] Time due(Time now) const override;
  void run(Processor& cpu) override;

 private:
  Core& core_;
};

}  // namespace pagoda::mm
