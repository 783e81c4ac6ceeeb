#include "pagoda/policy/admission.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "pagoda/base/check.h"
#include "pagoda/policy/pages.h"

namespace pagoda::policy {

namespace {

constexpr PageCount kOverheadOfOne = pages_of(54_MiB);
constexpr PageCount kOverheadOfAnother = pages_of(10_MiB);
constexpr PageCount kCovered = pages_of(512_MiB);
constexpr PageCount kOverheadOfGib = pages_of(32_MiB);
constexpr PageCount kGib = pages_of(1_GiB);

}  // namespace

PageCount esx2_overhead(PageCount memory, unsigned processors) {
  PAGODA_CHECK(processors > 0);
  const std::uint64_t more = (excess(memory, kCovered).value() + kGib.value() - 1) / kGib.value();
  return kOverheadOfOne + kOverheadOfAnother * (processors - 1) + kOverheadOfGib * more;
}

std::string to_string(const Refusal& refusal) {
  return fmt::format("needs {} of unreserved {}, and there are {}", to_string(bytes_of(refusal.needed)),
                     refusal.lacks == Lacks::kMemory ? "memory" : "swap", to_string(bytes_of(refusal.unreserved)));
}

std::expected<Unreserved, Refusal> admit(const Unreserved& host, const Commitment& machine) {
  const PageCount memory = machine.minimum + machine.overhead;
  if (memory > host.memory)
    return std::unexpected(Refusal{.lacks = Lacks::kMemory, .needed = memory, .unreserved = host.memory});
  const PageCount swap = machine.maximum - machine.minimum;
  if (swap > host.swap) return std::unexpected(Refusal{.lacks = Lacks::kSwap, .needed = swap, .unreserved = host.swap});
  return Unreserved{.memory = host.memory - memory, .swap = host.swap - swap};
}

std::uint64_t most_admitted(const Unreserved& host, const Commitment& machine) {
  const PageCount memory = machine.minimum + machine.overhead;
  const PageCount swap = machine.maximum - machine.minimum;
  constexpr std::uint64_t kAny = std::numeric_limits<std::uint64_t>::max();
  return std::min(memory.is_zero() ? kAny : host.memory / memory, swap.is_zero() ? kAny : host.swap / swap);
}

double demand_of(std::uint64_t machines, const DemandOfClass& of) {
  const auto n = static_cast<double>(machines);
  return n * of.mean + of.quantile * of.deviation * std::sqrt(n * (1 + (n - 1) * of.correlation));
}

std::uint64_t most_by_statistics(PageCount memory, const DemandOfClass& of) {
  PAGODA_CHECK(of.mean > 0);
  // The demand grows with N, and N machines need N means at least.
  auto most = static_cast<std::uint64_t>(real(memory) / of.mean);
  std::uint64_t fits = 0;
  while (fits < most) {
    const std::uint64_t middle = fits + (most - fits + 1) / 2;
    if (demand_of(middle, of) <= real(memory))
      fits = middle;
    else
      most = middle - 1;
  }
  return fits;
}

}  // namespace pagoda::policy
