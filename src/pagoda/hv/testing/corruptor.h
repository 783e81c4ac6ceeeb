// For tests of the checker: reaches what no public function does, to break it.
#pragma once

#include "pagoda/hv/partition.h"

namespace pagoda::hv {

struct Corruptor {
  static Slat& slat(Partition& partition) { return *partition.slat_; }
  static machine::Tlb& nested_tlb(VirtualProcessor& vcpu) { return vcpu.nested_; }
  // As if the host took the pages.
  static void invalidate(Partition& partition, VpnRange pages) { partition.invalidate(pages); }
  // The host does what it likes, and the partition does not hear of it.
  static void make_deaf(Partition& partition) { partition.vmmem_.remove_observer(partition); }
};

}  // namespace pagoda::hv
