// What a policy decides: for each machine how much memory it may hold, by which mechanism it gets there, and why.
//
// A report prints the reason as a sentence: "took 212 MiB from web-3 by balloon: 8 % of its memory is active, its price of
// 0.31 is the lowest, and the host was in the soft state".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/policy/free_states.h"
#include "pagoda/policy/measure.h"

namespace pagoda::policy {

enum class Why : std::uint8_t {
  kUnmanaged,          // This policy moves nothing of it.
  kEnough,             // Nobody is short, or its target is right.
  kFixedSplit,         // The host was split once.
  kHostPages,          // The host pages by itself.
  kPrice,              // Its memory was the cheapest: shares, activity, tax.
  kSurplus,            // The host has more than enough: it gets back.
  kHostShort,          // The host is short, and everybody gives by rule.
  kGuestShort,         // The guest is short, and gets.
  kGuestIdle,          // The guest has memory that it does not use.
  kGuestDemand,        // What the guest claims, and a buffer.
  kBackFirst,          // Its stalls rose above what is acceptable: it gets back before others.
  kStalls,             // Its stalls are at what is acceptable: it stops giving.
  kProbe,              // Its stalls are below what is acceptable: a little is tried.
  kFloor,              // It is at the least that it is promised.
  kUnknownStatistics,  // Unknown or stale statistics shrink nobody.
  kDeadBalloon,        // Its balloon does not move: it is paged instead.
  kNoBalloon,          // It has none: it is paged instead.
  kSettling,           // Its last move is under way.
  kOnePeriod,          // It moved the other way within this period.
};

// The figures that decided; those that did not are nullopt.
struct Reason {
  Why why = Why::kUnmanaged;
  std::optional<FreeState> state;       // The host's.
  std::optional<double> host_free;      // Share of the host's memory.
  std::optional<double> active;         // Share of what the machine holds.
  std::optional<double> price;          // Shares a page, idle pages taxed; the host's dearest machine has 1.
  std::optional<double> stall;          // Share of time.
  std::optional<PageCount> available;   // To the guest.
  std::optional<PageCount> charged_to;  // Pages of swap-in of others that it was made to answer for.
};

enum class Execution : std::uint8_t { kRun, kBlock };

struct Decision {
  MachineId machine{};
  PageCount previous;       // The target before this round.
  PageCount target;         // What it may hold of the host's memory once all of this has happened.
  PageCount balloon;        // What its balloon shall hold, in all; virtio's num_pages.
  PageCount compress;       // To compress in this round, of what it holds.
  PageCount page_out;       // To page out in this round, of what it holds.
  PageCount reclaim_cache;  // Of its page cache, that the guest's agent shall drop in this round.
  Execution execution = Execution::kRun;
  Reason reason;
};

// How fast equal pages are looked for from now on; nothing is looked for at 0 pages.
struct ScanRate {
  PageCount pages_a_wake;
  Duration sleep;
};

struct Decisions {
  FreeState state = FreeState::kHigh;
  std::optional<ScanRate> sharing;  // nullopt: the policy leaves sharing alone.
  std::vector<Decision> machines;   // In the order of the measures.
};

std::string_view name(Why why);

// "took 212 MiB from web-3 by balloon: ...". `machine` is what people call it.
std::string sentence(const Decision& decision, std::string_view machine);

}  // namespace pagoda::policy
