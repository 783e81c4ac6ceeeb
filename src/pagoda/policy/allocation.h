// Who gets how much: shares, an idle tax, minimum and maximum.
//
// Min-funding revocation takes a page from the machine that pays least for a page: its price is S / (A + k (P - A)) of P
// pages of which A are active, with S shares and k = 1 / (1 - tax); a machine that has fewer pages than are active has
// active pages alone, S / P. At equal prices each machine has
//
//   P = tax A + lambda S    (if that is at least A; else all its pages are active, and P = lambda S / (1 - tax))
//
// clamped to its minimum and maximum, where lambda makes the sum what there is to give (water-filling). Where every machine
// holds what it uses, this is the closed form of reference/virtualization.md 1.6.
//
// Both ways must agree to a page a machine in all:
//   allocate           the closed form, solved once for all machines
//   revoke             one page at a time, from the cheapest
//
// Invariants (tests):
//   [AL1] The sum is `available`, unless the minima are more or the maxima less than that.
//   [AL2] minimum <= P <= maximum.
//   [AL3] P grows (or stays) with the machine's own shares and activity, and with what is available.
//   [AL4] The order of the machines does not matter.
// Source: reference/virtualization.md 1.6 (Waldspurger, OSDI 2002, section 5).
#pragma once

#include <span>
#include <vector>

#include "pagoda/base/units.h"

namespace pagoda::policy {

struct Claim {
  double shares = 1;  // Above 0.
  PageCount minimum;
  PageCount maximum;  // At least the minimum.
  PageCount active;
};

// Waldspurger's: an idle page costs as much as four active ones.
inline constexpr double kDefaultIdleTax = 0.75;

// Shares paid for a page, for a machine that holds `held` pages; infinite for one that holds none.
double price(const Claim& claim, PageCount held, double tax);

// What each machine should hold, in the order of the claims. Requires: 0 <= tax < 1. O(n log n).
std::vector<PageCount> allocate(std::span<const Claim> claims, PageCount available, double tax);

// Takes `pages` from what machines hold, one by one from the one with the lowest price that is above its minimum; fewer
// if all are at theirs. Requires: `held` has an element for each claim; 0 <= tax < 1. O(pages log n).
void revoke(std::span<const Claim> claims, double tax, PageCount pages, std::span<PageCount> held);

}  // namespace pagoda::policy
