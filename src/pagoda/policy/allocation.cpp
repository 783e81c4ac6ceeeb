#include "pagoda/policy/allocation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <queue>
#include <tuple>

#include "pagoda/base/check.h"
#include "pagoda/policy/pages.h"

namespace pagoda::policy {

namespace {

// What a machine's pages cost it, in active pages.
double charge(const Claim& claim, double held, double tax) {
  const double active = std::min(real(claim.active), held);
  return active + (held - active) / (1 - tax);
}

// Pages of a machine that can pay `charge`, in reals and not clamped.
double pages_for(const Claim& claim, double charge, double tax) {
  const double active = real(claim.active);
  return charge <= active ? charge : active + (charge - active) * (1 - tax);
}

double clamped(const Claim& claim, double pages) { return std::clamp(pages, real(claim.minimum), real(claim.maximum)); }

// A machine's pages as a function of the level (charge a share) are a line from bend to bend.
struct Bend {
  double level;
  double slope;  // What the sum's slope changes by.
};

// The level at which the machines' pages, in reals, are `available` together.
double level_for(std::span<const Claim> claims, double available, double tax) {
  std::vector<Bend> bends;
  bends.reserve(3 * claims.size());
  double sum = 0;
  for (const Claim& claim : claims) {
    const double first = charge(claim, real(claim.minimum), tax) / claim.shares;
    const double last = charge(claim, real(claim.maximum), tax) / claim.shares;
    const double kink = std::clamp(real(claim.active) / claim.shares, first, last);
    const double steep = claim.shares;
    const double taxed = claim.shares * (1 - tax);
    if (first < kink) bends.push_back({first, steep});
    if (first < kink && kink < last) bends.push_back({kink, taxed - steep});
    if (first == kink && kink < last) bends.push_back({kink, taxed});
    if (first < last) bends.push_back({last, kink < last ? -taxed : -steep});
    sum += real(claim.minimum);
  }
  std::ranges::sort(bends, {}, &Bend::level);
  double level = 0;
  double slope = 0;
  for (const Bend& bend : bends) {
    const double next = sum + slope * (bend.level - level);
    if (next >= available && slope > 0) return level + (available - sum) / slope;
    sum = next;
    level = bend.level;
    slope = std::max(0.0, slope + bend.slope);
  }
  return level;
}

// Who gets a page before whom when pages are rounded. Ties go by what machines are, not by where they stand.
struct Remainder {
  double fraction;
  double shares;
  PageCount active;
  PageCount maximum;
  PageCount minimum;
  std::size_t machine;

  [[nodiscard]] bool goes_before(const Remainder& other) const {
    return std::tie(fraction, shares, active, maximum, minimum) >
           std::tie(other.fraction, other.shares, other.active, other.maximum, other.minimum);
  }
};

// Whole pages: the fractions that were cut off are given to the largest of them.
std::vector<PageCount> rounded(std::span<const Claim> claims, const std::vector<double>& pages, PageCount available) {
  std::vector<PageCount> whole(pages.size());
  PageCount sum;
  std::vector<Remainder> remainders;
  remainders.reserve(pages.size());
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const Claim& claim = claims[i];
    sum += whole[i] = whole_pages(pages[i]);
    remainders.push_back(
        {pages[i] - std::floor(pages[i]), claim.shares, claim.active, claim.maximum, claim.minimum, i});
  }
  // Once is enough, but for what adding up reals has lost.
  while (sum < available) {
    std::erase_if(remainders, [&](const Remainder& one) { return whole[one.machine] == one.maximum; });
    if (remainders.empty()) break;
    const auto count =
        static_cast<std::ptrdiff_t>(std::min<std::uint64_t>((available - sum).value(), remainders.size()));
    std::ranges::nth_element(remainders, remainders.begin() + count - 1,
                             [](const Remainder& a, const Remainder& b) { return a.goes_before(b); });
    for (std::ptrdiff_t i = 0; i < count; ++i) ++whole[remainders[static_cast<std::size_t>(i)].machine];
    sum += PageCount(static_cast<std::uint64_t>(count));
  }
  for (std::size_t i = 0; i < whole.size() && sum > available; ++i) {
    if (whole[i] == claims[i].minimum) continue;
    --whole[i];
    --sum;
  }
  return whole;
}

}  // namespace

double price(const Claim& claim, PageCount held, double tax) {
  return held.is_zero() ? std::numeric_limits<double>::infinity() : claim.shares / charge(claim, real(held), tax);
}

std::vector<PageCount> allocate(std::span<const Claim> claims, PageCount available, double tax) {
  PAGODA_CHECK(tax >= 0 && tax < 1);
  PageCount least;
  PageCount most;
  for (const Claim& claim : claims) {
    PAGODA_DCHECK(claim.shares > 0 && claim.minimum <= claim.maximum);
    least += claim.minimum;
    most += claim.maximum;
  }
  const PageCount given = std::clamp(available, least, most);
  const double level = level_for(claims, real(given), tax);
  std::vector<double> pages(claims.size());
  for (std::size_t i = 0; i < claims.size(); ++i)
    pages[i] = clamped(claims[i], pages_for(claims[i], level * claims[i].shares, tax));
  return rounded(claims, pages, given);
}

void revoke(std::span<const Claim> claims, double tax, PageCount pages, std::span<PageCount> held) {
  PAGODA_CHECK(tax >= 0 && tax < 1);
  PAGODA_CHECK_EQ(claims.size(), held.size());
  struct Offer {
    double price;
    std::size_t machine;
  };
  const auto dearer = [](const Offer& a, const Offer& b) { return a.price > b.price; };
  std::priority_queue<Offer, std::vector<Offer>, decltype(dearer)> offers(dearer);
  const auto offer = [&](std::size_t i) {
    if (held[i] > claims[i].minimum) offers.push({price(claims[i], held[i], tax), i});
  };
  for (std::size_t i = 0; i < claims.size(); ++i) offer(i);
  for (; !pages.is_zero() && !offers.empty(); --pages) {
    const std::size_t cheapest = offers.top().machine;
    offers.pop();
    --held[cheapest];
    offer(cheapest);
  }
}

}  // namespace pagoda::policy
