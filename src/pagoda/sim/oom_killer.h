// The out-of-memory killer of a host whose policy is a plain Linux host's: when nothing else helps, one machine goes, so
// that the others go on.
//
// It looks once a round, and acts when hardly any memory is left to promise (what a first touch of deferred memory needs),
// or when free memory has stayed low for two rounds without growing and nothing is left to page it out to. The machine that goes is the one that holds most:
// in memory, compressed, in page files, and in tables; the sum is Linux's oom_badness. Between two rounds a machine that
// finds no promise is lost itself (Guest::doom): an access cannot be taken back.
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
  PageCount low;         // Below, memory is low: policy::FreeThresholds.
  PageCount high;        // Below, what is promisable may be gone before the next look.
  PageCount slots;       // Free, of paging files.
  PageCount promisable;  // Commit limit less its charge.
};

// A machine, by its number, and what it holds.
struct OomCandidate {
  std::size_t machine = 0;
  PageCount resident;
  PageCount swapped;  // Compressed, or in page files.
  PageCount tables;

  [[nodiscard]] PageCount sum() const { return resident + swapped + tables; }
};

class OomKiller {
 public:
  // Why a machine has to go; nothing: none has.
  std::optional<std::string> look(const OomLook& now);
  // Which one: the largest, the first among equals. None without candidates.
  static const OomCandidate* choose(std::span<const OomCandidate> machines);

 private:
  unsigned rounds_low_ = 0;
  PageCount last_free_;
};

}  // namespace pagoda::sim
