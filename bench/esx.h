// What was published about overcommit in ESX and about double paging, beside what this program does: rows of
// reference/virtualization.md, section 9. All of ours is in virtual time or exact: the same on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bench/command.h"
#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/sim/image/image_statistics.h"
#include "pagoda/sim/scenario/scenario.h"

namespace pagoda::bench {

enum class Verdict : std::uint8_t {
  kHolds,
  kMisses,
  kContext,  // Nothing was published for it; it explains its neighbours.
};
constexpr Verdict holds_if(bool holds) { return holds ? Verdict::kHolds : Verdict::kMisses; }

struct PublishedFigure {
  unsigned row = 0;  // Of section 9.
  std::string name;  // In JSON, behind "esx_ROW_".
  std::string what;  // For people.
  double ours = 0;
  std::string_view unit;
  std::string published;
  std::string tolerance;
  Verdict verdict = Verdict::kContext;
};

// As figures.
constexpr double counted(std::uint64_t count) { return static_cast<double>(count); }
constexpr double counted(PageCount pages) { return counted(pages.value()); }

// Takes the figures as they are found: a line of the table and an object of the JSON array each. A miss of an exact figure
// is a failure of the benchmark.
class EsxTable {
 public:
  explicit EsxTable(BenchOutput& out);
  void add(const PublishedFigure& line);
  // Of what must be so whatever the constants are.
  void add_exact(const PublishedFigure& line);
  void summarize();

 private:
  BenchOutput& out_;
  unsigned held_ = 0;
  unsigned missed_ = 0;
};

// A scenario that ships. Fails with one line: there is no folder of them, or what load_scenario says.
Input<sim::Scenario> shipped_scenario(std::string_view name);
// The map of the pages of real guests that ships. Fails with one line: there is none.
Input<std::string> shipped_images();
// What one of its images holds. Fails with one line: there is no such image, or what PageMap::open says.
Input<sim::ImageFigures> figures_of_image(const std::string& map, std::string_view image);

// --- The rows ---
Input<> esx_balloon_cost(EsxTable& table);   // 1
void esx_equal_machines(EsxTable& table);    // 2
void esx_production(EsxTable& table);        // 3
Input<> esx_wrong_merges(EsxTable& table);   // 5
Input<> esx_sampling(EsxTable& table);       // 6
Input<> esx_idle_tax(EsxTable& table);       // 7
Input<> esx_five_machines(EsxTable& table);  // 8
void esx_states(EsxTable& table);            // 9
void esx_admission(EsxTable& table);         // 10
Input<> esx_double_paging(EsxTable& table);  // 14
Input<> esx_cold_discard(EsxTable& table);   // 15
Input<> esx_zero_pages(EsxTable& table);     // 16
Input<> esx_domains(EsxTable& table);        // 18

}  // namespace pagoda::bench
