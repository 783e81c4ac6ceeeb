#include "pagoda/base/lock.h"

#include <algorithm>

#include "pagoda/base/check.h"

namespace pagoda::detail {

namespace {

thread_local HeldLocks held;

}  // namespace

HeldLocks& held_locks() { return held; }

void note_taken(std::uint16_t order) {
  if (held.count > 0) PAGODA_CHECK_LT(held.orders[held.count - 1], order);
  PAGODA_CHECK_LT(held.count, held.orders.size());
  held.orders[held.count++] = order;
}

void note_next_taken(std::uint16_t order) {
  PAGODA_CHECK(held.count > 0);
  PAGODA_CHECK_EQ(held.orders[held.count - 1], order);
  PAGODA_CHECK_LT(held.count, held.orders.size());
  held.orders[held.count++] = order;
}

void note_released(std::uint16_t order) {
  auto* const end = held.orders.data() + held.count;
  auto* const found = std::find(held.orders.data(), end, order);
  PAGODA_CHECK(found != end);
  std::move(found + 1, end, found);
  --held.count;
}

void check_held(std::uint16_t order) {
  const auto* const end = held.orders.data() + held.count;
  PAGODA_CHECK(std::find(static_cast<const std::uint16_t*>(held.orders.data()), end, order) != end);
}

void check_may_wait(std::uint16_t order) {
  check_held(order);
  constexpr int kOrdersPerDepth = 16;
  for (std::size_t i = 0; i < held.count; ++i) {
    const std::uint16_t other = held.orders[i];
    const bool same_manager = other / kOrdersPerDepth == order / kOrdersPerDepth;
    const bool may_stay = other % kOrdersPerDepth < static_cast<int>(LockClass::kProcessList);
    PAGODA_CHECK(other == order || !same_manager || may_stay);
  }
  PAGODA_CHECK_EQ(std::count(held.orders.data(), held.orders.data() + held.count, order), 1);
}

}  // namespace pagoda::detail
