// What lies between a virtual processor and the guest's page tables when the hardware does not walk them itself: a
// hypervisor's shadow tables.
//
// With nested paging there is none: the processor walks the guest's tables, each of whose frames goes through the
// second level (GuestFrameAccess). The notices are calls that a hypervisor sees as exits.
#pragma once

#include <cstdint>
#include <expected>

#include "pagoda/base/units.h"
#include "pagoda/machine/access.h"
#include "pagoda/machine/page_walker.h"

namespace pagoda::machine {

class Processor;

class GuestMmu {
 public:
  virtual ~GuestMmu() = default;

  // In place of `machine::walk`, for the processor's root; accessed and dirty are set as there. A fault is the guest's
  // own ("true"). `loads` grows by the entries that the hardware read.
  virtual std::expected<Translation, PageFault> walk(Processor& cpu, VirtualAddress va, Access access,
                                                     Privilege privilege, std::uint64_t& loads) = 0;

  // What the guest just did; the processor's own TLB has obeyed already.
  virtual void root_loaded(Processor& cpu) = 0;
  virtual void rules_changed(Processor& cpu) = 0;
  virtual void page_invalidated(Processor& cpu, VirtualAddress va, Asid asid) = 0;
  virtual void space_invalidated(Processor& cpu, Asid asid) = 0;
  virtual void all_invalidated(Processor& cpu) = 0;
};

}  // namespace pagoda::machine
