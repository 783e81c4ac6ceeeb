// The second level of one virtual machine: the Slat, kept as a cache over GuestMemory, and the caches above it.
//
//   violation, hot hint ──> GuestMemory makes pages resident ──> entries for what the host has valid
//   the host takes a page ─> pins kept, entry cleared ─> shadow tables and TLBs forget
//
// Locking: vmmem's lock; what says so is called with it held. Source: reference/virtualization.md 2.2 and section 5.
#pragma once

#include <vector>

#include "pagoda/hv/guest_memory.h"
#include "pagoda/hv/guest_tlb.h"
#include "pagoda/hv/slat.h"
#include "pagoda/hv/world_switch.h"

namespace pagoda::hv {

// Who wants to know of the next use of some frames, which no cache leads to until then.
class WatchedFrames {
 public:
  virtual ~WatchedFrames() = default;
  // Whether it waits for the frame's next use, which `note_use` tells.
  virtual bool is_watched(Gfn frame) = 0;
  virtual void note_use(Gfn frame) = 0;
  // What `forget_cached` returned of the frame; once.
  virtual bool take_accessed(Gfn frame) = 0;
};

class SecondLevel final : private GuestFrameCache {
 public:
  // Takes a frame for the root. All that is named outlives this.
  // Requires: frames reserved for tables of all of the memory, so that a host short of memory is never asked for one.
  SecondLevel(GuestMemory& memory, TableFrames& frames, machine::PhysicalView host_memory, PartitionCounts& counts);
  ~SecondLevel() override;
  SecondLevel(const SecondLevel&) = delete;
  SecondLevel& operator=(const SecondLevel&) = delete;

  [[nodiscard]] const Slat& slat() const { return slat_; }
  [[nodiscard]] GuestMemory& memory() { return memory_; }

  // The caches above. A processor's TLB, in the order of their numbers; at most one set of shadow tables.
  void attach(GuestTlb& tlb) { tlbs_.push_back(&tlb); }
  void detach(const GuestTlb& tlb) { std::erase(tlbs_, &tlb); }
  void attach(GuestFrameCache* shadow) { shadow_ = shadow; }

  // At most one; null: nobody. Stays the caller's.
  void watch(WatchedFrames* watched) { watched_ = watched; }

  // A violation: makes the frame's page resident in the host, with the right, and fills the second level. False:
  // nothing is behind the frame, or it cannot be written. Throws GuestMemoryLost.
  bool handle_violation(WorldSwitch& world, Gfn frame, machine::Access use);
  // Does what the guest's hint says; hot pages are mapped too.
  // Requires: the frames are the guest's own memory.
  void heat_hint(mm::Processor& host, machine::HeatHint hint, GfnRange frames);

  // --- With vmmem's lock held ---
  // Drops all entries of the second level and of the caches above, so that their tables can serve others.
  void forget_all() override;
  // No cache leads to the frame any more, while its page stays where it is. Whether it was used through one since the
  // host last asked.
  bool forget_cached(Gfn frame);
  // No TLB leads to the frame any more.
  void forget_in_tlbs(Gfn frame);

 private:
  friend struct Corruptor;

  // GuestFrameCache.
  void forget(Gfn frame) override;
  bool test_and_clear_accessed(Gfn frame) override;
  void contents_lost(GfnRange frames) override;

  // Clears the frame's entry, and with it all entries above; how many guest frames it translated.
  PageCount clear(Gfn frame);
  bool is_watched(Gfn frame) const { return watched_ != nullptr && watched_->is_watched(frame); }
  // Fills entries for the frames of the cluster, which is in one table, that the host has resident, and that are not
  // watched; whether the wanted frame's allows the use. `wanted`: kNoGfn if none is.
  bool fill(mm::Processor& host, const GpaRange& range, GfnRange cluster, Gfn wanted, machine::Access use);
  Slat::FillResult fill_large(const GpaRange& range, Gfn frame, const mm::ResidentPage& page);

  GuestMemory& memory_;
  mm::ProcessSpace& vmmem_;
  TableFrames& frames_;
  PartitionCounts& counts_;
  Slat slat_;
  GuestFrameCache* shadow_ = nullptr;
  std::vector<GuestTlb*> tlbs_;
  WatchedFrames* watched_ = nullptr;
};

}  // namespace pagoda::hv
