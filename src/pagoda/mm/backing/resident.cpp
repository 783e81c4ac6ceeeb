#include "pagoda/mm/backing/resident.h"

#include "pagoda/base/check.h"

namespace pagoda::mm {

Result<> ResidentLedger::charge(PageCount pages) {
  std::uint64_t charged = charged_.load(std::memory_order_relaxed);
  do {
    // Compared this way round, so that a caller's wild count cannot wrap.
    if (charged > limit_.value() || pages.value() > limit_.value() - charged) {
      refusals_.fetch_add(1, std::memory_order_relaxed);
      return fail(Status::kInsufficientResources);
    }
  } while (!charged_.compare_exchange_weak(charged, charged + pages.value(), std::memory_order_relaxed));
  const std::uint64_t now = charged + pages.value();
  std::uint64_t peak = peak_.load(std::memory_order_relaxed);
  while (peak < now && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
  return {};
}

void ResidentLedger::give_back(PageCount pages) {
  const std::uint64_t charged = charged_.fetch_sub(pages.value(), std::memory_order_relaxed);
  PAGODA_CHECK_GE(charged, pages.value());
}

}  // namespace pagoda::mm
