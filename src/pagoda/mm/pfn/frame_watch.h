// Is told when a frame that was available is put to use: what a hypervisor was told about the frame is no longer true.
#pragma once

#include "pagoda/base/units.h"

namespace pagoda::mm {

class FrameWatch {
 public:
  virtual ~FrameWatch() = default;
  // The frame gets an owner, or is about to be zeroed. Under the PFN lock; must not call back.
  virtual void used(Pfn frame) = 0;
};

}  // namespace pagoda::mm
