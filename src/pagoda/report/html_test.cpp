#include "pagoda/report/html.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "pagoda/report/charts.h"
#include "pagoda/report/embedded.h"
#include "pagoda/report/run_sums.h"
#include "pagoda/report/story.h"
#include "pagoda/report/tables.h"
#include "pagoda/report/testing/sample_run.h"
#include "pagoda/report/testing/variant_runs.h"
#include "pagoda/report/text.h"

// What a browser makes of the page is tested in tests/report_browser_test.cpp.
namespace pagoda::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::size_t kPageBytesMax = 400'000;

std::size_t occurrences(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

Chart chart_of(const std::vector<ChartSection>& sections, std::string_view id) {
  for (const ChartSection& section : sections) {
    for (const Chart& chart : section.charts) {
      if (chart.id == id) return chart;
    }
  }
  ADD_FAILURE() << "no chart " << id;
  return {};
}

TEST(HtmlReport, IsOneSmallFileThatNeedsNothingElse) {
  const std::string page = html_page(testing::overcommitted_run());
  EXPECT_LE(page.size(), kPageBytesMax);
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, Not(HasSubstr("src=\"http")));
  EXPECT_THAT(page, Not(HasSubstr("<link rel=\"stylesheet\"")));
  EXPECT_THAT(page, Not(HasSubstr("@import")));
  EXPECT_THAT(page, Not(HasSubstr("{{title}}")));
  EXPECT_TRUE(page.starts_with("<!doctype html>"));
  EXPECT_TRUE(page.ends_with("</html>\n"));
}

TEST(HtmlReport, TheEmbeddedScriptsCannotEndTheirElement) {
  for (const std::string_view script : {embedded::kPageJs, embedded::kChartJs}) {
    EXPECT_EQ(occurrences(script, "</script"), 0U);
    EXPECT_EQ(occurrences(script, "<!--"), 0U);
  }
  EXPECT_EQ(occurrences(embedded::kPageCss, "</style"), 0U);
}

TEST(HtmlReport, HoldsTheStoryTheCommandAndEveryTable) {
  const sim::RunResult run = testing::overcommitted_run();
  const std::string page = html_page(run);
  for (const std::string& sentence : tell(run).sentences()) EXPECT_THAT(page, HasSubstr(escape_html(sentence)));
  EXPECT_THAT(page, HasSubstr("pagoda run scenarios/overcommit.toml --seed 42 --verify"));
  for (const char* title : {"Processes", "Disks", "Page files at the end", "Processors", "Counters", "Incidents"}) {
    EXPECT_THAT(page, HasSubstr("<h2>" + std::string(title) + "</h2>"));
  }
  for (const auto& field : mm::kCounterFields) EXPECT_THAT(page, HasSubstr(std::string(field.meaning)));
  EXPECT_THAT(page, HasSubstr(run.incidents[0].text));
}

TEST(HtmlReport, HostileNamesStayText) {
  const std::string page = html_page(testing::hostile_run());
  const std::string plain = html_page(testing::overcommitted_run());
  EXPECT_EQ(occurrences(page, "<script"), occurrences(plain, "<script"));
  EXPECT_EQ(occurrences(page, "</script"), occurrences(plain, "</script"));
  EXPECT_EQ(occurrences(page, "<img"), 0U);
  EXPECT_THAT(page, HasSubstr("&lt;/script&gt;&lt;script&gt;throw new Error(&#39;escaped&#39;)&lt;/script&gt;"));
  EXPECT_THAT(page, HasSubstr("{{data}}")) << "what is put into the page is not a template";
  EXPECT_THAT(page, Not(HasSubstr("\x1b")));
  EXPECT_THAT(page, Not(HasSubstr("\xff")));
}

TEST(HtmlReport, ScriptSafeJsonIsTheSameJson) {
  const Json json{{"</script>", "<!-- & \" \\ \xe2\x80\xa8"}};
  const std::string text = script_safe(json);
  EXPECT_EQ(text.find_first_of("<>&"), std::string::npos);
  EXPECT_EQ(Json::parse(text), json);
}

TEST(HtmlReport, ARunTooShortForChartsSaysSo) {
  sim::RunResult run = testing::overcommitted_run();
  for (const std::size_t samples : {std::size_t{1}, std::size_t{0}}) {
    run.samples.resize(samples);
    const std::string page = html_page(run);
    EXPECT_THAT(page, HasSubstr("too short for charts"));
    EXPECT_EQ(occurrences(page, "<canvas"), 0U);
  }
  EXPECT_THAT(html_page({}), HasSubstr("No program ran"));
}

