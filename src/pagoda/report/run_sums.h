// Sums over a run that more than one part of a report shows. Pure functions of a RunResult.
#pragma once

#include <cstdint>
#include <string>

#include "pagoda/mm/base/counters.h"
#include "pagoda/sim/run_result.h"

namespace pagoda::report {

using mm::hard_faults;
using mm::soft_faults;
using mm::total_faults;

PageCount host_frames(const sim::RunResult& run);
PageCount total_footprint(const sim::RunResult& run);
// The sum of the footprints against the host's memory: "2.0 times", "41%".
std::string overcommit_text(const sim::RunResult& run);

// Disk transfers for each page that both levels paged: the host's read for the guest's write, and the host's write
// before it (reference/virtualization.md section 3).
inline constexpr std::uint64_t kTransfersPerDoublePaged = 2;
// Pages that the host had paged out before a guest did, in all virtual machines.
std::uint64_t double_paged(const sim::RunResult& run);
std::uint64_t guest_pages_written(const sim::RunResult& run);  // To their paging files.
PageCount promised_memory(const sim::RunResult& run);

// The name with the virtual machine that it runs in: "web: sqlite".
std::string full_name(const sim::ProcessResult& process);
bool is_finished(const sim::ProcessResult& process);
std::uint64_t unfinished_processes(const sim::RunResult& run);

}  // namespace pagoda::report
