#include "bench/esx.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <span>

#include "bench/figures.h"
#include "bench/folders.h"
#include "pagoda/sim/image/page_map.h"

namespace pagoda::bench {

namespace {

constexpr const char* kLayout = "{:>3}  {:<60} {:>14}  {:<24} {:<28} {}";
constexpr std::string_view kScenarios = "scenarios";

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kHolds:
      return "yes";
    case Verdict::kMisses:
      return "NO";
    case Verdict::kContext:
      break;
  }
  return "";
}

std::string figure(double value, std::string_view unit) {
  const std::string number = std::abs(value) >= 1000 ? fmt::format("{:.0f}", value) : fmt::format("{:.4g}", value);
  return unit.empty() ? number : fmt::format("{} {}", number, unit);
}

}  // namespace

EsxTable::EsxTable(BenchOutput& out) : out_(out) {
  out_.text(fmt::format(kLayout, "row", "figure", "ours", "published", "tolerance", "holds"));
}

void EsxTable::add(const PublishedFigure& line) {
  if (line.verdict == Verdict::kHolds) ++held_;
  if (line.verdict == Verdict::kMisses) ++missed_;
  out_.text(fmt::format(kLayout, line.row, line.what, figure(line.ours, line.unit), line.published, line.tolerance,
                        name(line.verdict)));
  BenchRow row{
      .name = fmt::format("esx_{}_{}", line.row, line.name), .unit = std::string(line.unit), .ours = line.ours};
  row.more["row"] = line.row;
  row.more["what"] = line.what;
  row.more["published"] = line.published;
  row.more["tolerance"] = line.tolerance;
  row.more["verdict"] = name(line.verdict);
  out_.json_only(row);
}

void EsxTable::add_exact(const PublishedFigure& line) {
  add(line);
  if (line.verdict == Verdict::kMisses)
    out_.failure(fmt::format("esx: row {}: {}: {} in place of {}", line.row, line.what, figure(line.ours, line.unit),
                             line.published));
}

void EsxTable::summarize() { out_.text(fmt::format("{} hold, {} do not", held_, missed_)); }

Input<sim::Scenario> shipped_scenario(std::string_view name) {
  const std::filesystem::path folder = find_shipped(kScenarios);
  if (folder.empty())
    return bad_input("bench: no folder scenarios beside or above this program; run it in the folder that has it");
  return sim::load_scenario((folder / name).string());
}

Input<std::string> shipped_images() {
  const std::filesystem::path file = find_shipped_images();
  if (file.empty())
    return bad_input("bench: no folder data/images beside or above this program; run it in the folder that has it");
  return file.string();
}

Input<sim::ImageFigures> figures_of_image(const std::string& map, std::string_view image) {
  const sim::PageMap pages = PAGODA_TRY(sim::PageMap::open(map));
  const sim::PageMap::Image* const found = pages.find(image);
  if (found == nullptr) return bad_input(fmt::format("{}: has no image {}; there are {}", map, image, pages.names()));
  return sim::image_figures(pages, std::span(found, 1)).front().alone;
}

Input<> esx(const BenchOptions&, BenchOutput& out) {
  EsxTable table(out);
  PAGODA_TRY(esx_balloon_cost(table));
  esx_equal_machines(table);
  esx_production(table);
  PAGODA_TRY(esx_wrong_merges(table));
  PAGODA_TRY(esx_sampling(table));
  PAGODA_TRY(esx_idle_tax(table));
  PAGODA_TRY(esx_five_machines(table));
  esx_states(table);
  esx_admission(table);
  PAGODA_TRY(esx_double_paging(table));
  PAGODA_TRY(esx_cold_discard(table));
  PAGODA_TRY(esx_zero_pages(table));
  PAGODA_TRY(esx_domains(table));
  table.summarize();
  out.text("Row 22 is `pagoda bench policies`; 13, agile paging, is left out.");
  return {};
}

}  // namespace pagoda::bench
