// The manager's own threads, as objects: an event loop calls them in the simulator, real threads call them in native.
#pragma once

#include <string_view>

#include "pagoda/base/units.h"
#include "pagoda/machine/processor.h"

namespace pagoda::mm {

class SystemThread {
 public:
  virtual ~SystemThread() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  // When it wants to run next, as seen at `now`: now or earlier if there is work, kNever if somebody must cause some
  // first.
  [[nodiscard]] virtual Time due(Time now) const = 0;
  // Does what is due at the processor's time, some of it; charges the processor. Takes locks; the caller holds none.
  virtual void run(machine::Processor& cpu) = 0;
};

}  // namespace pagoda::mm
