#include "pagoda/report/run_sums.h"

#include <fmt/format.h>

#include <algorithm>

#include "pagoda/report/text.h"

namespace pagoda::report {

std::uint64_t double_paged(const sim::RunResult& run) {
  std::uint64_t sum = 0;
  for (const sim::VmResult& vm : run.vms) sum += vm.end.counters.double_paged;
  return sum;
}

std::uint64_t guest_pages_written(const sim::RunResult& run) {
  std::uint64_t sum = 0;
  for (const sim::VmResult& vm : run.vms) sum += vm.counters.page_file_pages_written;
  return sum;
}

PageCount promised_memory(const sim::RunResult& run) {
  PageCount sum;
  for (const sim::VmResult& vm : run.vms) sum += pages_of(vm.promised);
  return sum;
}

std::string full_name(const sim::ProcessResult& process) {
  return process.vm.empty() ? process.name : process.vm + ": " + process.name;
}

PageCount host_frames(const sim::RunResult& run) { return PageCount(run.memory / kPageSize); }

PageCount total_footprint(const sim::RunResult& run) {
  PageCount sum;
  for (const sim::ProcessResult& process : run.processes) sum += process.footprint;
  return sum;
}

std::string overcommit_text(const sim::RunResult& run) {
  const std::uint64_t frames = host_frames(run).value();
  const std::uint64_t touched = total_footprint(run).value();
  if (frames == 0) return "an unknown part";
  if (touched < frames) return percent_text(touched, frames);
  const double ratio = static_cast<double>(touched) / static_cast<double>(frames);
  if (touched > frames && ratio < 1.005) return "slightly more than 1 time";
  return ratio >= 100 ? decimal_text(ratio) + " times" : fmt::format("{:.{}f} times", ratio, ratio < 10 ? 2 : 1);
}

bool is_finished(const sim::ProcessResult& process) { return process.finished != kNever; }

std::uint64_t unfinished_processes(const sim::RunResult& run) {
  return static_cast<std::uint64_t>(
      std::count_if(run.processes.begin(), run.processes.end(), [](const auto& p) { return !is_finished(p); }));
}

}  // namespace pagoda::report
