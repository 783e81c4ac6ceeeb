#include "pagoda/report/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "pagoda/base/figures.h"
#include "pagoda/mm/base/counters.h"
#include "pagoda/report/policy_json.h"
#include "pagoda/report/run_sums.h"
#include "pagoda/report/story.h"

namespace pagoda::report {
namespace {

// A key says of what it is a number; counts say nothing.
template <class Figures>
std::string key_of(const FigureField<Figures, std::uint64_t>& field) {
  return std::string(field.key);
}
template <class Figures>
std::string key_of(const FigureField<Figures, PageCount>& field) {
  return fmt::format("{}_pages", field.key);
}

std::uint64_t number(std::uint64_t count) { return count; }
std::uint64_t number(PageCount pages) { return pages.value(); }

// One member for each field, behind those that `out` has.
template <class Figures, class Fields>
Json with_figures(Json out, const Figures& figures, const Fields& fields) {
  for (const auto& field : fields) out[key_of(field)] = number(figures.*field.member);
  return out;
}

Json to_json(const mm::FaultCounts& faults) {
  Json out = Json::object();
  for (const mm::FaultField& field : mm::kFaultFields) out[field.key] = faults[static_cast<std::size_t>(field.kind)];
  return out;
}

Json to_json(const mm::Counters& counters) {
  return with_figures(Json{{"faults", to_json(counters.faults)}}, counters, mm::kCounterFields);
}

std::string_view name_of(sim::LimitSource source) {
  return source == sim::LimitSource::kDefault ? "default" : "scenario";
}

Json to_json(const sim::Incident& incident) {
  return Json{
      {"time_ns", incident.time.value()},
      {"vm", incident.vm.empty() ? Json(nullptr) : Json(incident.vm)},
      {"process", incident.process.empty() ? Json(nullptr) : Json(incident.process)},
      {"text", incident.text},
  };
}

Json to_json(const sim::ProcessResult& process) {
  return Json{
      {"name", process.name},
      {"vm", process.vm.empty() ? Json(nullptr) : Json(process.vm)},
      {"program", process.program},
      {"footprint_pages", process.footprint.value()},
      {"working_set_minimum_pages", process.working_set_minimum.value()},
      {"working_set_maximum_pages", process.working_set_maximum.value()},
      {"working_set_limits_from", name_of(process.limit_source)},
      {"peak_working_set_pages", process.peak_working_set.value()},
      {"end_private_pages", process.end_private.value()},
      {"end_shared_pages", process.end_shared.value()},
      {"peak_commit_pages", process.peak_commit.value()},
      {"operations", process.operations},
      {"references", process.references},
      {"cpu_ns", process.cpu_time.value()},
      {"wait_ns", process.wait_time.value()},
      {"finished_ns", process.finished == kNever ? Json(nullptr) : Json(process.finished.value())},
      {"faults", to_json(process.faults)},
      {"in_page_errors", process.in_page_errors},
      {"loads_verified", process.loads_verified},
  };
}

Json to_json(const sim::DiskResult& disk) {
  return Json{
      {"name", disk.name},
      {"capacity_bytes", disk.capacity.value()},
      {"used_bytes", disk.used.value()},
      {"reads", disk.reads},
      {"writes", disk.writes},
      {"read_bytes", disk.bytes_read.value()},
      {"written_bytes", disk.bytes_written.value()},
      {"errors", disk.errors},
      {"bounced_pages", disk.bounced},
      {"busy_ns", disk.busy.value()},
  };
}

Json to_json(const sim::PageFileResult& file) {
  return Json{
      {"name", file.name},
      {"disk", file.disk},
      {"minimum_bytes", file.minimum.value()},
      {"maximum_bytes", file.maximum.value()},
      {"size_bytes", file.size.value()},
      {"used_pages", file.used.value()},
      {"peak_used_pages", file.peak_used.value()},
  };
}

Json to_json(const sim::ProcessorResult& processor) {
  return Json{
      {"busy_ns", processor.busy.value()},  {"idle_ns", processor.idle.value()},  {"tlb_hits", processor.tlb_hits},
      {"tlb_misses", processor.tlb_misses}, {"walk_loads", processor.walk_loads}, {"shootdowns", processor.shootdowns},
  };
}

Json to_json(const sim::VmResult& vm);

template <class Items>
Json list_of(const Items& items) {
  Json out = Json::array();
  for (const auto& item : items) out.push_back(to_json(item));
  return out;
}

// What passed between a guest and its host, and what two of the counts come to.
Json to_json(const hv::PartitionCounts& counts) {
  Json out = with_figures(Json::object(), counts, hv::kPartitionCountFields);
  out["double_paging_transfers"] = kTransfersPerDoublePaged * counts.double_paged;
  return out;
}

Json to_json(const std::optional<sim::VmBalloon>& balloon) {
  if (!balloon) return nullptr;
  return Json{
      {"driver", balloon->driver},
      {"target_pages", balloon->target.value()},
      {"actual_pages", or_null(balloon->actual)},
      {"out_of_puff", balloon->out_of_puff},
      {"deflated_on_oom_pages", balloon->deflated_on_oom},
  };
}

Json to_json(const sim::VmResult& vm) {
  return Json{
      {"name", vm.name},
      {"paging", vm.paging},
      {"mmu", vm.mmu},
      {"backing", vm.backing},
      {"guest", vm.guest},
      {"processors", vm.processors},
      {"started_ns", vm.started == kNever ? Json(nullptr) : Json(vm.started.value())},
      {"ended_ns", vm.ended == kNever ? Json(nullptr) : Json(vm.ended.value())},
      {"promised_bytes", vm.promised.value()},
      {"fault_cluster_bytes", vm.fault_cluster.value()},
      {"working_set_maximum_pages", vm.working_set_maximum.value()},
      {"working_set_limits_from", name_of(vm.limit_source)},
      {"peak_working_set_pages", vm.peak_working_set.value()},
      {"compression_store_pages", vm.settings.compression_store.value()},
      {"balance_period_ns", vm.settings.balance_period.value()},
      {"hint_period_ns", vm.hints ? Json(vm.hints->period.value()) : Json(nullptr)},
      {"hints_refused", vm.hints ? vm.hints->refused : 0},
      {"balloon", to_json(vm.balloon)},
      {"memory", with_figures(Json::object(), vm.end.memory, sim::kGuestMemoryFields)},
      {"guest_frames", with_figures(Json::object(), vm.end.frames, sim::kGuestFramesFields)},
      {"shared_pages", vm.end.shared.value()},
      {"active_pages", or_null(vm.end.active)},
      {"tables_pages", vm.end.tables.value()},
      {"exits", to_json(vm.end.counters)},
      {"counters", to_json(vm.counters)},
      {"commit_peak_pages", vm.commit_peak.value()},
      {"disks", list_of(vm.disks)},
      {"page_files", list_of(vm.page_files)},
      {"busy_ns", vm.busy.value()},
      {"waited_ns", vm.waited.value()},
      {"lost_ns", vm.lost ? Json(vm.lost->time.value()) : Json(nullptr)},
      {"lost_because", vm.lost ? Json(vm.lost->why) : Json(nullptr)},
  };
}

Json to_json(const std::optional<sim::Baseline>& baseline) {
  if (!baseline) return nullptr;
  return Json{
      {"scenario", baseline->scenario},
      {"title", baseline->title},
      {"end_ns", baseline->end.value()},
      {"double_paged", baseline->double_paged},
      {"guest_pages_written", baseline->guest_pages_written},
      {"counters", to_json(baseline->counters)},
  };
}

// One figure over all samples.
template <class Get>
Json column(const std::vector<sim::Sample>& samples, Get get) {
  Json out = Json::array();
  for (const sim::Sample& sample : samples) out.push_back(static_cast<std::uint64_t>(get(sample)));
  return out;
}

// A column for each field, behind what `out` has; `get` gives the figures of a sample.
template <class Fields, class Get>
Json with_columns(Json out, const std::vector<sim::Sample>& samples, const Fields& fields, Get get) {
  for (const auto& field : fields)
    out[key_of(field)] = column(samples, [&](const sim::Sample& sample) { return number(get(sample).*field.member); });
  return out;
}

template <class Get>  // Gives the FaultCounts of a sample.
Json fault_columns(const std::vector<sim::Sample>& samples, Get get) {
  Json out = Json::object();
  for (const mm::FaultField& field : mm::kFaultFields) {
    out[field.key] =
        column(samples, [&](const sim::Sample& sample) { return get(sample)[static_cast<std::size_t>(field.kind)]; });
  }
  return out;
}

Json frame_columns(const std::vector<sim::Sample>& samples) {
  Json standby = Json::array();
  for (std::size_t priority = 0; priority < sim::kStandbyPriorities; ++priority) {
    standby.push_back(
        column(samples, [&](const sim::Sample& sample) { return sample.frames.standby[priority].value(); }));
  }
  Json out = with_columns(Json::object(), samples, sim::kFrameFields,
                          [](const sim::Sample& sample) -> const auto& { return sample.frames; });
  out["standby_pages"] = std::move(standby);
  return out;
}

Json counter_columns(const std::vector<sim::Sample>& samples) {
  Json faults = fault_columns(samples, [](const sim::Sample& sample) { return sample.counters.faults; });
  return with_columns(Json{{"faults", std::move(faults)}}, samples, mm::kCounterFields,
                      [](const sim::Sample& sample) -> const auto& { return sample.counters; });
}

Json process_columns(const std::vector<sim::Sample>& samples, std::size_t process) {
  // A sample from before the process was there has no entry for it.
  const auto of = [process](const sim::Sample& sample) {
    return process < sample.processes.size() ? sample.processes[process] : sim::ProcessSample{};
  };
  return Json{
      {"working_set_pages", column(samples, [&](const auto& sample) { return of(sample).working_set.value(); })},
      {"private_pages",
       column(samples, [&](const auto& sample) { return (of(sample).working_set - of(sample).shared).value(); })},
      {"shared_pages", column(samples, [&](const auto& sample) { return of(sample).shared.value(); })},
      {"demand_pages", column(samples, [&](const auto& sample) { return of(sample).demand.value(); })},
      {"private_commit_pages", column(samples, [&](const auto& sample) { return of(sample).private_commit.value(); })},
      {"cpu_ns", column(samples, [&](const auto& sample) { return of(sample).cpu_time.value(); })},
      {"wait_ns", column(samples, [&](const auto& sample) { return of(sample).wait_time.value(); })},
      {"faults", fault_columns(samples, [&](const auto& sample) { return of(sample).faults; })},
  };
}

Json vm_columns(const std::vector<sim::Sample>& samples, std::size_t vm) {
  const auto of = [vm](const sim::Sample& sample) { return vm < sample.vms.size() ? sample.vms[vm] : sim::VmSample{}; };
  const auto columns = [&](const auto& fields, auto member) {
    return with_columns(Json::object(), samples, fields, [&](const auto& sample) { return of(sample).*member; });
  };
  Json active = Json::array();
  for (const sim::Sample& sample : samples) active.push_back(or_null(of(sample).active));
  return Json{
      {"memory", columns(sim::kGuestMemoryFields, &sim::VmSample::memory)},
      {"guest_frames", columns(sim::kGuestFramesFields, &sim::VmSample::frames)},
      {"shared_pages", column(samples, [&](const auto& sample) { return of(sample).shared.value(); })},
      {"template_pages", column(samples, [&](const auto& sample) { return of(sample).from_templates.value(); })},
      {"active_pages", std::move(active)},
      {"tables_pages", column(samples, [&](const auto& sample) { return of(sample).tables.value(); })},
      {"exits", columns(hv::kPartitionCountFields, &sim::VmSample::counters)},
      {"hard_faults", column(samples, [&](const auto& sample) { return of(sample).hard_faults; })},
      {"page_file_pages_read", column(samples, [&](const auto& sample) { return of(sample).pages_read; })},
      {"page_file_pages_written", column(samples, [&](const auto& sample) { return of(sample).pages_written; })},
      {"busy_ns", column(samples, [&](const auto& sample) { return of(sample).busy.value(); })},
      {"waited_ns", column(samples, [&](const auto& sample) { return of(sample).waited.value(); })},
  };
}

Json samples_to_json(const sim::RunResult& run) {
  const std::vector<sim::Sample>& samples = run.samples;
  Json processes = Json::array();
  for (std::size_t i = 0; i < run.processes.size(); ++i) processes.push_back(process_columns(samples, i));
  Json vms = Json::array();
  for (std::size_t i = 0; i < run.vms.size(); ++i) vms.push_back(vm_columns(samples, i));
  return Json{
      {"time_ns", column(samples, [](const auto& sample) { return sample.time.value(); })},
      {"frames", frame_columns(samples)},
      {"commit_charge_pages", column(samples, [](const auto& sample) { return sample.commit_charge.value(); })},
      {"commit_limit_pages", column(samples, [](const auto& sample) { return sample.commit_limit.value(); })},
      {"resident_charge_pages", column(samples, [](const auto& sample) { return sample.resident_charge.value(); })},
      {"resident_limit_pages", column(samples, [](const auto& sample) { return sample.resident_limit.value(); })},
      {"shared_contents_pages", column(samples, [](const auto& sample) { return sample.shared_contents.value(); })},
      {"shared_saved_pages", column(samples, [](const auto& sample) { return sample.shared_saved.value(); })},
      {"template_pages", column(samples, [](const auto& sample) { return sample.template_pages.value(); })},
      {"template_saved_pages", column(samples, [](const auto& sample) { return sample.template_saved.value(); })},
      {"page_file_used_pages", column(samples, [](const auto& sample) { return sample.page_file_used.value(); })},
      {"page_file_size_pages", column(samples, [](const auto& sample) { return sample.page_file_size.value(); })},
      {"counters", counter_columns(samples)},
      {"processes", std::move(processes)},
      {"vms", std::move(vms)},
  };
}

void print(const Json& json, std::size_t depth, std::string& out) {
  const auto scalar = [](const Json& item) { return !item.is_structured(); };
  if (scalar(json) || json.empty() || (json.is_array() && std::all_of(json.begin(), json.end(), scalar))) {
    out += json.dump(-1, ' ', false, Json::error_handler_t::replace);
    return;
  }
  out += json.is_array() ? '[' : '{';
  for (auto item = json.begin(); item != json.end(); ++item) {
    if (item != json.begin()) out += ',';
    out += '\n';
    out.append(2 * (depth + 1), ' ');
    if (json.is_object()) out += Json(item.key()).dump() + ": ";
    print(*item, depth + 1, out);
  }
  out += '\n';
  out.append(2 * depth, ' ');
  out += json.is_array() ? ']' : '}';
}

}  // namespace

Json or_null(const std::optional<PageCount>& pages) { return pages ? Json(pages->value()) : Json(nullptr); }

Json to_json(const sim::RunResult& run) {
  return Json{
      {"schema", kJsonSchema},
      {"version", kJsonVersion},
      {"scenario", run.scenario},
      {"title", run.title},
      {"description", run.description},
      {"seed", run.seed},
      {"memory_bytes", run.memory.value()},
      {"paging", run.paging},
      {"tlb", run.tlb},
      {"refill", run.refill},
      {"verified", run.verified},
      {"end_ns", run.end.value()},
      {"commit_peak_pages", run.commit_peak.value()},
      {"compression_store_pages", run.settings.compression_store.value()},
      {"balance_period_ns", run.settings.balance_period.value()},
      {"sentences", tell(run).sentences()},
      {"state_hash", fmt::format("{:016x}", run.state_hash)},
      {"wall_seconds", run.wall_seconds},
      {"counters", to_json(run.counters)},
      {"processes", list_of(run.processes)},
      {"vms", list_of(run.vms)},
      {"policy", policy_to_json(run)},
      {"baseline", to_json(run.baseline)},
      {"disks", list_of(run.disks)},
      {"page_files", list_of(run.page_files)},
      {"processors", list_of(run.processors)},
      {"incidents", list_of(run.incidents)},
      {"samples", samples_to_json(run)},
  };
}

std::string json_text(const Json& json) {
  std::string out;
  print(json, 0, out);
  return out + "\n";
}

}  // namespace pagoda::report
