// The out-of-memory killer of a host whose policy is a plain Linux host's: when nothing else helps, one machine goes, so
// that the others go on.
//
// It acts when a first touch of deferred memory finds no commit charge (hv::ChargeSource), and once a round when free
// memory has stayed low for two rounds without growing and nothing is left to page it out to. The machine that goes is
// the one that holds most: in memory, compressed, in page files, and in tables, with an adjustment a machine in
// thousandths of what the host has.
// Source: Linux's oom_badness (mm/oom_kill.c, Documentation/filesystems/proc.rst, "oom_score_adj").
//
// A value: what it says follows from what it was shown.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "pagoda/base/units.h"

namespace pagoda::sim {

// A host at the end of a round.
struct OomLook {
  PageCount free;
  PageCount low;    // Below, memory is low: policy::FreeThresholds.
  PageCount slots;  // Free, of paging files.
};

// A machine that is adjusted so far never goes. Linux: OOM_SCORE_ADJ_MIN, OOM_SCORE_ADJ_MAX.
inline constexpr int kOomNever = -1000;
inline constexpr int kOomAdjustMost = 1000;

// A machine, by its number, and what it holds.
struct OomCandidate {
  std::size_t machine = 0;
  PageCount resident;
  PageCount swapped;  // Compressed, or in page files.
  PageCount tables;
  int adjust = 0;  // kOomNever to kOomAdjustMost.

  [[nodiscard]] PageCount sum() const { return resident + swapped + tables; }
};

class OomKiller {
 public:
  // Why a machine has to go; nothing: none has.
  std::optional<std::string> look(const OomLook& now);
  // Which one: the largest after adjustment, the first among equals. None without candidates. `total`: memory of the
  // host and slots of its paging files.
  static const OomCandidate* choose(std::span<const OomCandidate> machines, PageCount total);

 private:
  unsigned rounds_low_ = 0;
  PageCount last_free_;
};

}  // namespace pagoda::sim
