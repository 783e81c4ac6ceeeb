// How much of a machine's memory is active, from samples.
//
// In each period of the machine's own execution time n random frames lose their cached mappings; t of them are touched
// again. Of t / n there are three averages: a slow one, a fast one, and the fast one with the count so far of the period
// under way. The estimate is the largest: it goes up within a period and down slowly.
//
// The error of one sample is sqrt(f (1 - f) / n), 5 points at most with n = 100.
// Source: reference/virtualization.md 1.6 (Waldspurger, OSDI 2002, section 5.3), overcommit-facts.md 1.1 (periods). The
// gains are not published: 0.2 and 0.8.
#pragma once

#include <optional>
#include <string_view>

#include "pagoda/base/units.h"

namespace pagoda::policy {

struct ActivityPreset {
  std::string_view name;
  Duration period;  // Of the machine's own execution.
  unsigned samples = 100;
  double slow = 0.2;
  double fast = 0.8;
};

inline constexpr ActivityPreset kOsdi02Activity{.name = "osdi02", .period = 30_s};
inline constexpr ActivityPreset kVsphereActivity{.name = "vsphere", .period = 60_s};
const ActivityPreset* find_activity_preset(std::string_view name);

// The averages of one machine. A value: what it says follows from the counts that it was given.
class ActivityAverages {
 public:
  explicit ActivityAverages(const ActivityPreset& preset) : preset_(preset) {}

  // Of the period under way, `touched` of `sampled` frames were touched so far. Requires: touched <= sampled.
  void so_far(unsigned touched, unsigned sampled);
  // The period is over, with these counts. Requires: touched <= sampled. A period without samples says nothing.
  void end_period(unsigned touched, unsigned sampled);

  // Share of the machine's memory; nullopt before the first period is over, because what is touched so far is no more
  // than a lower bound.
  [[nodiscard]] std::optional<double> estimate() const;
  [[nodiscard]] std::optional<double> slow() const { return slow_; }
  [[nodiscard]] std::optional<double> fast() const { return fast_; }

 private:
  ActivityPreset preset_;
  std::optional<double> slow_;
  std::optional<double> fast_;
  std::optional<double> under_way_;
};

}  // namespace pagoda::policy
