// What backs a guest: the pages of vmmem, its host process, and everything that the host does with them. The ground
// floor of hv.
//
//   an access, down                                  the host takes a page, back
//   VirtualProcessor  guest's Pfn -> Gfn             vmmem             invalidate(pages)
//   HypervisorView    nested TLB, pins               GuestMemory       the pages' Gfns
//   SecondLevel       Slat: Gfn -> host's Pfn        SecondLevel       pins kept, the Slat's entries cleared
//   GuestMemory       handle_violation               ShadowMmu         the frame's entries dropped
//   host Processor    touch: a fault of vmmem        GuestTlb          the frame's entries dropped
//
// Under shadow paging a miss of the guest's TLB enters at ShadowMmu, which reads the guest's tables through
// HypervisorView and fills its own from the Slat.
//
// Guest memory is ordinary virtual memory of vmmem: the host trims, compresses and pages it as any process's.
//
// Locking: vmmem's lock is taken by everything that does not say that it is held; the counts belong to the thread that
// drives the virtual processors, whichever processors of the host they are on. Made and destroyed while no virtual
// processor exists.
// Source: reference/virtualization.md sections 2, 3 and 5.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "pagoda/hv/ballooned_frames.h"
#include "pagoda/hv/gpa_map.h"
#include "pagoda/hv/memory_limits.h"
#include "pagoda/hv/partition_config.h"
#include "pagoda/hv/partition_counts.h"
#include "pagoda/machine/hypercalls.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/mm/space/resident_pages.h"

namespace pagoda::hv {

// The host cannot bring guest memory in: its disk fails for good. The virtual machine is lost, and nothing else.
class GuestMemoryLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Who finds commit charge where the host has none left for guest memory that is touched first.
class ChargeSource {
 public:
  virtual ~ChargeSource() = default;
  // Whether some has come back for the virtual machine of that name, so that it can touch again. Throws GuestMemoryLost:
  // this one is to go. Called while the guest may hold locks of its own, and the host none.
  virtual bool find_charge(mm::Processor& host, const std::string& machine) = 0;
};

// A cache over guest memory, whose entries lead from guest frames to host frames: the second level, and the shadow
// tables above it. Called with vmmem's lock held.
class GuestFrameCache {
 public:
  virtual ~GuestFrameCache() = default;
  // The host takes the page behind the frame away: no entry leads to it any more.
  virtual void forget(Gfn frame) = 0;
  // Whether the frame was used through this cache since the last call; its next use counts again.
  virtual bool test_and_clear_accessed(Gfn frame) = 0;
  // The frames lost their contents without a write: what was derived from these must go. None is in a cache by now.
  virtual void contents_lost(GfnRange frames) = 0;
  // Drops all entries, so that their tables can serve others.
  virtual void forget_all() = 0;
};

class GuestMemory final : private mm::SecondaryMmu {
 public:
  // Makes vmmem, its memory and its views of files; `config` and `counts` outlive it.
  // Fails with: kInvalidParameter (more files than frames can name), what ProcessSpace::reserve and map_view say.
  static Result<std::unique_ptr<GuestMemory>> create(mm::MemoryManager& host, mm::Processor& cpu,
                                                     const PartitionConfig& config, PartitionCounts& counts);
  // Destroys vmmem. No processor is attached to it any more.
  ~GuestMemory() override;
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  [[nodiscard]] mm::MemoryManager& host() { return host_; }
  [[nodiscard]] mm::ProcessSpace& vmmem() { return vmmem_; }
  // The host's frames, which all its processors reach alike.
  [[nodiscard]] const machine::PhysicalView& host_memory() const { return any_processor().physical(); }
  [[nodiscard]] const GpaMap& map() const { return map_; }
  // Asked before a machine is lost for want of charge. Null: nobody is. Stays the caller's.
  void set_charge_source(ChargeSource* source) { charge_source_ = source; }
  // For the analysis: the lock of vmmem is held.
  void assert_held() const PAGODA_ASSERT_CAPABILITY(vmmem_.lock) { vmmem_.lock.assert_held(); }

  // A file of the host that the guest sees at `frames`; the rest of the last one is zero.
  struct DirectMap {
    std::string name;
    GfnRange frames;
    ByteCount size;
  };
  [[nodiscard]] std::span<const DirectMap> direct_maps() const { return direct_maps_; }

  // The cache that hears what the host takes back. At most one.
  void attach(GuestFrameCache& cache);
  void detach(const GuestFrameCache& cache);

  // --- Bringing in ---
  // The range of the frame, if the guest may use it so. Null, and counted: nothing is behind it, or it cannot be
  // written.
  const GpaRange* admit(Gfn frame, machine::Access use);
  // The host's part of a violation: takes the frame out of the balloon, makes its page resident for the use, its
  // neighbours in the fault cluster too as far as they are in no balloon and that costs no transfer, dirties none that
  // is clean, and memory is plentiful, and calls `fill(cluster)`; again, while that answers that the host took the page away in between. Throws GuestMemoryLost.
  template <class Fill>
  void handle_violation(mm::Processor& host, const GpaRange& range, Gfn frame, machine::Access use, Fill&& fill) {
    pop(frame);
    const GfnRange cluster = cluster_of(range, frame);
    do {
      if (cluster.count > 1_pages) touch_cluster(host, range, cluster, frame, use);
      make_resident(host, range.page_of(frame), use);
    } while (!fill(cluster));
  }
  // Calls `visit(frame, page)` for each frame of the run, inside the range, that the host has resident.
  template <class Visit>
  void for_each_resident(const mm::Processor& host, const GpaRange& range, GfnRange frames, Visit&& visit) const
      PAGODA_REQUIRES(vmmem_.lock) {
    const VpnRange pages = range.pages_of(frames);
    mm::for_each_resident(vmmem_, host, pages, [&](Vpn page, const mm::ResidentPage& resident) {
      visit(frames.first + (page - pages.first), resident);
    });
  }

