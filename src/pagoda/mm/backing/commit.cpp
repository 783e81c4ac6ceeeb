#include "pagoda/mm/backing/commit.h"

#include <algorithm>

namespace pagoda::mm {

Result<> CommitLedger::charge(PageCount pages) {
  if (pages.is_zero()) return {};  // Even when slots that went bad have left less than was promised.
  // Compared this way round, so that a caller's wild count cannot wrap.
  const auto fits = [&] { return charged_ <= limit() && pages <= limit() - charged_; };
  if (!fits()) {
    const PageCount room = charged_ < limit() ? limit() - charged_ : 0_pages;
    const PageCount over = charged_ > limit() ? charged_ - limit() : 0_pages;
    const PageCount missing = pages - std::min(room, pages);
    paging_files_.grow(std::max(missing, missing + over));  // The sum, unless it wraps.
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
