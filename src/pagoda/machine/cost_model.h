// What counted events cost, in cycles. The simulator's time is made of these and of the disks' queues; nothing else.
#pragma once

#include <cstdint>

#include "pagoda/base/units.h"

namespace pagoda::machine {

struct CostModel {
  std::uint64_t cycles_per_us = 3000;  // A 3 GHz processor.

  // One memory reference of a program, instruction included. Choice: one instruction a cycle with a warm cache.
  Cycles reference{1};
  // A walk's load of one entry. reference/virtualization.md 2.2 counts loads; 12 cycles: an entry in the L2 cache.
  Cycles walk_load{12};
  // Trap and return. Adams & Agesen 2006: a native page fault costs 1093 cycles, most of it in the kernel's handler;
  // the hardware's share is about a third.
  Cycles exception{350};
  // The handler's own work beside what is charged by name below; the rest of those 1093.
  Cycles fault_handler{700};
  // A system call that does nothing: trap and return. reference/baselines.md: 174 to 218 ns at about 3 GHz.
  Cycles system_call{600};
  // A refill exception of a software-managed TLB without the walk's loads: a short trap (Nagle et al. 1993: about 20
  // cycles, user).
  Cycles refill_exception{20};
  // 4096 bytes set, copied. reference/baselines.md 1c: 165 ns and 400 ns at about 3 GHz.
  Cycles zero_page{500};
  Cycles copy_page{1200};
  // 4096 bytes read and found to be zeros. Measured: bench/zero_detect, 100 ns where pages are not in the cache.
  Cycles scan_page{300};
  // 4096 bytes hashed, and compared with 4096 others. reference/virtualization.md 6.1: 232 ns, and 380 to 460 ns where they are not
  // in the cache, of 3 GHz.
  Cycles hash_page{700};
  Cycles compare_page{1260};
  // 4096 bytes through LZ4 and back. Its own benchmark: 780 MB/s and 4970 MB/s a core (LZ4 1.9, README), of 3 GHz.
  Cycles compress_page{15700};
  Cycles decompress_page{2500};
  // INVLPG, and one more processor interrupted for a shootdown. Choice: order of magnitude of an IPI round trip.
  Cycles invalidate{100};
  Cycles shootdown{2000};
  // From a guest into its hypervisor and back, with what the hypervisor does there beside what is charged by name.
  // Adams & Agesen 2006 (reference/virtualization.md 2.3): rewriting one PTE under shadow paging costs 12733 cycles,
  // which are three exits: the traced write, INVLPG, and the hidden fault.
  Cycles world_switch{4200};
  // A told change of a page table validated and installed, the hypercall excluded. Adams & Agesen 2006
  // (reference/virtualization.md 2.3): rewriting one PTE through software of the hypervisor, without a trap, takes 391.
  Cycles table_update{391};
  // Setting up a disk transfer and taking its interrupt.
  Cycles disk_operation{6000};
};

}  // namespace pagoda::machine
