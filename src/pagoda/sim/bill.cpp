#include "pagoda/sim/bill.h"

#include <algorithm>
#include <cmath>

#include "pagoda/policy/allocation.h"
#include "pagoda/policy/guest_floor.h"
#include "pagoda/policy/pages.h"

namespace pagoda::sim {

namespace {

// What each is owed of what all hold.
std::vector<PageCount> owed(std::span<const BillEntry> entries) {
  std::vector<policy::Claim> claims;
  claims.reserve(entries.size());
  PageCount held;
  for (const BillEntry& entry : entries) {
    const policy::VmMeasure& vm = entry.measure;
    claims.push_back({.shares = static_cast<double>(vm.shares),
                      .minimum = std::min(vm.minimum.value_or(PageCount(0)), vm.maximum),
                      .maximum = vm.maximum,
                      .active = vm.maximum});
    held += vm.granted;
  }
  return policy::allocate(claims, held, 0);
}

bool was_taken_from(const policy::VmMeasure& vm) {
  return (vm.balloon && !vm.balloon->actual.is_zero()) || !vm.swapped_in.value_or(PageCount(0)).is_zero();
}

double part(Duration some, Duration all) {
  return static_cast<double>(some.value()) / static_cast<double>(all.value());
}

}  // namespace

Bill::Bill(std::size_t machines) : sums_(machines) {
  if (machines <= kMostBilled) pairs_.resize(machines * machines);
}

void Bill::charge(std::size_t payer, std::size_t taker, Duration waited) {
  if (payer != taker) sums_[taker].caused += waited;
  if (!pairs_.empty()) pairs_[payer * sums_.size() + taker] += waited;
}

void Bill::add_round(std::span<const BillEntry> entries) {
  const std::vector<PageCount> fair = owed(entries);
  PageCount above;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const BillEntry& entry = entries[i];
    Sums& sums = sums_[entry.machine];
    ++sums.rounds;
    sums.held += entry.measure.granted;
    sums.fair += fair[i];
    sums.active += entry.measure.active.value_or(entry.measure.granted);
    sums.busy += entry.busy;
    sums.waited += entry.waited;
    above += policy::excess(entry.measure.granted, fair[i]);
    placed_ += entry.measure.granted;
  }
  misplaced_ += above;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const BillEntry& entry = entries[i];
    if (entry.waited.is_zero()) continue;
    if (above.is_zero() || entry.measure.granted >= fair[i] || !was_taken_from(entry.measure)) {
      charge(entry.machine, entry.machine, entry.waited);
      continue;
    }
    for (std::size_t t = 0; t < entries.size(); ++t) {
      const PageCount more = policy::excess(entries[t].measure.granted, fair[t]);
      if (more.is_zero()) continue;
      charge(entry.machine, entries[t].machine,
             Duration(static_cast<std::uint64_t>(static_cast<double>(entry.waited.value()) *
                                                 policy::share_of(more, above))));
    }
  }
}

double jains_index(std::span<const double> values) {
  double sum = 0;
  double squares = 0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  return squares == 0 ? 1 : sum * sum / (static_cast<double>(values.size()) * squares);
}

double Bill::fairness() const {
  std::vector<double> went_on;
  for (const Sums& sums : sums_)
    if (!(sums.busy + sums.waited).is_zero()) went_on.push_back(part(sums.busy, sums.busy + sums.waited));
  return jains_index(went_on);
}

void Bill::close(PolicyResult& result) const {
  result.accounts.resize(sums_.size());
  for (std::size_t machine = 0; machine < sums_.size(); ++machine) {
    const Sums& sums = sums_[machine];
    PolicyAccount& account = result.accounts[machine];
    const std::uint64_t rounds = std::max<std::uint64_t>(sums.rounds, 1);
    account.held = sums.held / rounds;
    account.fair = sums.fair / rounds;
    account.active = sums.active / rounds;
    account.waited = sums.waited;
    account.made_others_wait = sums.caused;
  }
  result.fairness = fairness();
  result.distance_to_fair = policy::share_of(misplaced_, placed_);
  for (std::size_t i = 0; i < pairs_.size(); ++i)
    if (!pairs_[i].is_zero())
      result.charges.push_back({.payer = i / sums_.size(), .taker = i % sums_.size(), .waited = pairs_[i]});
  std::ranges::sort(result.charges, [&](const PolicyCharge& a, const PolicyCharge& b) {
    return std::tuple(b.waited, a.payer, a.taker) < std::tuple(a.waited, b.payer, b.taker);
  });
}

}  // namespace pagoda::sim
