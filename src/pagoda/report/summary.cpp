#include "pagoda/report/summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "pagoda/report/run_sums.h"
#include "pagoda/report/story.h"
#include "pagoda/report/terminal_text.h"
#include "pagoda/report/text.h"

namespace pagoda::report {
namespace {

constexpr std::size_t kNameWidth = 22;
constexpr std::size_t kVmNameWidth = 16;

std::string processes(const sim::RunResult& run) {
  std::vector<const sim::ProcessResult*> shown;
  shown.reserve(run.processes.size());
  for (const sim::ProcessResult& process : run.processes) shown.push_back(&process);
  const bool cut = shown.size() > kSummaryProcessesMax;
  if (cut) {
    std::sort(shown.begin(), shown.end(), [](const auto* a, const auto* b) {
      return a->wait_time != b->wait_time ? a->wait_time > b->wait_time : a < b;  // Ties: as in the scenario.
    });
    shown.resize(kSummaryProcessesMax);
  }
  std::vector<std::vector<std::string>> rows{
      {"process", "footprint", "peak working set", "hard faults", "soft faults", "waiting", "finished"}};
  const bool sharing = std::ranges::any_of(
      run.processes, [](const sim::ProcessResult& process) { return !process.end_shared.is_zero(); });
  if (sharing)
    rows[0] = {"process", "footprint", "private", "shared", "hard faults", "soft faults", "waiting", "finished"};
  for (const sim::ProcessResult* process : shown) {
    rows.push_back({shortened(escape_terminal(full_name(*process)), kNameWidth), bytes_text(process->footprint),
                    bytes_text(process->peak_working_set), grouped(hard_faults(process->faults)),
                    grouped(soft_faults(process->faults)),
                    percent_text(process->wait_time.value(), (process->cpu_time + process->wait_time).value()),
                    is_finished(*process) ? time_text(process->finished) : "no"});
    if (!sharing) continue;
    // Instead of its peak: what it had when it ended.
    rows.back()[2] = bytes_text(process->end_shared);
    rows.back().insert(rows.back().begin() + 2, bytes_text(process->end_private));
  }
  std::string out = aligned(rows);
  if (cut) out += fmt::format("... and {} more that waited less\n", grouped(run.processes.size() - shown.size()));
  return out;
}

// A line for each virtual machine: what it was promised, where the host has it at the end, its own hard faults, pages
// that both levels paged, and how long it waited for the host's disks.
std::string virtual_machines(const sim::RunResult& run) {
  std::vector<std::vector<std::string>> rows{
      {"virtual machine", "promised", "in memory", "compressed", "page file", "hard faults", "twice", "waiting"}};
  for (const sim::VmResult& vm : run.vms) {
    const sim::GuestMemory& memory = vm.end.memory;
    rows.push_back({shortened(escape_terminal(vm.name), kVmNameWidth), bytes_text(vm.promised),
                    bytes_text(memory.in_memory()), bytes_text(memory.compressed), bytes_text(memory.page_file),
                    grouped(hard_faults(vm.counters.faults)), grouped(vm.end.counters.double_paged),
                    percent_text(vm.waited.value(), (vm.busy + vm.waited).value())});
  }
  return aligned(rows);
}

// The most of each kind of active frames at any sample.
std::string memory_line(const sim::RunResult& run) {
  const auto most = [&](PageCount sim::FrameCensus::* member) {
    PageCount pages;
    for (const sim::Sample& sample : run.samples) pages = std::max(pages, sample.frames.*member);
    return bytes_text(pages);
  };
  return fmt::format(
      "at most {} private, {} shared from files, {} shared without a file, {} page tables, {} prototype PTEs",
      most(&sim::FrameCensus::active_private), most(&sim::FrameCensus::active_shared_file),
      most(&sim::FrameCensus::active_shared_page_file), most(&sim::FrameCensus::active_page_tables),
      most(&sim::FrameCensus::active_prototypes));
}

std::string mapped_files_line(const sim::RunResult& run) {
  const mm::Counters& counters = run.counters;
  return fmt::format("{} read in {}, {} written in {}", bytes_text(PageCount(counters.mapped_file_pages_read)),
                     counted(counters.mapped_file_reads, "read"),
                     bytes_text(PageCount(counters.mapped_file_pages_written)),
                     counted(counters.mapped_file_writes, "write"));
}

bool shares_pages(const sim::RunResult& run) {
  return std::ranges::any_of(run.samples, [](const sim::Sample& sample) {
    return !(sample.frames.active_shared_file + sample.frames.active_shared_page_file).is_zero();
  });
}

std::string page_file_line(const sim::RunResult& run) {
  if (run.page_files.empty()) return "none";
  PageCount peak;
  ByteCount size;
  for (const sim::PageFileResult& file : run.page_files) {
    peak += file.peak_used;
    size += file.size;
  }
  const mm::Counters& counters = run.counters;
  return fmt::format("{} read in {}, {} written in {}; peak use {} of {}",
                     bytes_text(PageCount(counters.page_file_pages_read)), counted(counters.page_file_reads, "read"),
                     bytes_text(PageCount(counters.page_file_pages_written)),
                     counted(counters.page_file_writes, "write"), bytes_text(peak), bytes_text(size));
}

}  // namespace

std::string summary_text(const sim::RunResult& run) {
  const auto line = [](std::string_view what, std::string_view text) {
    return wrapped(fmt::format("{:<11}{}", what, text), 11);
  };
  std::string out = escape_terminal(run.title.empty() ? run.scenario : run.title) + "\n\n";
  for (const std::string& sentence : tell(run).sentences()) out += wrapped(escape_terminal(sentence), 0);
  out += '\n';
  if (!run.processes.empty()) out += processes(run) + '\n';
  if (!run.vms.empty()) out += virtual_machines(run) + '\n';
  if (shares_pages(run)) out += line("memory", memory_line(run));
  if (run.counters.mapped_file_reads + run.counters.mapped_file_writes > 0)
    out += line("files", mapped_files_line(run));
  out += line("page files", page_file_line(run));
  const PageCount limit = run.samples.empty() ? PageCount(0) : run.samples.back().commit_limit;
  out += line("commit", fmt::format("peak {}{}", bytes_text(run.commit_peak),
                                    limit.is_zero() ? "" : fmt::format(" of {}", bytes_text(limit))));
  if (!run.incidents.empty()) {
    out +=
        line("incidents", fmt::format("{}, the first: {}", grouped(run.incidents.size()),
                                      shortened(escape_terminal(to_string(run.incidents.front())), 2 * kSummaryWidth)));
  }
  out += line("run", fmt::format("{} of virtual time in {}, seed {}, state {:016x}", duration_text(run.end - Time(0)),
                                 seconds_text(run.wall_seconds), run.seed, run.state_hash));
  return out;
}

}  // namespace pagoda::report
