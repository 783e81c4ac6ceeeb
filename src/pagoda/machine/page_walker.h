// The hardware's page walk: from a virtual address through the tables to a frame, with accessed and dirty bits set on
// the way, or to the page fault that the processor raises.
//
// The walk is one function over a PhysicalView, so that a host's processor, a guest's (each of whose steps goes through
// the second level) and the memory manager's own refill of a software-managed TLB read the same tables in the same way.
// Source: Intel SDM vol. 3A 4.3 to 4.8; AMD APM vol. 2 5.2 to 5.6.
#pragma once

#include <cstdint>
#include <expected>

#include "pagoda/base/units.h"
#include "pagoda/machine/access.h"
#include "pagoda/machine/paging_mode.h"
#include "pagoda/machine/physical_view.h"

namespace pagoda::machine {

// What a TLB keeps of a walk.
struct Translation {
  Pfn frame;           // The frame of the 4 KB page that was asked for, also inside a large page.
  unsigned level = 1;  // The level of the entry that mapped it: 1 a 4 KB page, 2 2 or 4 MB, 3 1 GB.
  bool user = false;
  bool writable = false;  // By the entries' rights; a supervisor may write without it when write protection is off.
  bool executable = false;
  bool dirty = false;  // The leaf's dirty bit, after this walk.
  bool global = false;
  bool cache_disable = false;
  bool write_through = false;
  PhysicalAddress entry;  // Where the leaf entry lies.
};

struct WalkRules {
  bool write_protect = true;  // CR0.WP: supervisors obey the write bit too.
  bool no_execute = true;     // EFER.NXE: without it bit 63 is reserved.
};

// Reads `loads` entries more. On success accessed is set in every entry used (where the level has the bit), and dirty
// in the leaf for a write; on a fault nothing is changed. `va` must be canonical.
std::expected<Translation, PageFault> walk(const PhysicalView& memory, const PagingMode& mode, Pfn root,
                                           VirtualAddress va, Access access, Privilege privilege,
                                           const WalkRules& rules, std::uint64_t& loads);

// Reads or writes one entry of the mode's width.
RawPte load_entry(const PhysicalView& memory, const PagingMode& mode, PhysicalAddress entry);
void store_entry(const PhysicalView& memory, const PagingMode& mode, PhysicalAddress entry, RawPte value);
// Sets bits in an entry as the hardware does; returns the entry before.
RawPte set_entry_bits(const PhysicalView& memory, const PagingMode& mode, PhysicalAddress entry, RawPte set);
// Clears bits atomically against the hardware setting others; returns the entry before.
RawPte clear_entry_bits(const PhysicalView& memory, const PagingMode& mode, PhysicalAddress entry, RawPte clear);

inline RawPte load_entry(const PhysicalView& memory, const PagingMode& mode, PhysicalAddress entry) {
  return mode.entry_bytes == 8 ? memory.load<std::uint64_t>(entry) : memory.load<std::uint32_t>(entry);
}

inline void store_entry(const PhysicalView& memory, const PagingMode& mode, PhysicalAddress entry, RawPte value) {
  if (mode.entry_bytes == 8) {
    memory.store<std::uint64_t>(entry, value);
  } else {
    PAGODA_DCHECK_EQ(value >> 32, RawPte{0});
    memory.store<std::uint32_t>(entry, static_cast<std::uint32_t>(value));
  }
}

}  // namespace pagoda::machine
