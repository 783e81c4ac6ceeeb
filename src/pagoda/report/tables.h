// The figures of a run as HTML tables: processes, disks, page files, processors, counters, incidents.
#pragma once

#include <string>

#include "pagoda/sim/run_result.h"

namespace pagoda::report {

// More incidents than this are counted only; the JSON report has them all.
inline constexpr std::size_t kIncidentsShownMax = 200;

std::string tables_html(const sim::RunResult& run);

}  // namespace pagoda::report
