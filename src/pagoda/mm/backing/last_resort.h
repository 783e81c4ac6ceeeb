// What gives memory back where there is no other: a driver that holds frames and can do without them. Linux: an OOM
// notifier.
#pragma once

#include "pagoda/machine/processor.h"

namespace pagoda::mm {

class LastResort {
 public:
  virtual ~LastResort() = default;
  // Frees frames of its own, and their charge. False: it has none to free.
  // Requires: the caller holds no lock.
  virtual bool release(machine::Processor& cpu) = 0;
};

}  // namespace pagoda::mm
