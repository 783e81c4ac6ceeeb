// Where guest-physical memory is: ranges of guest frames, each backed by a range of pages of the virtual machine's host
// process (vmmem). There is no other kind of guest memory: paging, trimming, compression and sharing are the host's.
//
//   guest frames 0 .. ram        -> private memory of vmmem
//   guest frames above           -> views of host files (direct map), anything else that vmmem maps
//
// Ranges may be added in any order; two may have the same backing (then a page has two guest frames). Look-ups in both
// directions are O(log ranges).
//
// Invariant [GM1]: no guest frame is in two ranges.
// Locking: ranges are added before the first processor runs; afterwards the map never changes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"

namespace pagoda::hv {

enum class GpaKind : std::uint8_t {
  kMemory,     // The guest's own.
  kDirectMap,  // A file of the host, which the guest cannot write.
};

struct GpaRange {
  GfnRange frames;
  Vpn backing;  // The first page of vmmem.
  GpaKind kind = GpaKind::kMemory;

  // Requires: frames.contains(frame).
  [[nodiscard]] Vpn page_of(Gfn frame) const { return backing + (frame - frames.first); }
  // Requires: frames.contains(part).
  [[nodiscard]] VpnRange pages_of(GfnRange part) const { return {page_of(part.first), part.count}; }
  [[nodiscard]] VpnRange pages() const { return {backing, frames.count}; }
};

class GpaMap {
 public:
  // Adds a range; on failure the map is as it was.
  // Fails with: kInvalidParameter (no frames, or more than can be named), kConflictingAddresses (a frame is mapped
  // already).
  Result<> add(const GpaRange& range);

  // The range that contains the frame; null: nothing is behind it.
  [[nodiscard]] const GpaRange* find(Gfn frame) const;
  // Whether all frames of the run are the guest's own memory. The run is the guest's word: it may be empty or wrap.
  [[nodiscard]] bool is_memory(GfnRange frames) const;
  [[nodiscard]] std::span<const GpaRange> ranges() const { return ranges_; }
  // One past the highest frame that is mapped.
  [[nodiscard]] Gfn end() const { return ranges_.empty() ? Gfn(0) : ranges_.back().frames.end(); }

  // Calls `visit(frame, page)` for every guest frame that a page of the range backs.
  template <class Visit>
  void for_each_frame(VpnRange pages, Visit&& visit) const {
    for (auto number = after(pages); number > 0; --number) {
      const GpaRange& range = ranges_[by_backing_[number - 1]];
      if (range.backing.value() + longest_.value() <= pages.first.value()) return;
      const Vpn first = std::max(range.backing, pages.first);
      const Vpn end = std::min(range.pages().end(), pages.end());
      for (Vpn page = first; page < end; ++page) visit(range.frames.first + (page - range.backing), page);
    }
  }

 private:
  // How many entries of `by_backing_` begin before the end of the pages.
  [[nodiscard]] std::size_t after(VpnRange pages) const;

  std::vector<GpaRange> ranges_;         // By their first frames.
  std::vector<std::size_t> by_backing_;  // Indices of `ranges_`, by the first pages of their backing.
  PageCount longest_;                    // Range.
};

}  // namespace pagoda::hv
