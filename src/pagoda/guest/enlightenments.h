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
// The marks, and the lists, are mm::HintedFrames': it sets frames aside while the cold hypercall is made, so that
// contents in use are never discarded. No hypercall is made under the PFN lock. A discarded page reads as zero, so it is
// zeroed still ([PF7]). Hot hints keep contents, so those frames stay on their lists.
//
// Invariants, beside that of HintedFrames:
//   [EN1] No call names more than Hypercalls::kMostRanges ranges.
// Locking: everything takes the PFN lock. All decisions depend on the manager's state and the processor's clock alone.
// Source: reference/virtualization.md section 5, "Guest policy (Windows)".
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "pagoda/machine/hypercalls.h"
#include "pagoda/mm/memory_manager.h"
#include "pagoda/mm/pfn/hinted_frames.h"
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

class Enlightenments final : public mm::SystemThread {
 public:
  // Asks the hypervisor which hints it takes. Null if the machine has no hypervisor, or one that takes none: a plain
  // guest.
  // Requires: the manager outlives it and has no other.
  static std::unique_ptr<Enlightenments> create(mm::MemoryManager& guest, Processor& cpu,
                                                const EnlightenmentSettings& settings);

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
    std::uint64_t refused = 0;  // Heat hints that the host refused.
    std::uint64_t reports = 0;
  };
  [[nodiscard]] const Counts& counts() const { return counts_; }
  // Frames that were cold-hinted and not needed since.
  [[nodiscard]] PageCount hinted() const { return frames_.count(); }
  [[nodiscard]] bool is_hinted(Pfn frame) const { return frames_.contains(frame); }

 private:
  Enlightenments(mm::MemoryManager& guest, machine::Hypercalls& hypercalls,
                 const machine::Hypercalls::Capabilities& capabilities, const EnlightenmentSettings& settings);

  [[nodiscard]] bool sends_cold() const { return capabilities_.cold_hint || capabilities_.cold_discard_hint; }
  void hint_hot(Processor& cpu);
  void hint_cold(Processor& cpu);
  void report(Processor& cpu);
  bool call(Processor& cpu, machine::HeatHint hint, std::span<const machine::FrameRange> ranges);

  mm::MemoryManager& guest_;
  machine::Hypercalls& hypercalls_;
  const machine::Hypercalls::Capabilities capabilities_;
  const EnlightenmentSettings settings_;
  mm::HintedFrames frames_;
  static constexpr std::uint64_t kNeverLooked = ~std::uint64_t{0};
  std::uint64_t zeroed_at_look_ = kNeverLooked;  // Pages that had ever been zeroed when the whole back was looked at.
  Time next_look_;
  Time next_report_;
  Counts counts_;
};

}  // namespace pagoda::guest
