// Where available frames lie, by blocks as large as a large page: a run of frames, or one below an address, is found
// without a walk over the frames of the machine.
//
// Invariants (mm::check):
//   [PF13] Each block counts its frames that are not available; those that the machine does not have count too.
// Locking: the PFN lock; PfnDatabase, the only user, holds it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pagoda/base/flag_tree.h"
#include "pagoda/base/units.h"

namespace pagoda::mm {

class AvailableBlocks {
 public:
  // All frames are available. Requires: a block has at most 2^15 frames, a power of two.
  AvailableBlocks(PageCount frames, PageCount block);

  [[nodiscard]] PageCount block() const { return PageCount(std::uint64_t{1} << shift_); }  // Frames of one.
  [[nodiscard]] std::size_t size() const { return taken_.size(); }                         // Blocks.
  [[nodiscard]] std::size_t block_of(Pfn frame) const { return frame.value() >> shift_; }
  [[nodiscard]] Pfn first_of(std::size_t block) const { return Pfn(static_cast<std::uint32_t>(block << shift_)); }

  // The frame is not available any more; or is again.
  void take(Pfn frame) {
    const std::size_t block = block_of(frame);
    const std::uint32_t taken = ++taken_[block];
    if (taken == 1) broken_.set(block);
    if (taken == block_frames()) used_up_.set(block);
  }
  void give(Pfn frame) {
    const std::size_t block = block_of(frame);
    const std::uint32_t taken = taken_[block]--;
    PAGODA_DCHECK_GT(taken, 0U);
    if (taken == 1) broken_.clear(block);
    if (taken == block_frames()) used_up_.clear(block);
  }

  [[nodiscard]] std::uint32_t taken(std::size_t block) const { return taken_[block]; }
  // The first block from the one on of which all frames are available, or any; size() if there is none.
  [[nodiscard]] std::size_t next_whole(std::size_t from) const { return broken_.next_clear(from); }
  [[nodiscard]] std::size_t next_with_any(std::size_t from) const { return used_up_.next_clear(from); }
  // What the searches go by: for the checker.
  [[nodiscard]] bool is_whole(std::size_t block) const { return !broken_.test(block); }
  [[nodiscard]] bool has_any(std::size_t block) const { return !used_up_.test(block); }

 private:
  friend struct Corruptor;
  [[nodiscard]] std::uint32_t block_frames() const { return 1U << shift_; }

  unsigned shift_;
  std::vector<std::uint16_t> taken_;  // By block: frames that are not available.
  FlagTree broken_;                   // Some are not.
  FlagTree used_up_;                  // None is.
};

}  // namespace pagoda::mm
