// The checker: proves every invariant of a memory manager from scratch, walking from every side and comparing.
//
// Page tables against PFN entries; lists forward, backward and their counts; transition PTEs against standby and
// modified frames; VADs against page tables and their use counts; working sets against valid PTEs; paging-file slots
// against every PTE that names one; the commit charge recomputed; TLBs against page tables. Each rule has the id that
// stands with its invariant in the header of the part that keeps it ("PL2", "WS1"); each finding shows both witnesses.
// It changes nothing and ends even on corrupt lists.
//
// One rule is in no class's header, since the caches are the hardware's:
//   [TL1] What a processor's TLB holds and may use, it holds for a live space, and it allows no more than the page tables
//         do now. It may not use what is under the tag of a space that it left, once something was invalidated there, nor
//         what is under a tag that no space has: loading a root forgets that (AddressSpace::enter).
// Not looked at: what secondary MMUs hold, frames never used beyond a sample, bytes that a transfer is moving.
#pragma once

#include <string>
#include <vector>

#include "pagoda/mm/memory_manager.h"

namespace pagoda::mm {

struct Finding {
  std::string rule;
  std::string text;
};

// Everything that is wrong; empty for a healthy manager. To be called while nothing else runs; `cpu` lends its view of
// memory.
std::vector<Finding> check(MemoryManager& manager, const Processor& cpu);

// One line a finding, for tests and bug reports.
std::string to_string(const std::vector<Finding>& findings);

}  // namespace pagoda::mm