TEST(HtmlReport, ManyIncidentsAreCut) {
  sim::RunResult run;
  run.incidents.assign(kIncidentsShownMax + 1000, {.time = Time(1), .vm = "", .process = "", .text = "disk error"});
  EXPECT_THAT(html_page(run), HasSubstr("And 1,000 more"));
}

TEST(Charts, EverySeriesHasAValueForEachShownSample) {
  const sim::RunResult run = testing::overcommitted_run();
  for (const ChartSection& section : make_charts(run)) {
    for (const Chart& chart : section.charts) {
      for (const Series& series : chart.series) EXPECT_EQ(series.values.size(), run.samples.size()) << chart.id;
    }
  }
}

TEST(Charts, TheBandsOfThePageListsAddUpToTheHost) {
  const sim::RunResult run = testing::overcommitted_run();
  const std::vector<ChartSection> sections = make_charts(run);
  const Chart frames = chart_of(sections, "frames");
  for (std::size_t at = 0; at < run.samples.size(); ++at) {
    std::uint64_t sum = 0;
    for (const Series& series : frames.series) sum += series.values[at];
    ASSERT_NEAR(static_cast<double>(sum), static_cast<double>(host_frames(run).value()), 3) << "sample " << at;
  }
  EXPECT_EQ(frames.top, host_frames(run).value());
}

TEST(Charts, SharedAndPrivatePagesStandApart) {
  const sim::RunResult run = testing::sharing_run();
  const auto sections = make_charts(run);
  const Chart frames = chart_of(sections, "frames");
  const auto has = [](const Chart& chart, std::string_view label) {
    return std::ranges::any_of(chart.series, [label](const Series& series) { return series.label == label; });
  };
  for (const char* label : {"Active: private pages", "Active: shared, from files", "Active: shared, without a file",
                            "Active: page tables", "Active: prototype PTEs"}) {
    EXPECT_TRUE(has(frames, label)) << label;
  }
  const Chart process = chart_of(sections, "process-1");
  ASSERT_EQ(process.series.size(), 3U);
  EXPECT_EQ(process.series[2].label, "Of it shared");
  for (std::size_t i = 0; i < run.samples.size(); ++i)
    EXPECT_EQ(process.series[2].values[i], run.samples[i].processes[0].shared.value());
  for (const char* label : {"Shared", "Copy on write"}) EXPECT_TRUE(has(chart_of(sections, "soft-faults"), label));
  EXPECT_TRUE(has(chart_of(sections, "hard-faults"), "From a mapped file (hard)"));
  EXPECT_THAT(html_page(run), HasSubstr("Shared<br>at its end"));
  EXPECT_EQ(chart_of(sections, "mapped-file-traffic").series.size(), 2U);
  // Without sharing there is nothing to tell apart.
  EXPECT_FALSE(has(chart_of(make_charts(testing::roomy_run()), "process-1"), "Of it shared"));
}

TEST(HtmlReport, HasARowForEachVirtualMachineAndSaysWhatWasPagedTwice) {
  const sim::RunResult run = testing::virtual_run();
  const std::string page = html_page(run);
  EXPECT_THAT(page, HasSubstr("<h2>Virtual machines</h2>"));
  for (const sim::VmResult& vm : run.vms) EXPECT_THAT(page, HasSubstr("<th scope=\"row\">" + vm.name));
  EXPECT_THAT(page, HasSubstr("<th scope=\"row\">files: sort"));
  EXPECT_THAT(page, HasSubstr("<h2>Compared</h2>"));
  EXPECT_THAT(page, HasSubstr("The same without cures"));
  EXPECT_THAT(page, HasSubstr(escape_html(tell(run).guests)));
  EXPECT_THAT(page, HasSubstr("Hidden faults"));
  EXPECT_THAT(page, Not(HasSubstr("Page-table writes")));  // None occurred.
  EXPECT_THAT(html_page(testing::overcommitted_run()), Not(HasSubstr("irtual machine")));
}

TEST(Charts, TheBandsOfTheOwnersAddUpToTheHost) {
  const sim::RunResult run = testing::virtual_run();
  const std::vector<ChartSection> sections = make_charts(run);
  const Chart owners = chart_of(sections, "owners");
  EXPECT_EQ(owners.top, host_frames(run).value());
  for (std::size_t at = 0; at < run.samples.size(); ++at) {
    std::uint64_t sum = 0;
    for (const Series& series : owners.series) sum += series.values[at];
    ASSERT_EQ(sum, host_frames(run).value()) << "sample " << at;
  }
  const auto found =
      std::ranges::find(owners.series, std::string("files, on its way out"), [](const Series& s) { return s.label; });
  ASSERT_NE(found, owners.series.end());
  const sim::GuestMemory& memory = run.samples[100].vms[0].memory;
  EXPECT_EQ(found->values[100], (memory.modified + memory.standby).value());
}

