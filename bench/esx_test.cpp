#include "bench/esx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pagoda::bench {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Recorded : BenchOutput {
  void row(const BenchRow& row) override { rows.push_back(row); }
  void json_only(const BenchRow& row) override { rows.push_back(row); }
  void text(std::string_view line) override { lines.emplace_back(line); }
  void failure(const std::string& what) override { failures.push_back(what); }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const BenchRow& row : rows) names.push_back(row.name);
    return names;
  }
  [[nodiscard]] std::vector<std::string> verdicts() const {
    std::vector<std::string> verdicts;
    for (const BenchRow& row : rows) verdicts.push_back(row.more.at("verdict"));
    return verdicts;
  }

  std::vector<BenchRow> rows;
  std::vector<std::string> lines;
  std::vector<std::string> failures;
};

TEST(EsxTable, AMissIsSaidAndFailsWhereTheFigureIsExact) {
  Recorded out;
  EsxTable table(out);
  table.add({.row = 1, .name = "a", .what = "one", .ours = 4, .published = "5", .verdict = holds_if(false)});
  table.add_exact({.row = 2, .name = "b", .what = "two", .ours = 5, .published = "5", .verdict = holds_if(true)});
  table.add({.row = 3, .name = "c", .what = "beside them"});
  EXPECT_THAT(out.failures, IsEmpty());
  table.add_exact({.row = 4, .name = "d", .what = "four", .ours = 1, .published = "0", .verdict = holds_if(false)});
  table.summarize();
  EXPECT_THAT(out.failures, ElementsAre(HasSubstr("row 4: four: 1 in place of 0")));
  EXPECT_THAT(out.names(), ElementsAre("esx_1_a", "esx_2_b", "esx_3_c", "esx_4_d"));
  EXPECT_THAT(out.verdicts(), ElementsAre("NO", "yes", "", "NO"));
  EXPECT_EQ(out.lines.back(), "1 hold, 2 do not");
}

TEST(EsxRows, StatesAndAdmissionAreExact) {
  Recorded out;
  EsxTable table(out);
  esx_states(table);
  esx_admission(table);
  EXPECT_THAT(out.verdicts(), Each("yes"));
  EXPECT_THAT(out.names(), ElementsAre("esx_9_states", "esx_9_blocked", "esx_9_taken", "esx_10_admission"));
}

TEST(EsxRows, TheScanFindsWhatProductionHostsHaveAlike) {
  Recorded out;
  EsxTable table(out);
  esx_production(table);
  EXPECT_THAT(out.names(), ElementsAre("esx_3_a", "esx_3_b", "esx_3_c"));
  EXPECT_THAT(out.verdicts(), Each("yes"));
}

}  // namespace
}  // namespace pagoda::bench
