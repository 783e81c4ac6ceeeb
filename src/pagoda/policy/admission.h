// Whether one more machine may start.
//
// The hard form must hold: what is promised to every machine, and its overhead, fits into memory, and what it may have
// beyond that fits into swap. The statistical form is for plans: machines of mean mu and deviation sigma whose demands are
// correlated by rho fit as long as N mu + z sigma sqrt(N (1 + (N - 1) rho)) <= M.
// Source: reference/virtualization.md 1.7 (Waldspurger, OSDI 2002, section 6.1; GSX and ESX 2 manuals), 7.1.
#pragma once

#include <cstdint>
#include <expected>
#include <string>

#include "pagoda/base/units.h"

namespace pagoda::policy {

struct Commitment {
  PageCount minimum;
  PageCount maximum;   // At least the minimum.
  PageCount overhead;  // Of the host, for the machine: page tables, frame buffer.
};

struct Unreserved {
  PageCount memory;
  PageCount swap;
};

// ESX 2's overhead: 54 MiB with one virtual processor, 64 MiB with two (and, ours, 10 more for each further one); 32 MiB
// for each GiB above 512 MiB, begun ones in full.
PageCount esx2_overhead(PageCount memory, unsigned processors);

enum class Lacks : std::uint8_t { kMemory, kSwap };
struct Refusal {
  Lacks lacks = Lacks::kMemory;
  PageCount needed;
  PageCount unreserved;
};
// "needs 544 MiB of unreserved memory, and there are 512 MiB"
std::string to_string(const Refusal& refusal);

// What is unreserved afterwards. Memory is looked at first. Requires: minimum <= maximum.
std::expected<Unreserved, Refusal> admit(const Unreserved& host, const Commitment& machine);

// How many such machines are admitted at most.
std::uint64_t most_admitted(const Unreserved& host, const Commitment& machine);

struct DemandOfClass {
  double mean = 0;         // Pages.
  double deviation = 0;    // Pages.
  double correlation = 0;  // [0, 1]: of two machines' demands; 1 is a boot storm.
  double quantile = 3.09;  // z: standard deviations that must fit; 3.09 leaves 0.1 %.
};

// The demand of `machines` of them that is not exceeded, but for the quantile.
double demand_of(std::uint64_t machines, const DemandOfClass& of);
// How many of them fit. Requires: mean > 0.
std::uint64_t most_by_statistics(PageCount memory, const DemandOfClass& of);

}  // namespace pagoda::policy
