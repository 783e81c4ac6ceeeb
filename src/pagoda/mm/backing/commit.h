// Commit accounting: what was promised, and how much may be. NT: MmTotalCommittedPages, MmTotalCommitLimit.
//
// Charge is taken when memory is promised (VADs, and the page tables that their ranges may need) and given back when
// the promise ends. Faults charge nothing, but for those that grow a stack or first touch a page that commits on touch
// (process/hints.h). A charge over the limit first grows the paging files towards their maximum. The compression store
// neither charges its frames nor raises the limit (compression_store.h says why that is right): each charged page has a
// frame or a slot, or takes less than a frame there.
//
// Invariants (mm::check):
//   [CM1] The charge is the sum of every space's: VAD charges, page tables spanned, the root.
//   [CM2] The limit is the usable frames and the usable slots of the paging files.
// Locking: the PFN lock, under which paging files grow too.
// Source: reference/nt.md section 8.
#pragma once

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/backing/paging_file.h"

namespace pagoda::mm {

class CommitLedger {
 public:
  CommitLedger(PageCount usable_frames, PagingFiles& paging_files)
      : usable_frames_(usable_frames), paging_files_(paging_files) {}

  // Fails with: kCommitmentLimit, having charged nothing.
  Result<> charge(PageCount pages);
  void give_back(PageCount pages);

  [[nodiscard]] PageCount charged() const { return charged_; }
  [[nodiscard]] PageCount peak() const { return peak_; }
  [[nodiscard]] PageCount usable_frames() const { return usable_frames_; }
  [[nodiscard]] PageCount limit() const { return usable_frames_ + paging_files_.usable(); }
  [[nodiscard]] std::uint64_t refusals() const { return refusals_; }

 private:
  friend struct Corruptor;

  const PageCount usable_frames_;
  PagingFiles& paging_files_;
  PageCount charged_;
  PageCount peak_;
  std::uint64_t refusals_ = 0;
};

}  // namespace pagoda::mm
