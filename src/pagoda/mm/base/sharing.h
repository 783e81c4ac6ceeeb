// What sharing by contents (mm/combine) may be told about itself, and what keeps tenants apart.
#pragma once

#include <algorithm>
#include <cstdint>

#include "pagoda/base/units.h"

namespace pagoda::mm {

// Pages are made one within a domain and never across: whoever can time a write can tell whether its page was shared, so
// a domain is those who may know that of each other (reference/virtualization.md 6.2). A space is a domain of its own
// unless it is put into a named one when it is made; the child of a fork is in its parent's.
enum class SharingDomain : std::uint64_t {};

constexpr SharingDomain own_domain(std::uint32_t space_id) { return SharingDomain{std::uint64_t{1} << 32 | space_id}; }
constexpr SharingDomain named_domain(std::uint32_t number) { return SharingDomain{number}; }

struct SharingTunables {
  // Pages that are looked at in a second: of one space, and of all together. ESX: ShareRateMax is 1024 pages a second of a
  // machine, ShareScanGHz 4 MB/s for each GHz, which on the 3 GHz of CostModel are 3072 (reference/overcommit-facts.md
  // 1.2).
  PageCount scan_of_space{1024};
  PageCount scan_in_all{3072};
  // How often it looks. A choice: long enough to find work, short enough that a turn stays under a millisecond.
  Duration period = 100_ms;
  // How much of the hash counts, 8 to 64 bits: less only to see that collisions do no harm.
  unsigned hash_bits = 64;
  // What the domains' salts are made of.
  std::uint64_t salt_seed = 0x5A17;
  // Entries that the table may have; zero: one for each frame, which are 0.45 % of memory.
  PageCount table_entries;
  // In which order a space's pages are looked at (combine/scan_order.h).
  enum class Order : std::uint8_t { kRandom, kByYield } order = Order::kRandom;
  // What becomes of a page of zeros: nothing is kept of it, or it is shared as any other, which is what ESX did
  // (reference/virtualization.md 1.5).
  enum class Zeros : std::uint8_t { kDemandZero, kOnePage } zeros = Zeros::kDemandZero;
  // Whether a page seen once is remembered. Without hints it is made read-only at once, so that its twin finds it: an open
  // question of the field is what that costs.
  enum class Hints : std::uint8_t { kYes, kNo } hints = Hints::kYes;
  // What a page costs that was looked at. kOrdinary: one that was merged is copied when it is written, others cost
  // nothing. kSameBehaviour: the next access of any, be it a read or a write, is served by a copy, so that nobody can time
  // whether a page was merged (VUsion; reference/virtualization.md 6.2). Such pages leave the working set; hints are not
  // kept.
  enum class Combine : std::uint8_t { kOrdinary, kSameBehaviour } combine = Combine::kOrdinary;
};

// How fast the scan goes, which may change while it runs: KubeVirt's and ESX's policies steer it by how short the host is.
struct ScanRate {
  PageCount of_space;  // Pages of one space each time that it looks, at least one,
  PageCount in_all;    // of all together; zero: it does not look.
  Duration period;     // How often that is.
  friend bool operator==(const ScanRate&, const ScanRate&) = default;

  // What the tunables say.
  static ScanRate of(const SharingTunables& tunables) {
    const auto in_period = [&](PageCount a_second) {
      return std::max(1_pages, PageCount(a_second.value() * tunables.period.value() / Duration(1_s).value()));
    };
    return {in_period(tunables.scan_of_space), in_period(tunables.scan_in_all), tunables.period};
  }
};

}  // namespace pagoda::mm
