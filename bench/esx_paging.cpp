// Rows 14, 15 and 16: both levels page, and what need not be paged.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <variant>

#include "bench/esx.h"
#include "pagoda/guest/enlightenments.h"
#include "pagoda/sim/simulation.h"

namespace pagoda::bench {

namespace {

// --- 14: double paging ---

double seconds(const sim::RunResult& run) { return static_cast<double>((run.end - Time{}).value()) / 1e9; }

// Transfers that would not be, did only one level page: a page paged twice is read by the host, to be written by the guest,
// and read once more.
std::uint64_t extra_transfers(const sim::Sample& sample) {
  std::uint64_t sum = 0;
  for (const sim::VmSample& vm : sample.vms) sum += 2 * vm.counters.double_paged;
  return sum;
}

// The first sample in which every balloon holds what the host wants in it; else the last one.
const sim::Sample& balloons_at_target(const sim::RunResult& run) {
  const auto at_target = [&](const sim::Sample& sample) {
    for (std::size_t i = 0; i < run.vms.size(); ++i)
      if (run.vms[i].balloon && sample.vms[i].memory.ballooned < run.vms[i].balloon->target) return false;
    return true;
  };
  const auto found = std::ranges::find_if(run.samples, at_target);
  return found == run.samples.end() ? run.samples.back() : *found;
}

// The shipped story; its busy program's memory is `memory`, its host's `times` as much.
Input<sim::RunResult> run_story(std::string_view file, PageCount memory, unsigned times = 1) {
  sim::Scenario scenario = PAGODA_TRY(shipped_scenario(file));
  scenario.machine.frames = scenario.machine.frames * times;
  std::get<sim::GeneratorConfig>(scenario.vms.back().processes.at(0).program).memory = memory;
  return sim::run_scenario(scenario, {});
}

struct Story {
  unsigned mib = 0;  // The busy program's memory, in a guest of 16 MiB.
  sim::RunResult uncured;
};

void add_cure(EsxTable& table, const Story& story, std::string_view cure, const sim::RunResult& cured) {
  const double faster = seconds(story.uncured) / seconds(cured);
  table.add({.row = 14,
             .name = fmt::format("{}_time_{}", cure, story.mib),
             .what = fmt::format("double-paging.toml, {} MiB: its time over that with {}", story.mib, cure),
             .ours = faster,
             .published = "2 to 10",
             .tolerance = "at least 2",
             .verdict = holds_if(faster >= 2)});
  const double left =
      100 * counted(extra_transfers(cured.samples.back())) / counted(extra_transfers(story.uncured.samples.back()));
  table.add({.row = 14,
             .name = fmt::format("{}_transfers_{}", cure, story.mib),
             .what = fmt::format("extra transfers that are left with {}", cure),
             .ours = left,
             .unit = "%",
             .published = "0 %",
             .tolerance = "at most 20 %",
             .verdict = holds_if(left <= 20)});
}

// Once the balloon is at its target the host should page nothing; what it paged before comes back as it is used.
void add_at_target(EsxTable& table, const sim::RunResult& ballooned) {
  const sim::Sample& from = balloons_at_target(ballooned);
  const sim::Sample& end = ballooned.samples.back();
  const std::uint64_t written = end.counters.page_file_pages_written - from.counters.page_file_pages_written;
  table.add({.row = 14,
             .name = "written_at_target",
             .what = "pages that the host pages out, the balloon at its target",
             .ours = counted(written),
             .published = "0",
             .tolerance = "none",
             .verdict = holds_if(written == 0)});
  table.add({.row = 14,
             .name = "extra_at_target",
             .what = "extra transfers then, of pages paged out before",
             .ours = counted(extra_transfers(end) - extra_transfers(from))});
}

// --- 15: cold discard ---

constexpr PageCount kGuestMemory = pages_of(64_MiB);
constexpr std::string_view kFreesMemory = R"(
[host]
memory = "96MiB"
[[disk]]
name = "d"
capacity = "256MiB"
store = "memory"
[[page_file]]
disk = "d"
minimum = "128MiB"
[[vm]]
name = "guest"
memory = "64MiB"
[[vm.process]]
name = "frees"
program = { kind = "demand", length = "30s", period = "10s", steps = [
  { at = "0s", used = "44MiB", active = "4MiB" }, { at = "20s", used = "4MiB", active = "4MiB" }] }
)";
constexpr Time kFreesAt = Time{} + 20_s;
constexpr PageCount kFreed = pages_of(40_MiB);

// --- 16: zeros ---

// A host with less memory than the guest's that an idle machine had: each page of it has to leave.
constexpr std::string_view kTouchesImage = R"(
[host]
memory = "16MiB"
[[disk]]
name = "d"
capacity = "1GiB"
store = "memory"
[[page_file]]
disk = "d"
minimum = "512MiB"
[[process]]
name = "guest"
program = {{ kind = "image", image = '{}', name = '{}' }}
)";
constexpr std::string_view kImage = "nk_idle";

}  // namespace

