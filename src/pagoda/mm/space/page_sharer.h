// Who looks for equals of a space's pages (mm/combine), as far as the floors below it know.
#pragma once

#include <cstdint>

#include "pagoda/machine/processor.h"

namespace pagoda::mm {

class PageSharer {
 public:
  virtual ~PageSharer() = default;
  // The page in the slot of the working set is about to leave it. Afterwards the slot has the same page, maybe shared with
  // an equal one by now. With the space's lock held; needs no frame that a fault may need.
  virtual void offer(machine::Processor& cpu, std::uint32_t slot) = 0;
};

}  // namespace pagoda::mm
