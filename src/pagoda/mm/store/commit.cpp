#include "pagoda/mm/store/commit.h"

#include <algorithm>

namespace pagoda::mm {

Result<> CommitLedger::charge(PageCount pages) {
  // Compared this way round, so that a caller's wild count cannot wrap.
  const auto fits = [&] { return charged_ <= limit() && pages <= limit() - charged_; };
  if (!fits()) {
    const PageCount room = charged_ < limit() ? limit() - charged_ : 0_pages;
    paging_files_.grow(pages - std::min(room, pages));
    if (!fits()) {
      ++refusals_;
      return fail(Status::kCommitmentLimit);
    }
  }
  charged_ += pages;
  peak_ = std::max(peak_, charged_);
  return {};
}

void CommitLedger::give_back(PageCount pages) { charged_ -= pages; }

}  // namespace pagoda::mm
