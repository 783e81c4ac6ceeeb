// The manager's own threads, as objects: in the simulator an event loop calls them, in native real threads do.
#pragma once

#include <string_view>

#include "pagoda/base/units.h"
#include "pagoda/machine/processor.h"

namespace pagoda::mm {

class SystemThread {
 public:
  virtual ~SystemThread() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  // When it wants to run next, as seen at `now`: now or earlier if there is work, kNever if there is none until
  // something changes.
  [[nodiscard]] virtual Time due(Time now) const = 0;
  // Does some of what is due at the processor's time, and charges the processor. Takes locks; the caller holds none.
  virtual void run(machine::Processor& cpu) = 0;
};

}  // namespace pagoda::mm