Input<> esx_double_paging(EsxTable& table) {
  // The shipped story, where most of the time is the guest's own paging, which no cure takes away; and one with less of that.
  for (const unsigned mib : {24U, 20U}) {
    const PageCount memory = pages_of(1_MiB) * mib;
    const Story story{.mib = mib, .uncured = PAGODA_TRY(run_story("double-paging.toml", memory))};
    const double alone = seconds(PAGODA_TRY(run_story("double-paging.toml", memory, 4)));
    table.add({.row = 14,
               .name = fmt::format("most_{}", mib),
               .what = fmt::format("double-paging.toml, {} MiB: over that on a host with room", mib),
               .ours = seconds(story.uncured) / alone,
               .tolerance = "what a cure can reach"});
    add_cure(table, story, "hints", PAGODA_TRY(run_story("double-paging-cured.toml", memory)));
    const sim::RunResult ballooned = PAGODA_TRY(run_story("double-paging-balloon.toml", memory));
    add_cure(table, story, "balloon", ballooned);
    if (mib == 24) add_at_target(table, ballooned);
  }
  return {};
}

Input<> esx_cold_discard(EsxTable& table) {
  const sim::Scenario scenario = PAGODA_TRY(sim::parse_scenario(std::string(kFreesMemory), "esx"));
  const sim::RunResult run = PAGODA_TRY(sim::run_scenario(scenario, {}));
  const auto after = std::ranges::upper_bound(run.samples, kFreesAt, {}, &sim::Sample::time);
  const PageCount before = std::prev(after)->vms.at(0).memory.in_memory();
  const PageCount now = run.samples.back().vms.at(0).memory.in_memory();
  const PageCount reserve = guest::EnlightenmentSettings::for_memory(kGuestMemory).reserve;
  const double dropped = 100 * counted(before - std::min(before, now)) / counted(kFreed - reserve);
  table.add({.row = 15,
             .name = "discarded",
             .what = "host memory back of 40 MiB freed, without the guest's reserve",
             .ours = dropped,
             .unit = "%",
             .published = "126 MB in 2 s",
             .tolerance = "at least 95 %",
             .verdict = holds_if(dropped >= 95)});
  return {};
}

Input<> esx_zero_pages(EsxTable& table) {
  const std::string file = PAGODA_TRY(shipped_images());
  const sim::ImageFigures image = PAGODA_TRY(figures_of_image(file, kImage));
  const sim::Scenario scenario = PAGODA_TRY(sim::parse_scenario(fmt::format(kTouchesImage, file, kImage), "esx"));
  const sim::RunResult run = PAGODA_TRY(sim::run_scenario(scenario, {}));
  // A page leaves once at most; of those that are not zero each may be written.
  const std::uint64_t others = image.not_zero().value();
  const std::uint64_t written = run.counters.page_file_pages_written;
  table.add({.row = 16,
             .name = "zeros",
             .what = fmt::format("pages of {} that are zeros", kImage),
             .ours = 100 * counted(image.zero) / counted(image.pages),
             .unit = "%",
             .published = "31 %, another guest"});
  table.add_exact({.row = 16,
                   .name = "written",
                   .what = "pages of zeros written while all leave memory",
                   .ours = counted(written - std::min(written, others)),
                   .published = "0",
                   .tolerance = "exact",
                   .verdict = holds_if(written <= others && run.counters.zero_pages_found > 0)});
  return {};
}

}  // namespace pagoda::bench
