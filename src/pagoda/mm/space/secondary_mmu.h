// A cache of an address space's translations outside of the processors' TLBs: second-level tables, shadow
// tables, this process's own mappings, KVM.
#pragma once

#include "pagoda/base/units.h"

namespace pagoda::mm {

class SecondaryMmu {
 public:
  virtual ~SecondaryMmu() = default;
  // Forgets the pages. Called after their PTEs became less permissive and before their frames are reused, with the
  // space's lock held.
  virtual void invalidate(VpnRange pages) = 0;
  // Whether the page was accessed through this cache since the last call; its next use counts again. With the space's
  // lock held.
  virtual bool test_and_clear_accessed(Vpn page) = 0;
};

}  // namespace pagoda::mm
