// What monitoring has of a machine: how much memory it used over time, and how much of that it touched.
//
// A file is CSV with a header that names the columns `time` (seconds), `used` and `active` (bytes), in any order, among
// others. Values hold from their time to the next; what is not known (an empty field) is as before.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"

namespace pagoda::sim {

struct DemandStep {
  Duration at;  // From the beginning.
  PageCount used;
  PageCount active;  // Touched at least once in a period. At most `used`.
};

// Ascending times, the first at 0; at least one.
struct DemandCurve {
  std::vector<DemandStep> steps;
  Duration length;  // Behind the last step's time.

  [[nodiscard]] PageCount most_used() const;
};

// Fails with: one line, what is wrong. `length` of a file: its last value holds as long as the one before.
Input<DemandCurve> parse_demand_csv(std::string_view text, const std::string& name);
Input<DemandCurve> read_demand_csv(const std::string& path);

// Whether the steps are a curve. Fails with: what is wrong with which step, counted from 1.
Input<> check_demand(const DemandCurve& curve);

}  // namespace pagoda::sim
