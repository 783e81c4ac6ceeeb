#include "pagoda/report/html.h"

#include <fmt/format.h>

#include <iterator>
#include <span>
#include <utility>
#include <vector>

#include "pagoda/report/charts.h"
#include "pagoda/report/embedded.h"
#include "pagoda/report/run_sums.h"
#include "pagoda/report/story.h"
#include "pagoda/report/tables.h"
#include "pagoda/report/text.h"

namespace pagoda::report {
namespace {

struct Slot {
  std::string_view name;
  std::string_view content;
};

// Puts the contents into the places "{{name}}" of a template, in one pass: what is put in is not looked at again.
std::string filled(std::string_view page, std::span<const Slot> slots) {
  std::string out;
  while (true) {
    const std::size_t open = page.find("{{");
    out += page.substr(0, open);
    if (open == std::string_view::npos) return out;
    const std::size_t close = page.find("}}", open);
    PAGODA_CHECK(close != std::string_view::npos);
    const std::string_view name = page.substr(open + 2, close - open - 2);
    bool found = false;
    for (const Slot& slot : slots) {
      if (slot.name != name) continue;
      out += slot.content;
      found = true;
    }
    PAGODA_CHECK(found);
    page.remove_prefix(close + 2);
  }
}

std::string title_of(const sim::RunResult& run) { return run.title.empty() ? run.scenario : run.title; }

std::string fact(std::string_view term, std::string_view strong, std::string_view more, std::string_view layout = {}) {
  return fmt::format("<div{}><dt>{}</dt><dd><b>{}</b>{}{}</dd></div>\n",
                     layout.empty() ? "" : fmt::format(" class=\"{}\"", layout), escape_html(term), escape_html(strong),
                     more.empty() ? "" : " ", more.empty() ? "" : fmt::format("<span>{}</span>", escape_html(more)));
}

std::string disks_text(const sim::RunResult& run) {
  std::string out;
  for (const sim::DiskResult& disk : run.disks) {
    out += fmt::format("{}{} ({})", out.empty() ? "" : ", ", disk.name, bytes_text(disk.capacity));
  }
  return out;
}

std::string page_files_text(const sim::RunResult& run) {
  std::string out;
  for (const sim::PageFileResult& file : run.page_files) {
    const std::string size = file.minimum == file.maximum
                                 ? bytes_text(file.maximum)
                                 : fmt::format("{} to {}", bytes_text(file.minimum), bytes_text(file.maximum));
    out += fmt::format("{}{} on {}: {}", out.empty() ? "" : ", ", file.name, file.disk, size);
  }
  return out;
}

std::string asked(const sim::RunResult& run) {
  const PageCount touched = total_footprint(run);
  std::string out = "<dl class=\"facts\">\n";
  out += fact("Host memory", bytes_text(run.memory), counted(host_frames(run).value(), "frame"));
  if (!run.vms.empty()) {
    out += fact("Virtual machines", grouped(run.vms.size()),
                fmt::format("promised {} together", bytes_text(promised_memory(run))));
  }
  out += fact("Programs touched", bytes_text(touched), counted(touched.value(), "page"));
  out += fact("Footprints against memory", overcommit_text(run), touched > host_frames(run) ? "overcommitted" : "");
  out += fact("Processes", grouped(run.processes.size()),
              fmt::format("on {}", counted(run.processors.size(), "processor")));
  out += fact("Disks", grouped(run.disks.size()), disks_text(run), "half");
  out += fact("Page files", run.page_files.empty() ? "none" : grouped(run.page_files.size()), page_files_text(run),
              "half");
  out +=
      fact("Paging", run.paging,
           fmt::format("{} TLB, refilled by {}{}", run.tlb, run.refill, run.verified ? ", every load verified" : ""));
  out += fact("Seed", std::to_string(run.seed), "");
  out += fmt::format(
      "<div class=\"wide\"><dt>The command that repeats this run</dt><dd><pre><code>{}</code></pre></dd></div>\n",
      escape_html(command_to_repeat(run)));
  return out + "</dl>\n";
}

std::string told(const sim::RunResult& run) {
  const Story story = tell(run);
  std::string out = "<section aria-labelledby=\"story\"><h2 id=\"story\">What happened</h2>\n<ol class=\"story\">\n";
  const auto add = [&out](std::string_view kind, const std::string& sentence) {
    if (!sentence.empty()) out += fmt::format("<li class=\"{}\">{}</li>\n", kind, escape_html(sentence));
  };
  for (const std::string& lost : story.losses) add("lost", lost);
  add("size", story.size);
  add("faults", story.faults);
  add("waiting", story.waiting);
  add("guests", story.guests);
  for (const std::string& sentence : story.policy) add("guests", sentence);
  for (const std::string& cause : story.causes) add("cause", cause);
  return out + "</ol></section>\n";
}

// What the chart tells a reader who cannot see it: the peak of each series.
std::string description_of(const Chart& chart, const sim::RunResult& run) {
  std::string peaks;
  for (const Series& series : chart.series) {
    std::uint64_t peak = 0;
    for (const std::uint64_t value : series.values) peak = std::max(peak, value);
    const std::string text = chart.unit == ChartUnit::kPages ? bytes_text(PageCount(peak))
                             : chart.unit == ChartUnit::kPagesPerInterval
                                 ? counted(peak, "page") + " between two samples"
                                 : grouped(peak) + " between two samples";
    peaks += fmt::format("{}{} {}", peaks.empty() ? "" : ", ", series.label, text);
  }
  return fmt::format("{}, chart over {} of virtual time. Highest values: {}. The table below the chart has the values.",
                     chart.title, duration_text(run.end - Time(0)), peaks);
}

std::string figure(const Chart& chart, const sim::RunResult& run) {
  std::string out = fmt::format("<figure id=\"{}\"><figcaption><h3>{}</h3><p>{}</p></figcaption>\n", chart.id,
                                escape_html(chart.title), escape_html(chart.caption));
  if (chart.drawn()) {
    out += "<ul class=\"legend\" aria-label=\"Series; press one to hide or show it\"></ul>\n";
    if (!chart.absent.empty()) {
      std::string names;
      for (const std::string& name : chart.absent) names += (names.empty() ? "" : ", ") + name;
      out += fmt::format("<p class=\"absent\">None at any time: {}.</p>\n", escape_html(names));
    }
    out += fmt::format(
        "<div class=\"plot {}\"><canvas role=\"img\" aria-label=\"{}\"></canvas><i class=\"cursor\"></i></div>\n"
        "<details class=\"values\"><summary>Values as a table</summary></details>\n",
        chart.height, escape_html(description_of(chart, run)));
  } else {
    out += fmt::format("<p class=\"nothing\">{}</p>\n", escape_html(chart.nothing));
  }
  return out + "</figure>\n";
}

std::string drawn(const std::vector<ChartSection>& sections, const sim::RunResult& run) {
  if (sections.empty()) {
    return "<h2>Over time</h2>\n<p class=\"nothing\">The run was too short for charts: it has fewer than two "
           "samples.</p>\n";
  }
  std::string out =
      "<noscript><p class=\"nothing\">The charts need JavaScript; everything else on this page does "
      "not.</p></noscript>\n";
  for (const ChartSection& section : sections) {
    out += fmt::format("<section><h2>{}</h2>\n", escape_html(section.title));
    if (!section.lead.empty()) out += fmt::format("<p class=\"lead\">{}</p>\n", escape_html(section.lead));
    out += fmt::format("<div class=\"{}\">\n", section.layout);
    for (const Chart& chart : section.charts) out += figure(chart, run);
    out += "</div></section>\n";
  }
  if (shown_samples(run).size() < run.samples.size()) {
    out += fmt::format("<p class=\"lead\">The charts show {} of {} samples; the JSON report has all of them.</p>\n",
                       grouped(shown_samples(run).size()), grouped(run.samples.size()));
  }
  return out;
}

std::string body(const sim::RunResult& run, const std::vector<ChartSection>& sections) {
  std::string out = "<header>\n";
  out += fmt::format("<p class=\"eyebrow\">Pagoda run: {}</p>\n<h1>{}</h1>\n", escape_html(run.scenario),
                     escape_html(title_of(run)));
  if (!run.description.empty()) out += fmt::format("<p class=\"description\">{}</p>\n", escape_html(run.description));
  out += "</header>\n";
  out += asked(run);
  out += told(run);
  out += drawn(sections, run);
  out += tables_html(run);
  out += fmt::format(
      "<footer>{} of virtual time, simulated in {}. State hash <code>{:016x}</code>: a run with the same scenario and "
      "seed ends "
      "with the same one.</footer>\n",
      duration_text(run.end - Time(0)), seconds_text(run.wall_seconds), run.state_hash);
  return out;
}

}  // namespace

std::string script_safe(const Json& json) {
  std::string out;
  for (const char c : json.dump(-1, ' ', false, Json::error_handler_t::replace)) {
    // Outside of its strings JSON has none of these, and inside an escape means the same.
    if (c == '<' || c == '>' || c == '&') {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out;
}

std::string html_page(const sim::RunResult& run) {
  const std::vector<ChartSection> sections = make_charts(run);
  const std::string title = escape_html(title_of(run));
  const std::string content = body(run, sections);
  const std::string data = script_safe(charts_to_json(run, sections));
  const std::vector<Slot> slots{
      {"title", title},
      {"body", content},
      {"data", data},
      {"page_css", embedded::kPageCss},
      {"page_js", embedded::kPageJs},
      {"chart_js", embedded::kChartJs},
  };
  return filled(embedded::kPageHtml, slots);
}

}  // namespace pagoda::report
