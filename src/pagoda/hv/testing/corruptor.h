// For tests of the checker: reaches what no public function does, to break it.
#pragma once

#include "pagoda/hv/partition.h"

namespace pagoda::hv {

struct Corruptor {
  static Slat& slat(Partition& partition) { return partition.second_level_->slat_; }
  static BalloonedFrames& ballooned(Partition& partition) { return partition.memory_->ballooned_; }
  static machine::Tlb& nested_tlb(VirtualProcessor& vcpu) { return vcpu.tlb().nested_; }
  // What hears of the pages that the host takes.
  static mm::SecondaryMmu& observer(Partition& partition) { return *partition.memory_; }
  // As if the host took the pages.
  static void invalidate(Partition& partition, VpnRange pages) { observer(partition).invalidate(pages); }
  // The host does what it likes, and the partition does not hear of it.
  static void make_deaf(Partition& partition) { partition.vmmem().remove_observer(observer(partition)); }
};

}  // namespace pagoda::hv
