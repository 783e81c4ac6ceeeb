// Bytes of any address space, attached to a processor or not: what NtReadVirtualMemory and NtWriteVirtualMemory move.
// NT: MmCopyVirtualMemory, which attaches instead.
//
// Each page is walked as hardware would, under the space's lock, which keeps it where it is; a miss is a page fault of
// the space, served by the calling processor.
#pragma once

#include <cstddef>
#include <span>

#include "pagoda/mm/process/process_space.h"

namespace pagoda::nt {

struct Copied {
  std::size_t bytes = 0;             // Before the fault.
  Status status = Status::kSuccess;  // What the fault raised.
};

// A guard page of a space that the processor does not run in is not accessible and keeps its guard (reference/nt.md
// section 4, 5).
Copied copy_from(mm::ProcessSpace& space, mm::Processor& cpu, VirtualAddress from, std::span<std::byte> into);
Copied copy_to(mm::ProcessSpace& space, mm::Processor& cpu, VirtualAddress to, std::span<const std::byte> from);

}  // namespace pagoda::nt