  // --- Hints ---
  // Takes pages of the guest out of vmmem's working set, makes them resident as far as memory allows, or drops their
  // contents (not of pinned memory, which stays).
  // Requires: the frames are inside the range and its own memory.
  void hint(mm::Processor& host, machine::HeatHint hint, const GpaRange& range, GfnRange frames);
  // What the guest last said about its memory.
  void report(const machine::Hypercalls::MemoryReport& report) { report_ = report; }
  [[nodiscard]] const machine::Hypercalls::MemoryReport& last_report() const { return report_; }

  // --- Balloon ---
  [[nodiscard]] const BalloonedFrames& ballooned() const { return ballooned_; }
  // The host gets the memory of the frames until the guest touches them or takes them back. Those that are not the
  // guest's own memory, or are in the balloon, are passed over and counted; so are all where memory is pinned.
  void put_in_balloon(mm::Processor& host, std::vector<Gfn> frames);
  // Those that are not in the balloon are passed over and counted.
  void take_from_balloon(std::span<const Gfn> frames);
  // Nothing is in the balloon any more.
  void void_balloon();
  // The host gets the memory of frames that the guest does not use, until it touches them.
  // Requires: the frames are the guest's own memory.
  void take_free(mm::Processor& host, GfnRange frames);

  // The host takes all memory of a guest that will never run again, before the guest is taken apart. Linux: the OOM
  // reaper.
  void reap(mm::Processor& host);

  // While a guest's disk reads guest memory: page-ins count as double paging.
  class GuestWrite {
   public:
    explicit GuestWrite(GuestMemory& memory) : memory_(memory) { ++memory_.guest_writes_; }
    ~GuestWrite() { --memory_.guest_writes_; }
    GuestWrite(const GuestWrite&) = delete;
    GuestWrite& operator=(const GuestWrite&) = delete;

   private:
    GuestMemory& memory_;
  };

  // --- Looking ---
  // Where the guest's own memory is; views of files are not counted. Takes the host's PFN lock too.
  struct Census {
    PageCount active;      // In vmmem's working set.
    PageCount modified;    // In the host's memory, to be written before its frame can be reused, or being written.
    PageCount standby;     // In the host's memory, and the frame can be reused at once.
    PageCount compressed;  // In the host's compression store.
    PageCount page_file;   // In a paging file of the host, and nowhere else.
    PageCount nothing;     // Nowhere, since it reads as zero.
  };
  [[nodiscard]] Census census() const;

 private:
  friend struct Corruptor;

  GuestMemory(mm::MemoryManager& host, mm::ProcessSpace& vmmem, const PartitionConfig& config, PartitionCounts& counts);

  Result<> map_memory(mm::Processor& cpu);
  Result<> map_files(mm::Processor& cpu);
  // For what is nobody's time.
  [[nodiscard]] mm::Processor& any_processor() const { return *host_.machine().processors().front(); }
  [[nodiscard]] GfnRange cluster_of(const GpaRange& range, Gfn frame) const;
  void touch_cluster(mm::Processor& host, const GpaRange& range, GfnRange cluster, Gfn wanted, machine::Access use);
  // The guest touches the frame: it is not in the balloon any more.
  void pop(Gfn frame) {
    if (ballooned_.remove(frame)) [[unlikely]]
      ++counts_.popped_pages;
  }
  // The frames lose their contents, and the host has their memory. Not pinned memory, which stays.
  // Requires: the frames are inside the range.
  void drop_contents(mm::Processor& host, const GpaRange& range, GfnRange frames);
  void make_resident(mm::Processor& host, Vpn page, machine::Access use);
  // Whether no access has touched the page yet, or since it was given back.
  [[nodiscard]] bool is_untouched(const mm::Processor& host, Vpn page) const;
  // Before a first touch, where there are limits. Throws GuestMemoryLost.
  void admit_first_touch(mm::Processor& host);
  // mm::SecondaryMmu.
  void invalidate(VpnRange pages) override;
  bool test_and_clear_accessed(Vpn page) override;

  const PartitionConfig& config_;
  mm::MemoryManager& host_;
  mm::ProcessSpace& vmmem_;
  PartitionCounts& counts_;
  GpaMap map_;
  std::vector<DirectMap> direct_maps_;
  BalloonedFrames ballooned_;
  std::optional<MemoryLimits> limits_;
  GuestFrameCache* cache_ = nullptr;
  ChargeSource* charge_source_ = nullptr;
  machine::Hypercalls::MemoryReport report_;
  unsigned guest_writes_ = 0;
};

}  // namespace pagoda::hv
