#include "pagoda/report/charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "pagoda/mm/base/counters.h"
#include "pagoda/report/run_sums.h"
#include "pagoda/report/text.h"

namespace pagoda::report {
namespace {

// Processes whose peaks differ by at most this factor share a vertical scale; beyond it the small ones could not be
// read.
constexpr std::uint64_t kSharedScaleFactor = 4;

using Shown = std::vector<std::size_t>;
using Figure = std::function<std::uint64_t(const sim::Sample&)>;
using FrameField = FigureField<sim::FrameCensus, PageCount>;

// A level: how many there are at each shown sample.
std::vector<std::uint64_t> levels(const sim::RunResult& run, const Shown& shown, const Figure& figure) {
  std::vector<std::uint64_t> values;
  for (const std::size_t at : shown) values.push_back(figure(run.samples[at]));
  return values;
}

// The growth of a counter since the shown sample before; the first has none.
std::vector<std::uint64_t> growth(const sim::RunResult& run, const Shown& shown, const Figure& counter) {
  std::vector<std::uint64_t> values = levels(run, shown, counter);
  for (std::size_t i = values.size(); i-- > 1;) values[i] -= std::min(values[i], values[i - 1]);
  if (!values.empty()) values[0] = 0;
  return values;
}

// The highest level between one shown sample and the next: thinning must not hide a peak of demand.
std::vector<std::uint64_t> peaks(const sim::RunResult& run, const Shown& shown, const Figure& figure) {
  std::vector<std::uint64_t> values;
  std::size_t from = 0;
  for (const std::size_t at : shown) {
    std::uint64_t highest = 0;
    for (; from <= at; ++from) highest = std::max(highest, figure(run.samples[from]));
    values.push_back(highest);
  }
  return values;
}

std::uint64_t highest(const std::vector<std::uint64_t>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

// Adds a series, or notes that there was nothing of it.
void add(Chart& chart, Series series) {
  if (highest(series.values) == 0) {
    chart.absent.push_back(std::move(series.label));
  } else {
    chart.series.push_back(std::move(series));
  }
}

std::string_view tone_of(mm::FaultKind kind) {
  switch (kind) {
    case mm::FaultKind::kDemandZero:
      return "active";
    case mm::FaultKind::kTransitionStandby:
      return "standby4";
    case mm::FaultKind::kTransitionModified:
      return "modified";
    case mm::FaultKind::kCollided:
      return "collided";
    case mm::FaultKind::kCompressed:
      return "written";
    case mm::FaultKind::kPageFile:
      return "hard";
    case mm::FaultKind::kMappedFile:
      return "hardfile";
    case mm::FaultKind::kShared:
      return "shared";
    case mm::FaultKind::kCopyOnWrite:
      return "copied";
    case mm::FaultKind::kFirstWrite:
      return "firstwrite";
    case mm::FaultKind::kGuard:
      return "guard";
    case mm::FaultKind::kSpurious:
      return "spurious";
    case mm::FaultKind::kAccessViolation:
    case mm::FaultKind::kInPageError:
      return "violation";
  }
  return "spurious";
}

const FrameField& frame_field(std::string_view key) {
  return *std::ranges::find(sim::kFrameFields, key, &FrameField::key);
}

ChartSection frames_section(const sim::RunResult& run, const Shown& shown) {
  Chart chart{.id = "frames",
              .title = "Page lists",
              .caption =
                  "Every frame of the host is in exactly one band. Blue belongs to one program, violet is shared, "
                  "orange has to be written before it can be reused, green can be reused at once, grey is unused.",
              .height = "tall",
              .stacked = true,
              .top = host_frames(run).value()};
  const auto add_field = [&](std::string_view key, std::string tone) {
    const FrameField& field = frame_field(key);
    add(chart, {.label = std::string(field.label),
                .tone = std::move(tone),
                .values = levels(run, shown,
                                 [&](const sim::Sample& sample) { return (sample.frames.*field.member).value(); })});
  };
  add_field("system", "system");
  add_field("bad", "bad");
  add_field("active_private", "active");
  add_field("active_shared_file", "sharedfile");
  add_field("active_shared_page_file", "shared");
  add_field("active_page_tables", "tables");
  add_field("active_prototypes", "prototypes");
  add_field("active_compression_store", "firstwrite");
  add_field("transition", "transition");
  add_field("modified", "modified");
  for (std::size_t priority = sim::kStandbyPriorities; priority-- > 0;) {
    add(chart, {.label = fmt::format("Standby {}", priority),
                .tone = fmt::format("standby{}", priority),
                .values = levels(run, shown, [priority](const sim::Sample& sample) {
                  return sample.frames.standby[priority].value();
                })});
  }
  add_field("free", "free");
  add_field("zeroed", "zeroed");
  if (chart.series.empty()) chart.nothing = "The samples of this run hold no frames.";
  return {.title = "Where the host's memory was",
          .lead =
              "Standby pages still hold their contents: who wants one back gets it without a disk. Priority 0 is "
              "given away first.",
          .layout = {},
          .charts = {std::move(chart)}};
}

// Tones for so many virtual machines; then they begin again.
constexpr std::size_t kVmTones = 6;

// Every frame of the host at a moment, by its owner.
struct Owners {
  std::vector<sim::VmSample> vms;
  PageCount programs;  // Working sets of the host's own processes, a shared page once for each.
  PageCount tables;    // Second-level and shadow tables.
  PageCount page_tables;
  PageCount compressed;  // The compression store.
  PageCount cached;      // Modified and standby pages that no owner above has.
  PageCount unused;
  PageCount other;
};

PageCount less(PageCount from, PageCount part) { return from - std::min(from, part); }

Owners owners_of(const sim::RunResult& run, const sim::Sample& sample) {
  Owners owners;
  const sim::FrameCensus& frames = sample.frames;
  PageCount left = host_frames(run);
  const auto take = [&left](PageCount pages) {
    const PageCount taken = std::min(left, pages);
    left -= taken;
    return taken;
  };
  owners.unused = take(frames.free + frames.zeroed);
  owners.compressed = take(frames.active_compression_store);
  owners.page_tables = take(frames.active_page_tables + frames.active_prototypes);
  PageCount cached = frames.modified + frames.transition;
  for (const PageCount standby : frames.standby) cached += standby;
  for (std::size_t i = 0; i < run.vms.size(); ++i) {
    owners.vms.push_back(i < sample.vms.size() ? sample.vms[i] : sim::VmSample{});
    sim::GuestMemory& memory = owners.vms.back().memory;
    memory.active = take(memory.active);
    memory.modified = take(memory.modified);
    memory.standby = take(memory.standby);
    cached = less(cached, memory.modified + memory.standby);
    owners.tables += take(owners.vms.back().tables);
  }
  for (std::size_t i = 0; i < run.processes.size() && i < sample.processes.size(); ++i)
    if (run.processes[i].vm.empty()) owners.programs += take(sample.processes[i].working_set);
  owners.cached = take(cached);
  owners.other = left;
  return owners;
}

ChartSection owners_section(const sim::RunResult& run, const Shown& shown) {
  Chart chart{
      .id = "owners",
      .title = "Owners",
      .caption =
          "Every frame of the host is in exactly one band. Of a virtual machine the strong tone is in the working "
          "set of its host process; the pale one lies on the host's modified and standby lists, on its way out.",
      .height = "tall",
      .stacked = true,
      .top = host_frames(run).value()};
  std::vector<Owners> owners;
  for (const std::size_t at : shown) owners.push_back(owners_of(run, run.samples[at]));
  const auto add_band = [&](std::string label, std::string tone, const auto& figure) {
    std::vector<std::uint64_t> values;
    values.reserve(owners.size());
    for (const Owners& one : owners) values.push_back(figure(one).value());
    add(chart, {.label = std::move(label), .tone = std::move(tone), .values = std::move(values)});
  };
  for (std::size_t i = 0; i < run.vms.size(); ++i) {
    const std::string tone = fmt::format("vm{}", i % kVmTones);
    add_band(run.vms[i].name, tone, [i](const Owners& one) { return one.vms[i].memory.active; });
    add_band(run.vms[i].name + ", on its way out", tone + "-idle",
             [i](const Owners& one) { return one.vms[i].memory.modified + one.vms[i].memory.standby; });
  }
  add_band("Programs of the host", "programs", [](const Owners& one) { return one.programs; });
  add_band("Second-level and shadow tables", "slat", [](const Owners& one) { return one.tables; });
  add_band("Compressed pages of all", "prototypes", [](const Owners& one) { return one.compressed; });
  add_band("Page tables of the host", "tables", [](const Owners& one) { return one.page_tables; });
  add_band("Modified and standby of others", "standby3", [](const Owners& one) { return one.cached; });
  add_band("Everything else", "system", [](const Owners& one) { return one.other; });
  add_band("Free and zeroed", "zeroed", [](const Owners& one) { return one.unused; });
  return {.title = "Whose the host's memory was",
          .lead = fmt::format("The host has {} and promised {} to virtual machines.", bytes_text(run.memory),
                              bytes_text(promised_memory(run))),
          .layout = {},
          .charts = {std::move(chart)}};
}

Chart vm_chart(const sim::RunResult& run, const Shown& shown, std::size_t index) {
  const sim::VmResult& vm = run.vms[index];
  Chart chart{.id = fmt::format("vm-{}", index + 1),
              .title = vm.name,
              .caption = fmt::format("{} of guest memory, by where the host had it. {} hard faults inside.",
                                     bytes_text(vm.promised), grouped(hard_faults(vm.counters.faults))),
              .height = "small",
              .stacked = true,
              .top = pages_of(vm.promised).value()};
  static constexpr std::array<std::string_view, sim::kGuestMemoryFields.size()> kTones{
      "active", "modified", "standby4", "prototypes", "hard", "transition", "zeroed"};
  for (std::size_t field = 0; field < sim::kGuestMemoryFields.size(); ++field) {
    add(chart, {.label = std::string(sim::kGuestMemoryFields[field].label),
                .tone = std::string(kTones[field]),
                .values = levels(run, shown, [&](const sim::Sample& sample) {
                  return index < sample.vms.size()
                             ? (sample.vms[index].memory.*sim::kGuestMemoryFields[field].member).value()
                             : 0;
                })});
  }
  if (chart.series.empty()) chart.nothing = "It had no memory at any sample of this run.";
  return chart;
}

Chart vm_paging_chart(const sim::RunResult& run, const Shown& shown) {
  Chart chart{.id = "double-paging",
              .title = "Paged twice",
              .caption =
                  "Pages per second that guests wrote to their page files, and of these the pages that the host "
                  "had to read from its own for that.",
              .height = "low",
              .unit = ChartUnit::kCountPerInterval};
  const auto sum = [](const auto& figure) {
    return [figure](const sim::Sample& sample) {
      std::uint64_t all = 0;
      for (const sim::VmSample& vm : sample.vms) all += figure(vm);
      return all;
    };
  };
  add(chart, {.label = "Written by guests",
              .tone = "written",
              .style = SeriesStyle::kLine,
              .values = growth(run, shown, sum([](const sim::VmSample& vm) { return vm.pages_written; }))});
  add(chart, {.label = "Of these paged out by the host before",
              .tone = "hard",
              .values = growth(run, shown, sum([](const sim::VmSample& vm) { return vm.counters.double_paged; }))});
  if (chart.series.empty()) chart.nothing = "No guest wrote a page out.";
  return chart;
}

ChartSection vms_section(const sim::RunResult& run, const Shown& shown) {
  ChartSection section{.title = "Each virtual machine: where its memory was",
                       .lead = "All of what each was promised, whether the host had it in memory or not.",
                       .layout = "multiples",
                       .charts = {}};
  for (std::size_t i = 0; i < run.vms.size(); ++i) section.charts.push_back(vm_chart(run, shown, i));
  section.charts.push_back(vm_paging_chart(run, shown));
  return section;
}

ChartSection faults_section(const sim::RunResult& run, const Shown& shown) {
  Chart hard{.id = "hard-faults",
             .title = "Hard faults",
             .caption = "A program stood still until a disk had answered.",
             .height = "low",
             .unit = ChartUnit::kCountPerInterval,
             .stacked = true};
  Chart soft{.id = "soft-faults",
             .title = "Soft faults",
             .caption = "Served from memory, by kind.",
             .height = {},
             .unit = ChartUnit::kCountPerInterval,
             .stacked = true};
  for (std::size_t i = 0; i < mm::kFaultKinds; ++i) {
    const auto kind = static_cast<mm::FaultKind>(i);
    Series series{.label = std::string(label(kind)),
                  .tone = std::string(tone_of(kind)),
                  .values = growth(run, shown, [i](const sim::Sample& sample) { return sample.counters.faults[i]; })};
    if (mm::is_hard(kind)) {
      add(hard, std::move(series));
    } else {
      add(soft, std::move(series));
    }
  }
  if (hard.series.empty()) hard.nothing = "None: no fault of this run needed a read from a disk.";
  if (soft.series.empty()) soft.nothing = "None in this run.";
  return {.title = "Page faults",
          .lead =
              "Faults per second. The two charts have scales of their own: a hard fault waits for a disk, which takes "
              "far longer than a soft one.",
          .layout = {},
          .charts = {std::move(hard), std::move(soft)}};
}

Chart process_chart(const sim::RunResult& run, const Shown& shown, std::size_t index) {
  const sim::ProcessResult& process = run.processes[index];
  const auto of = [index](const sim::Sample& sample) {
    return index < sample.processes.size() ? sample.processes[index] : sim::ProcessSample{};
  };
  Chart chart{.id = fmt::format("process-{}", index + 1),
              .title = full_name(process),
              .caption = fmt::format("Touched {} in all; {} hard faults.", bytes_text(process.footprint),
                                     grouped(hard_faults(process.faults))),
              .height = "small"};
  chart.series.push_back(
      {.label = "Working set", .tone = "active", .values = levels(run, shown, [of](const auto& sample) {
                                                   return of(sample).working_set.value();
                                                 })});
  chart.series.push_back({.label = "Demand",
                          .tone = "demand",
                          .style = SeriesStyle::kDemand,
                          .values = peaks(run, shown, [of](const auto& sample) { return of(sample).demand.value(); })});
  // Behind the two, which belong together.
  const auto shared = levels(run, shown, [of](const auto& sample) { return of(sample).shared.value(); });
  if (highest(shared) > 0)
    chart.series.push_back({.label = "Of it shared", .tone = "shared", .style = SeriesStyle::kLine, .values = shared});
  if (highest(chart.series[0].values) == 0 && highest(chart.series[1].values) == 0) {
    chart.nothing = "It had no memory at any sample of this run.";
  }
  if (is_finished(process) && process.finished < run.end) chart.marks.push_back({process.finished, "finished"});
  return chart;
}

ChartSection processes_section(const sim::RunResult& run, const Shown& shown) {
  ChartSection section{
      .title = "Each program: what it had and what it wanted", .lead = {}, .layout = "multiples", .charts = {}};
  std::uint64_t largest = 0;
  std::uint64_t smallest = ~std::uint64_t{0};
  for (std::size_t i = 0; i < run.processes.size(); ++i) {
    Chart chart = process_chart(run, shown, i);
    const std::uint64_t peak = std::max(highest(chart.series[0].values), highest(chart.series[1].values));
    if (chart.drawn()) {
      largest = std::max(largest, peak);
      smallest = std::min(smallest, peak);
    }
    section.charts.push_back(std::move(chart));
  }
  const bool shared = largest / kSharedScaleFactor <= smallest;
  if (shared) {
    for (Chart& chart : section.charts) chart.reach = largest;
  }
  section.lead = fmt::format(
      "Demand is how many different pages the program touched between two samples. Where it lies above the working set "
      "the "
      "gap is shaded: these pages had to come from somewhere. {}",
      section.charts.size() < 2 ? ""
      : shared                  ? "All have the same scale."
                                : "Each has a scale of its own.");
  return section;
}

ChartSection page_file_section(const sim::RunResult& run, const Shown& shown) {
  Chart traffic{.id = "page-file-traffic",
                .title = "Page-file traffic",
                .caption = "Bytes per second; neighbours that a cluster brought in are included.",
                .height = {},
                .unit = ChartUnit::kPagesPerInterval};
  add(traffic, {.label = "Read",
                .tone = "hard",
                .style = SeriesStyle::kArea,
                .values = growth(run, shown, [](const auto& sample) { return sample.counters.page_file_pages_read; })});
  add(traffic,
      {.label = "Written",
       .tone = "written",
       .style = SeriesStyle::kLine,
       .values = growth(run, shown, [](const auto& sample) { return sample.counters.page_file_pages_written; })});
  if (traffic.series.empty()) traffic.nothing = "None: nothing was read from a page file or written to one.";

  Chart files{.id = "mapped-file-traffic",
              .title = "Mapped-file traffic",
              .caption = "Bytes per second, read from files that are mapped and written back to them.",
              .height = {},
              .unit = ChartUnit::kPagesPerInterval};
  add(files, {.label = "Read",
              .tone = "hardfile",
              .style = SeriesStyle::kArea,
              .values = growth(run, shown, [](const auto& sample) { return sample.counters.mapped_file_pages_read; })});
  add(files,
      {.label = "Written",
       .tone = "written",
       .style = SeriesStyle::kLine,
       .values = growth(run, shown, [](const auto& sample) { return sample.counters.mapped_file_pages_written; })});

  Chart use{.id = "page-file-use",
            .title = "Page-file use",
            .caption = "Slots that hold a page, against the size of all page files.",
            .height = "small"};
  add(use, {.label = "Used", .tone = "written", .values = levels(run, shown, [](const auto& sample) {
                                                  return sample.page_file_used.value();
                                                })});
  add(use, {.label = "Size",
            .tone = "limit",
            .style = SeriesStyle::kDashed,
            .values = levels(run, shown, [](const auto& sample) { return sample.page_file_size.value(); })});
  if (use.series.empty()) use.nothing = "This host has no page file.";
  ChartSection section{.title = "Page files", .lead = {}, .layout = {}, .charts = {}};
  section.charts.push_back(std::move(traffic));
  section.charts.push_back(std::move(use));
  if (!files.series.empty()) section.charts.push_back(std::move(files));  // Most runs map none.
  return section;
}

ChartSection commit_section(const sim::RunResult& run, const Shown& shown) {
  Chart chart{.id = "commit", .title = "Commit charge", .caption = {}, .height = "small"};
  add(chart, {.label = "Charge", .tone = "active", .values = levels(run, shown, [](const auto& sample) {
                                                     return sample.commit_charge.value();
                                                   })});
  add(chart, {.label = "Limit",
              .tone = "limit",
              .style = SeriesStyle::kDashed,
              .values = levels(run, shown, [](const auto& sample) { return sample.commit_limit.value(); })});
  if (chart.series.empty()) chart.nothing = "Nothing was committed.";
  chart.caption = "Memory that was promised, against what memory and page files can hold together.";
  return {.title = "Commit", .lead = {}, .layout = {}, .charts = {std::move(chart)}};
}

std::string_view name_of(SeriesStyle style) {
  switch (style) {
    case SeriesStyle::kArea:
      return "area";
    case SeriesStyle::kLine:
      return "line";
    case SeriesStyle::kDashed:
      return "dashed";
    case SeriesStyle::kDemand:
      return "demand";
  }
  return {};
}

std::string_view name_of(ChartUnit unit) {
  switch (unit) {
    case ChartUnit::kPages:
      return "pages";
    case ChartUnit::kPagesPerInterval:
      return "pages_per_interval";
    case ChartUnit::kCountPerInterval:
      return "count_per_interval";
  }
  return {};
}

Json to_json(const Chart& chart) {
  Json series = Json::array();
  for (const Series& one : chart.series) {
    series.push_back(
        Json{{"label", one.label}, {"tone", one.tone}, {"style", name_of(one.style)}, {"values", one.values}});
  }
  Json marks = Json::array();
  for (const Mark& mark : chart.marks) marks.push_back(Json{{"time_ns", mark.time.value()}, {"label", mark.label}});
  return Json{
      {"id", chart.id},
      {"unit", name_of(chart.unit)},
      {"per_interval", chart.unit != ChartUnit::kPages},
      {"stacked", chart.stacked},
      {"top", chart.top},
      {"reach", chart.reach},
      {"series", std::move(series)},
      {"marks", std::move(marks)},
  };
}

}  // namespace

std::vector<std::size_t> shown_samples(const sim::RunResult& run) {
  Shown shown;
  const std::size_t count = run.samples.size();
  if (count == 0) return shown;
  const std::size_t step = (count + kShownSamplesMax - 1) / kShownSamplesMax;
  for (std::size_t at = 0; at + 1 < count; at += step) shown.push_back(at);
  shown.push_back(count - 1);
  return shown;
}

std::vector<ChartSection> make_charts(const sim::RunResult& run) {
  if (run.samples.size() < 2 || run.samples.front().time == run.samples.back().time) return {};
  const Shown shown = shown_samples(run);
  std::vector<ChartSection> sections;
  if (!run.vms.empty()) sections.push_back(owners_section(run, shown));
  sections.push_back(frames_section(run, shown));
  if (!run.vms.empty()) sections.push_back(vms_section(run, shown));
  sections.push_back(faults_section(run, shown));
  if (!run.processes.empty()) sections.push_back(processes_section(run, shown));
  sections.push_back(page_file_section(run, shown));
  sections.push_back(commit_section(run, shown));
  return sections;
}

Json charts_to_json(const sim::RunResult& run, const std::vector<ChartSection>& sections) {
  Json times = Json::array();
  for (const std::size_t at : shown_samples(run)) times.push_back(run.samples[at].time.value());
  Json charts = Json::array();
  for (const ChartSection& section : sections) {
    for (const Chart& chart : section.charts) {
      if (chart.drawn()) charts.push_back(to_json(chart));
    }
  }
  return Json{{"page_bytes", kPageBytes}, {"time_ns", std::move(times)}, {"charts", std::move(charts)}};
}

}  // namespace pagoda::report
