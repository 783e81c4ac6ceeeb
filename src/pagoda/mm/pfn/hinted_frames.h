// Available frames that a hypervisor was told about. Linux: free page reporting.
//
//   zeroed list   head [ next | ............ | the back ] tail     (taken from the head)
//   free, standby head [ next | ...                     ] tail
//
//   the back --set_aside-> taken, while the hypervisor is told --put_back-> zeroed tail, hinted
//   hinted --used, or unmark_next-> not hinted
//
// A frame cannot be taken while the hypervisor discards its contents: a frame that is set aside is on no list, and
// counts as not available.
//
// Invariants:
//   [HF1] A hinted frame is on the zeroed, free or standby list, or set aside.
// Locking: every function takes the PFN lock, which guards the marks. What is looked at for a long time is looked at part
// by part, and the lock is free in between: frames may come and go meanwhile, and what is set aside is where it should be
// at that moment.
// Source: reference/virtualization.md section 5, "Guest policy (Windows)".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "pagoda/base/bitmap.h"
#include "pagoda/base/range.h"
#include "pagoda/mm/base/counters.h"
#include "pagoda/mm/pfn/frame_watch.h"
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

class HintedFrames final : private FrameWatch {
 public:
  // No frame is hinted. `granule`: frames that `set_aside` names together, aligned.
  // Requires: the PFN database has no other watch.
  HintedFrames(PfnDatabase& pfns, const Counters& counters, PageCount granule);
  ~HintedFrames() override;
  HintedFrames(const HintedFrames&) = delete;
  HintedFrames& operator=(const HintedFrames&) = delete;

  [[nodiscard]] PageCount count() const;
  [[nodiscard]] bool contains(Pfn frame) const;
  // Whether the next frame that is taken from a list is hinted.
  [[nodiscard]] bool is_next() const;
  // Pages that the zero-page thread has ever zeroed. While it stays, no frame comes to the back of the zeroed list.
  [[nodiscard]] std::uint64_t ever_zeroed() const;

  // Hinted -> not hinted: hinted frames among the first `window` of the zeroed list, the free list and the standby list
  // that is taken from next. Returns them ascending, at most `most` ranges.
  std::vector<PfnRange> unmark_next(PageCount window, std::size_t most);
  // Zeroed -> set aside: granules that lie wholly behind the first `reserve` frames of the zeroed list and have a frame
  // that is not hinted: ascending, at most `most` ranges.
  std::vector<PfnRange> set_aside(PageCount reserve, std::size_t most);
  // Set aside -> the tail of Zeroed. kYes: hinted from now on; kNo: as before.
  enum class Hinted : std::uint8_t { kNo, kYes };
  void put_back(std::span<const PfnRange> ranges, Hinted hinted);

 private:
  // FrameWatch.
  void used(Pfn frame) override;

  [[nodiscard]] bool is_hinted(std::uint32_t frame) const PAGODA_REQUIRES(pfns_.lock) {
    return frame != kNoPfn.value() && hinted_.test(frame);
  }
  void add_next(std::vector<Pfn>& frames, const PageLists::Head& list, PageCount window) const
      PAGODA_REQUIRES(pfns_.lock);
  // Adds granules to the ranges, from the one of the number on. Returns where to go on; `granules_`: nowhere.
  std::uint64_t set_some_aside(std::uint64_t first, PageCount reserve, std::size_t most, std::vector<PfnRange>& ranges)
      PAGODA_REQUIRES(pfns_.lock);

  PfnDatabase& pfns_;
  const Counters& counters_ PAGODA_GUARDED_BY(pfns_.lock);
  const PageCount granule_;
  const std::uint64_t granules_;  // The machine's last one may be a part of one, and does not count.
  Bitmap hinted_ PAGODA_GUARDED_BY(pfns_.lock);
};

}  // namespace pagoda::mm
