// Who had what, who waited, and because of whom, from round to round of a memory policy.
//
// What a machine is owed is what its shares give it of all that the machines hold together, between its minimum and its
// maximum (policy::allocate without a tax). What its programs waited in a round is charged
//
//   to itself, if the host had taken nothing from it, or it held what it is owed or more;
//   else to the machines that held more than they are owed, in proportion to how much more.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/policy/measure.h"
#include "pagoda/sim/policy_result.h"

namespace pagoda::sim {

// A machine in one round.
struct BillEntry {
  std::size_t machine = 0;  // Its number.
  policy::VmMeasure measure;
  Duration busy;    // Its processors together, since the last round that it was in.
  Duration waited;  // Its programs together, likewise.
};

// How alike the values are: 1 if all are, 1 / n if one of n is all there is (Jain's index). 1 of nothing.
double jains_index(std::span<const double> values);

class Bill {
 public:
  explicit Bill(std::size_t machines);

  void add_round(std::span<const BillEntry> entries);
  // Fills in what the rounds came to.
  void close(PolicyResult& result) const;

 private:
  struct Sums {
    std::uint64_t rounds = 0;
    PageCount held;
    PageCount fair;
    PageCount active;
    Duration busy;
    Duration waited;
    Duration caused;
  };

  void charge(std::size_t payer, std::size_t taker, Duration waited);
  [[nodiscard]] double fairness() const;

  std::vector<Sums> sums_;
  std::vector<Duration> pairs_;  // Payer's row, taker's column; empty beyond kMostBilled machines.
  PageCount misplaced_;          // Sums over all rounds.
  PageCount placed_;
};

}  // namespace pagoda::sim