TEST(Charts, EachVirtualMachineShowsWhereItsMemoryWas) {
  const sim::RunResult run = testing::virtual_run();
  const std::vector<ChartSection> sections = make_charts(run);
  for (const char* id : {"vm-1", "vm-2"}) {
    const Chart chart = chart_of(sections, id);
    for (std::size_t at = 0; at < run.samples.size(); ++at) {
      std::uint64_t sum = 0;
      for (const Series& series : chart.series) sum += series.values[at];
      ASSERT_EQ(sum, pages_of(run.vms[0].promised).value()) << id << " sample " << at;
    }
  }
  const Chart twice = chart_of(sections, "double-paging");
  ASSERT_EQ(twice.series.size(), 2U);
  std::uint64_t sum = 0;
  for (const std::uint64_t value : twice.series[1].values) sum += value;
  EXPECT_EQ(sum, double_paged(run));
}

TEST(Charts, FaultsPerIntervalAddUpToTheCounters) {
  const sim::RunResult run = testing::overcommitted_run();
  std::uint64_t sum = 0;
  const std::vector<ChartSection> sections = make_charts(run);
  for (const char* id : {"hard-faults", "soft-faults"}) {
    const Chart chart = chart_of(sections, id);
    for (const Series& series : chart.series) {
      for (const std::uint64_t value : series.values) sum += value;
    }
  }
  EXPECT_EQ(sum, total_faults(run.counters.faults) - total_faults(run.samples[0].counters.faults));
}

TEST(Charts, WhatDidNotHappenIsSaidAndNotDrawn) {
  const std::vector<ChartSection> sections = make_charts(testing::roomy_run());
  EXPECT_FALSE(chart_of(sections, "hard-faults").drawn());
  EXPECT_FALSE(chart_of(sections, "page-file-traffic").drawn());
  EXPECT_THAT(chart_of(sections, "hard-faults").nothing, HasSubstr("None"));
  EXPECT_TRUE(chart_of(sections, "soft-faults").drawn());
  EXPECT_THAT(html_page(testing::roomy_run()), HasSubstr("no fault of this run needed a read from a disk"));
}

TEST(Charts, ALongRunIsThinnedAndLosesNothingThatIsCounted) {
  sim::RunResult run = testing::overcommitted_run();
  const std::vector<sim::Sample> once = run.samples;
  for (int repeat = 0; repeat < 4; ++repeat) {
    for (sim::Sample sample : once) {
      sample.time = run.samples.back().time + 200_ms;
      sample.counters = run.samples.back().counters;
      ++testing::count_of(sample.counters.faults, mm::FaultKind::kPageFile);
      run.samples.push_back(sample);
    }
  }
  run.samples[701].processes[0].demand = 999'999_pages;
  run.end = run.samples.back().time;
  const std::vector<std::size_t> shown = shown_samples(run);
  EXPECT_LE(shown.size(), kShownSamplesMax + 1);
  EXPECT_EQ(shown.front(), 0U);
  EXPECT_EQ(shown.back(), run.samples.size() - 1);
  const std::vector<ChartSection> sections = make_charts(run);
  const std::vector<std::uint64_t> hard = chart_of(sections, "hard-faults").series[0].values;
  std::uint64_t sum = 0;
  for (const std::uint64_t value : hard) sum += value;
  EXPECT_EQ(sum, testing::count_of(run.samples.back().counters.faults, mm::FaultKind::kPageFile));
  const std::vector<std::uint64_t> demand = chart_of(sections, "process-1").series[1].values;
  EXPECT_EQ(*std::max_element(demand.begin(), demand.end()), 999'999U);
  EXPECT_THAT(html_page(run), HasSubstr("of 1,500 samples"));
}

TEST(Charts, SmallProgramsBesideLargeOnesHaveTheirOwnScale) {
  sim::RunResult run = testing::overcommitted_run();
  EXPECT_GT(chart_of(make_charts(run), "process-1").reach, 0U);
  for (sim::Sample& sample : run.samples) {
    sample.processes[0].demand = sample.processes[0].demand / 100;
    sample.processes[0].working_set = sample.processes[0].working_set / 100;
  }
  EXPECT_EQ(chart_of(make_charts(run), "process-1").reach, 0U);
}

}  // namespace
}  // namespace pagoda::report
