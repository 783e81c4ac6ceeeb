#include "pagoda/base/lock.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "pagoda/base/check.h"

namespace pagoda::detail {

namespace {

// The locks that this thread holds, in the order of taking, which is ascending.
struct Held {
  std::array<std::uint16_t, 16> orders{};
  std::size_t count = 0;
};
thread_local Held held;

}  // namespace

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

}  // namespace pagoda::detail
