// What an enlightened guest tells its hypervisor about its memory.
//
//   zeroed list   head [ hot window | reserve ............ | the back: cold-hinted ] tail     (taken from the head)
//   free, standby head [ hot window | ...                                            ] tail
//
// Pages at the back of the zeroed list will not be needed soon, and their contents are worth nothing: they are
// cold-discard hinted, or cold-hinted where the host takes no discards, so that the host can use their frames. The
// guest remembers which pages it hinted so. When they come to the head of the zeroed, free or standby list they will be
// taken next, and are hot-hinted, so that the host brings them in before the guest's fault needs them. A frame that is
// put to use has been brought in by the host anyway, and no longer counts as hinted.
//
// A plain guest is a memory manager over the same machine with no such object: it asks nothing and runs unchanged.
//
// Which pages: a host takes whole runs (Capabilities::reporting_granule), so a cold hint names aligned granules all of
// whose frames are in the back; others wait until their neighbours are there. Frames never used are not hinted: the
// host never had anything behind them. So `free` and `standby` have hinted pages only if a frame came there without
// having been used.
//
// A frame cannot be taken while the host discards its contents: under the PFN lock the frames leave the zeroed list
// (no allocation finds them, and they count as not available); without the lock the hypercall is made; under the lock
// they return to the tail, marked. So no hypercall is made under the PFN lock, and contents that are in use are never
// discarded. A discarded page reads as zero, so it is zeroed still ([PF7]). Hot hints keep contents, so those frames
// stay on their lists.
//
// Invariants:
//   [EN1] A frame that is marked as hinted is on the zeroed, free or standby list, or was set aside by `run`.
//   [EN2] No call names more than Hypercalls::kMostRanges ranges.
// Locking: `run` takes the PFN lock; the marks are under it. All decisions depend on the manager's state and the
// processor's clock alone. Source: reference/virtualization.md section 5, "Guest policy (Windows)".
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "pagoda/base/bitmap.h"
#include "pagoda/machine/hypercalls.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/mm/pfn/frame_watch.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::guest {

using machine::Processor;

struct EnlightenmentSettings {
  // Pages at the front of the zeroed list that are never cold-hinted: what faults may take before the next look. A
  // choice, as the others here: no source says more than "the back" and "the head".
  PageCount reserve{1024};
  // Pages at the head of each list that are hot-hinted. Less than the reserve, so that no page is both.
  PageCount hot_window{64};
  // How often the back is looked at.
  Duration period = 1_s;
  Duration report_period = 1_s;

  // The same proportions in a guest of any size: 4 MB of reserve from 256 MB on.
  static EnlightenmentSettings for_memory(PageCount frames);
};

class Enlightenments final : public mm::SystemThread, private mm::FrameWatch {
 public:
  // Asks the hypervisor which hints it takes. Null if the machine has no hypervisor, or one that takes none: a plain
  // guest.
  // Requires: the manager outlives it and has no other.
  static std::unique_ptr<Enlightenments> create(mm::MemoryManager& guest, Processor& cpu,
                                                const EnlightenmentSettings& settings);
  ~Enlightenments() override;
  Enlightenments(const Enlightenments&) = delete;
  Enlightenments& operator=(const Enlightenments&) = delete;

  [[nodiscard]] std::string_view name() const override { return "enlightenments"; }
  // At once when a hinted page has come to the head of a list; else at the next look or report.
  [[nodiscard]] Time due(Time now) const override;
  // Hot hints, one batch of cold ones, a report: as far as they are due. A hint that the host refuses is counted, and
  // leaves its frames unhinted.
  void run(Processor& cpu) override;

  // Pages, unless said otherwise.
  struct Counts {
    std::uint64_t cold = 0;  // Contents kept.
    std::uint64_t discarded = 0;
    std::uint64_t hot = 0;
    std::uint64_t calls = 0;    // Heat hints.
    std::uint64_t refused = 0;  // Of these.
    std::uint64_t reports = 0;
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }
  // Frames that were cold-hinted and not needed since.
  [[nodiscard]] PageCount hinted() const;
  [[nodiscard]] bool is_hinted(Pfn frame) const;

 private:
  Enlightenments(mm::MemoryManager& guest, machine::Hypercalls& hypercalls,
                 const machine::Hypercalls::Capabilities& capabilities, const EnlightenmentSettings& settings);

  // mm::FrameWatch.
  void used(Pfn frame) override;

  [[nodiscard]] bool sends_cold() const { return capabilities_.cold_hint || capabilities_.cold_discard_hint; }
  [[nodiscard]] bool is_hinted_page_next() const PAGODA_REQUIRES(core_.pfns.lock);
  void hint_hot(Processor& cpu);
  void hint_cold(Processor& cpu);
  void report(Processor& cpu);
  bool call(Processor& cpu, machine::HeatHint hint);
  void add_hot(std::vector<Pfn>& frames, const mm::PageLists::Head& list) PAGODA_REQUIRES(core_.pfns.lock);
  // Fills `ranges_` with granules of the back that have pages not hinted yet, and sets their frames aside.
  void choose_cold() PAGODA_REQUIRES(core_.pfns.lock);

  mm::MemoryManager& guest_;
  mm::Core& core_;
  machine::Hypercalls& hypercalls_;
  const machine::Hypercalls::Capabilities capabilities_;
  const EnlightenmentSettings settings_;
  Bitmap hinted_ PAGODA_GUARDED_BY(core_.pfns.lock);
  // By granule, while the back is looked at: frames there, and those that are not hinted.
  struct Granule {
    std::uint32_t in_back = 0;
    std::uint32_t not_hinted = 0;
  };
  std::vector<Granule> granules_;
  std::vector<machine::FrameRange> ranges_;  // Of the call that is being made.
  static constexpr std::uint64_t kNeverLooked = ~std::uint64_t{0};
  std::uint64_t zeroed_at_look_ = kNeverLooked;  // Pages that had ever been zeroed when the whole back was looked at.
  Time next_look_;
  Time next_report_;
  Counts counts_;
};

}  // namespace pagoda::guest
