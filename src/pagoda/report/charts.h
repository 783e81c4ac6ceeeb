// What the charts of a report show: series over the samples of a run, and the words around them. page/page.js draws
// them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/report/json.h"
#include "pagoda/sim/run_result.h"

namespace pagoda::report {

enum class SeriesStyle : std::uint8_t {
  kArea,
  kLine,
  kDashed,
  kDemand,  // A line; what it exceeds the series before it by is shaded.
};

struct Series {
  std::string label;
  std::string tone;  // The colour: a custom property of page.css.
  SeriesStyle style = SeriesStyle::kArea;
  std::vector<std::uint64_t> values;  // One for each shown sample.
};

enum class ChartUnit : std::uint8_t {
  kPages,             // How many there are.
  kPagesPerInterval,  // How many moved since the sample before.
  kCountPerInterval,  // Events since the sample before.
};

struct Mark {
  Time time;
  std::string label;
};

struct Chart {
  std::string id;
  std::string title;
  std::string caption;      // What there is to see in it.
  std::string_view height;  // A class of page.css: "tall", "low", "small" or nothing.
  ChartUnit unit = ChartUnit::kPages;
  bool stacked = false;
  std::uint64_t top = 0;            // Where the vertical axis ends; 0: somewhere above the largest value.
  std::uint64_t reach = 0;          // What the vertical axis has to contain, whatever the values.
  std::vector<Series> series;       // None is zero throughout, unless it is there to compare with.
  std::vector<std::string> absent;  // Labels of series that were left out because they are zero throughout.
  std::vector<Mark> marks;
  std::string nothing;  // Instead of a chart: why there is none.

  [[nodiscard]] bool drawn() const { return nothing.empty(); }
};

struct ChartSection {
  std::string title;
  std::string lead;
  std::string_view layout;  // A class of page.css: "pair", "multiples" or nothing.
  std::vector<Chart> charts;
};

// More samples than this are thinned: a screen has no more columns to show them in.
inline constexpr std::size_t kShownSamplesMax = 600;
// The indexes of the samples that are shown: all, or evenly spread ones with the first and the last.
std::vector<std::size_t> shown_samples(const sim::RunResult& run);

// Empty when the run has fewer than two samples at different times.
std::vector<ChartSection> make_charts(const sim::RunResult& run);

// What page.js reads: the time axis and the charts that are drawn.
Json charts_to_json(const sim::RunResult& run, const std::vector<ChartSection>& sections);

}  // namespace pagoda::report
