#include "pagoda/report/tables.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/report/html_table.h"
#include "pagoda/report/policy_tables.h"
#include "pagoda/report/run_sums.h"
#include "pagoda/report/text.h"

namespace pagoda::report {
namespace {

using ExitField = FigureField<hv::PartitionCounts, std::uint64_t>;

// A count of what should not happen: strong when it did.
std::string alarm_cell(std::uint64_t count) {
  return count == 0 ? "0" : fmt::format("<span class=\"strong\">{}</span>", grouped(count));
}

// Its share of the process's time, drawn as well.
std::string waiting_cell(const sim::ProcessResult& process) {
  const std::uint64_t part = process.wait_time.value();
  const std::uint64_t whole = (process.cpu_time + process.wait_time).value();
  const double percent = whole == 0 ? 0 : 100 * (static_cast<double>(part) / static_cast<double>(whole));
  return fmt::format(
      "{}<span class=\"bar\" aria-hidden=\"true\"><i style=\"width:{:.1f}%\"></i></span><small>{} of its time</small>",
      duration_text(process.wait_time), percent, percent_text(part, whole));
}

std::string processes_table(const sim::RunResult& run) {
  if (run.processes.empty()) return nothing("No process ran.");
  Table table("What each program touched, had, and waited for.",
              {"Process", "Footprint", "Working set<br>limits", "Peak<br>working set", "Private<br>at its end",
               "Shared<br>at its end", "Peak<br>commit", "References", "Hard<br>faults", "Soft<br>faults", "Computing",
               "Waiting", "Finished"});
  for (const sim::ProcessResult& process : run.processes) {
    table.row(with_note(full_name(process), process.program),
              {size_cell(process.footprint),
               fmt::format("{}<small>to {}</small>", bytes_text(process.working_set_minimum),
                           bytes_text(process.working_set_maximum)),
               size_cell(process.peak_working_set), size_cell(process.end_private), size_cell(process.end_shared),
               size_cell(process.peak_commit),
               fmt::format("{}<small>{} done</small>", grouped(process.references), grouped(process.operations)),
               alarm_cell(hard_faults(process.faults)), grouped(soft_faults(process.faults)),
               duration_text(process.cpu_time), waiting_cell(process),
               is_finished(process) ? time_text(process.finished) : "<span class=\"strong\">no</span>"});
  }
  return std::move(table).html();
}

std::string vm_note(const sim::VmResult& vm) {
  return fmt::format("{} guest, {}, {} paging, {}, {}; fault cluster {}", vm.guest, counted(vm.processors, "processor"),
                     vm.paging, vm.mmu, vm.backing == "pinned" ? "pinned" : "pageable", bytes_text(vm.fault_cluster));
}

std::string vms_tables(const sim::RunResult& run) {
  if (run.vms.empty()) return {};
  Table memory("What each was promised, and where the host had it at the end.",
               {"Virtual machine", "Promised", "In memory", "Of it modified<br>or standby", "Compressed",
                "In a<br>page file", "Zero", "Tables for it", "Peak<br>working set"});
  for (const sim::VmResult& vm : run.vms) {
    const sim::GuestMemory& end = vm.end.memory;
    memory.row(with_note(vm.name, vm_note(vm)),
               {bytes_text(vm.promised), size_cell(end.in_memory()), size_cell(end.modified + end.standby),
                size_cell(end.compressed), size_cell(end.page_file), size_cell(end.nothing), size_cell(vm.end.tables),
                size_cell(vm.peak_working_set)});
  }
  Table inside(
      "What each did. Paged twice: pages that the guest wrote out while the host had them in a page file; each "
      "cost two transfers that one pager would not make.",
      {"Virtual machine", "Guest<br>hard faults", "Guest<br>soft faults", "Read from<br>its page files",
       "Written<br>to them", "Paged twice", "Extra<br>transfers", "Computing", "Waiting for<br>the host's disks"});
  for (const sim::VmResult& vm : run.vms) {
    const std::uint64_t twice = vm.end.counters.double_paged;
    inside.row(escape_html(vm.name),
               {alarm_cell(hard_faults(vm.counters.faults)), grouped(soft_faults(vm.counters.faults)),
                size_cell(PageCount(vm.counters.page_file_pages_read)),
                size_cell(PageCount(vm.counters.page_file_pages_written)), alarm_cell(twice),
                grouped(kTransfersPerDoublePaged * twice), duration_text(vm.busy), duration_text(vm.waited)});
  }
  // Only what occurred: shadow and nested paging have little in common.
  std::vector<std::string_view> columns{"Between guest and host"};
  std::vector<const ExitField*> shown;
  for (const ExitField& field : hv::kPartitionCountFields) {
    bool occurred = false;
    for (const sim::VmResult& vm : run.vms) occurred = occurred || vm.end.counters.*field.member > 0;
    if (!occurred) continue;
    columns.push_back(field.label);
    shown.push_back(&field);
  }
  std::string exits;
  if (!shown.empty()) {
    Table table("Exits by kind, hints, and what else passed between the two.", columns);
    for (const sim::VmResult& vm : run.vms) {
      std::vector<std::string> cells;
      cells.reserve(shown.size());
      for (const ExitField* field : shown) cells.push_back(grouped(vm.end.counters.*field->member));
      table.row(escape_html(vm.name), cells);
    }
    exits = std::move(table).html();
  }
  return heading("Virtual machines") + std::move(memory).html() + std::move(inside).html() + exits;
}

std::string baseline_table(const sim::RunResult& run) {
  if (!run.baseline) return {};
  const sim::Baseline& before = *run.baseline;
  Table table("This run beside the one that it is compared with.",
              {"Run", "Paged twice", "Extra<br>transfers", "Pages that guests<br>wrote out",
               "Read from the<br>host's page files", "Written<br>to them", "Ended"});
  const auto row = [&](std::string_view name, std::string_view note, std::uint64_t twice, std::uint64_t written,
                       const mm::Counters& counters, Time end) {
    table.row(with_note(name, note), {grouped(twice), grouped(kTransfersPerDoublePaged * twice), grouped(written),
                                      size_cell(PageCount(counters.page_file_pages_read)),
                                      size_cell(PageCount(counters.page_file_pages_written)), time_text(end)});
  };
  row(before.title, before.scenario, before.double_paged, before.guest_pages_written, before.counters, before.end);
  row(run.title, run.scenario, double_paged(run), guest_pages_written(run), run.counters, run.end);
  return heading("Compared") + std::move(table).html();
}

std::string process_faults_table(const sim::RunResult& run) {
  // Only the kinds that occurred: most runs have few.
  std::vector<std::size_t> kinds;
  for (std::size_t kind = 0; kind < mm::kFaultKinds; ++kind) {
    bool occurred = run.counters.faults[kind] > 0;
    for (const sim::ProcessResult& process : run.processes) occurred = occurred || process.faults[kind] > 0;
    if (occurred) kinds.push_back(kind);
  }
  if (kinds.empty()) return {};
  std::vector<std::string_view> columns{"Faults of"};
  for (const std::size_t kind : kinds) columns.push_back(label(static_cast<mm::FaultKind>(kind)));
  columns.emplace_back("All");
  bool errors = false;
  bool verified = run.verified;
  for (const sim::ProcessResult& process : run.processes) errors = errors || process.in_page_errors > 0;
  if (errors) columns.emplace_back("In-page errors seen");
  if (verified) columns.emplace_back("Loads verified");
  Table table("Page faults by process and kind.", columns);
  for (const sim::ProcessResult& process : run.processes) {
    std::vector<std::string> cells;
    for (const std::size_t kind : kinds) {
      const bool hard = mm::is_hard(static_cast<mm::FaultKind>(kind));
      cells.push_back(hard ? alarm_cell(process.faults[kind]) : grouped(process.faults[kind]));
    }
    cells.push_back(grouped(total_faults(process.faults)));
    if (errors) cells.push_back(alarm_cell(process.in_page_errors));
    if (verified) cells.push_back(grouped(process.loads_verified));
    table.row(escape_html(full_name(process)), cells);
  }
  return std::move(table).html();
}

std::string disks_table(const sim::RunResult& run) {
  if (run.disks.empty()) return nothing("This host has no disk.");
  Table table("Busy is the share of the run during which the disk worked.",
              {"Disk", "Capacity", "In use", "Reads", "Read", "Writes", "Written", "Errors", "Busy"});
  for (const sim::DiskResult& disk : run.disks) {
    table.row(escape_html(disk.name),
              {bytes_text(disk.capacity), bytes_text(disk.used), grouped(disk.reads), bytes_text(disk.bytes_read),
               grouped(disk.writes), bytes_text(disk.bytes_written), alarm_cell(disk.errors),
               fmt::format("{}<small>{}</small>", duration_text(disk.busy),
                           percent_text(disk.busy.value(), run.end.value()))});
  }
  return std::move(table).html();
}

std::string page_files_table(const sim::RunResult& run) {
  if (run.page_files.empty()) return nothing("This host has no page file.");
  Table table("Size and use at the end of the run, and the most that was in use at any time.",
              {"Page file", "Minimum", "Maximum", "Size", "Used", "Peak use"});
  for (const sim::PageFileResult& file : run.page_files) {
    table.row(with_note(file.name, "on " + file.disk),
              {bytes_text(file.minimum), bytes_text(file.maximum), bytes_text(file.size), size_cell(file.used),
               size_cell(file.peak_used)});
  }
  return std::move(table).html();
}

std::string processors_table(const sim::RunResult& run) {
  if (run.processors.empty()) return nothing("No processor was measured.");
  Table table("Walk loads are the page-table entries that the walker read after a TLB miss.",
              {"Processor", "Busy", "Idle", "Busy,<br>of its time", "TLB hits", "TLB misses", "Miss rate", "Walk loads",
               "Shootdowns<br>received"});
  for (std::size_t i = 0; i < run.processors.size(); ++i) {
    const sim::ProcessorResult& processor = run.processors[i];
    table.row(std::to_string(i), {duration_text(processor.busy), duration_text(processor.idle),
                                  percent_text(processor.busy.value(), (processor.busy + processor.idle).value()),
                                  grouped(processor.tlb_hits), grouped(processor.tlb_misses),
                                  percent_text(processor.tlb_misses, processor.tlb_hits + processor.tlb_misses),
                                  grouped(processor.walk_loads), grouped(processor.shootdowns)});
  }
  return std::move(table).html();
}

std::string counters_tables(const sim::RunResult& run) {
  Table faults("Page faults by kind.", {"Counter", "Count"});
  for (std::size_t i = 0; i < mm::kFaultKinds; ++i) {
    faults.row(label(static_cast<mm::FaultKind>(i)), {grouped(run.counters.faults[i])});
  }
  Table others("Everything else that the memory manager counted.", {"Counter", "Count"});
  for (const auto& field : mm::kCounterFields) {
    others.row(with_note(field.label, field.meaning), {grouped(run.counters.*field.member)});
  }
  others.row(with_note("Peak commit charge", "pages"), {grouped(run.commit_peak.value())});
  return fmt::format("<div class=\"pair\">{}{}</div>\n", std::move(faults).html(), std::move(others).html());
}

std::string incidents_list(const sim::RunResult& run) {
  if (run.incidents.empty()) return nothing("None: no disk failed and nothing was refused.");
  std::string out = "<ol class=\"incidents\" tabindex=\"0\">\n";
  for (std::size_t i = 0; i < run.incidents.size() && i < kIncidentsShownMax; ++i) {
    out += fmt::format("<li>{}</li>\n", escape_html(to_string(run.incidents[i])));
  }
  out += "</ol>\n";
  if (run.incidents.size() > kIncidentsShownMax) {
    out += fmt::format("<p class=\"lead\">And {} more, which the JSON report has.</p>\n",
                       grouped(run.incidents.size() - kIncidentsShownMax));
  }
  return out;
}

}  // namespace

std::string tables_html(const sim::RunResult& run) {
  return policy_tables_html(run) + vms_tables(run) + baseline_table(run) + heading("Processes") + processes_table(run) +
         process_faults_table(run) + heading("Disks") + disks_table(run) + heading("Page files at the end") +
         page_files_table(run) + heading("Processors") + processors_table(run) + heading("Counters") +
         counters_tables(run) + heading("Incidents") + incidents_list(run);
}

}  // namespace pagoda::report
