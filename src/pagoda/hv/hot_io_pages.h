// Guest memory that a disk copies: the disk reaches the lowest bytes of the host's memory only, and what a guest
// transfers lies where its host has put it.
//
//   transfer ── host frame below the reach ──> a DMA
//            └─ above ── by way of a frame below: a copy, charged to the guest
//                        copied kHotCopies times ──> the page moves below, unseen by the guest
//                                                    └─ no frame there: the machine's coldest page there moves up
//
// Waldspurger 2002 does so for machines of more than 4 GB, with counters in the cache of what a device transmits; its
// threshold is not published.
//
// Locking: as machine::Processor: the thread that drives the virtual processors; vmmem's lock for moves.
// Source: reference/virtualization.md 1.8.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pagoda/base/sparse_array.h"
#include "pagoda/hv/guest_frame.h"
#include "pagoda/hv/second_level.h"
#include "pagoda/hv/world_switch.h"
#include "pagoda/mm/process/page_mover.h"

namespace pagoda::hv {

class HotIoPages {
 public:
  // Copies after which a page is moved. Choice: one move costs about what two copies do, a page table's change and a
  // shoot-down with it, and few pages are copied so often that are not copied much more often.
  static constexpr std::uint32_t kHotCopies = 8;

  // `end`: the first host frame that the disk does not reach. All that is named outlives this.
  HotIoPages(SecondLevel& second_level, PartitionCounts& counts, Pfn end);

  // The disk has moved the bytes of these frames of the guest's.
  void note_transfer(WorldSwitch& world, std::span<const Pfn> frames);
  // For tests: copies since the page last moved, or was tried to.
  [[nodiscard]] std::uint32_t copies(Gfn frame) const { return copies_[frame.value()]; }

 private:
  void move_below(mm::Processor& host, Gfn frame);

  SecondLevel& second_level_;
  PartitionCounts& counts_;
  const Pfn end_;
  SparseArray<std::uint32_t> copies_;  // By guest frame.
};

}  // namespace pagoda::hv
