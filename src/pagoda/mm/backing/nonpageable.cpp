#include "pagoda/mm/backing/nonpageable.h"

#include <algorithm>

namespace pagoda::mm {

PageCount charge_nonpageable(ResidentLedger& resident, CommitLedger& commit, PageCount wanted) {
  const PageCount count = std::min(wanted, resident.available());
  if (count.is_zero() || !resident.charge(count)) return 0_pages;
  if (commit.charge(count)) return count;
  const PageCount room = commit.limit() > commit.charged() ? commit.limit() - commit.charged() : 0_pages;
  const PageCount less = std::min(count, room);
  resident.give_back(count - less);
  if (commit.charge(less)) return less;
  resident.give_back(less);
  return 0_pages;
}

void give_back_nonpageable(ResidentLedger& resident, CommitLedger& commit, PageCount pages) {
  commit.give_back(pages);
  resident.give_back(pages);
}

}  // namespace pagoda::mm
