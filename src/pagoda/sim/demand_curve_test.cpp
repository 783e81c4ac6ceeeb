// Curves of used and active memory as files have them.
#include "pagoda/sim/demand_curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace pagoda::sim {
namespace {

using ::testing::HasSubstr;

DemandCurve parsed(std::string_view text) {
  const auto curve = parse_demand_csv(text, "d.csv");
  EXPECT_TRUE(curve) << curve.error().message;
  return curve.value_or(DemandCurve{});
}
std::string refusal(std::string_view text) {
  const auto curve = parse_demand_csv(text, "d.csv");
  return curve ? "accepted" : curve.error().message;
}

TEST(DemandCurve, ColumnsAreFoundByNameAndTimesCountFromTheFirst) {
  const DemandCurve curve = parsed(
      "host,active,\"time\", used\r\n"
      "a,4096,1376314846,8192\r\n"
      "a,1e4,1376315146.5,20000\r\n"
      "\r\n"
      "a,,1376315446,0\n");
  ASSERT_EQ(curve.steps.size(), 3U);
  EXPECT_EQ(curve.steps[0].at, 0_s);
  EXPECT_EQ(curve.steps[0].used, 2_pages);
  EXPECT_EQ(curve.steps[0].active, 1_pages);
  EXPECT_EQ(curve.steps[1].at, 300'500_ms);
  EXPECT_EQ(curve.steps[1].used, 5_pages);
  EXPECT_EQ(curve.steps[1].active, 3_pages);
  // Active was not known there, and is no more than used.
  EXPECT_EQ(curve.steps[2].at, 600_s);
  EXPECT_EQ(curve.steps[2].used, 0_pages);
  EXPECT_EQ(curve.steps[2].active, 0_pages);
  EXPECT_EQ(curve.length, 899'500_ms);  // As long as the value before.
  EXPECT_EQ(curve.most_used(), 5_pages);
}

TEST(DemandCurve, OfTwoLinesOfOneTimeTheLaterCounts) {
  const DemandCurve curve = parsed("time,used,active\n0,4096,0\n0,8192,4096\n1,4096,4096");
  ASSERT_EQ(curve.steps.size(), 2U);
  EXPECT_EQ(curve.steps[0].used, 2_pages);
  EXPECT_EQ(curve.length, 2_s);
}

TEST(DemandCurve, BadFilesAreRefusedByTheirLine) {
  constexpr std::string_view kHeader = "time,used,active\n";
  const auto line = [&](std::string_view text) { return refusal(std::string(kHeader) + std::string(text)); };
  EXPECT_THAT(refusal(""), HasSubstr("d.csv:0: has no values"));
  EXPECT_THAT(refusal("time,used\n"), HasSubstr("d.csv:1: names no column \"active\""));
  EXPECT_THAT(refusal("time,used,active,used\n"), HasSubstr("d.csv:1: names no column \"used\", or two"));
  EXPECT_THAT(line("0,1\n"), HasSubstr("d.csv:2: has 2 fields where the header has 3"));
  EXPECT_THAT(line(",1,1\n"), HasSubstr("d.csv:2: has no time"));
  EXPECT_THAT(line("0,,1\n"), HasSubstr("d.csv:2: has no value in its first line"));
  EXPECT_THAT(line("0,-1,1\n"), HasSubstr("\"-1\" is no number of bytes"));
  EXPECT_THAT(line("0,nan,1\n"), HasSubstr("\"nan\" is no number of bytes"));
  EXPECT_THAT(line("0,1 GB,1\n"), HasSubstr("\"1 GB\" is no number of bytes"));
  EXPECT_THAT(line("0,1e300,1\n"), HasSubstr("is no number of bytes"));
  EXPECT_THAT(line("x,1,1\n"), HasSubstr("\"x\" is no time in seconds"));
  EXPECT_THAT(line("5,1,1\n4,1,1\n"), HasSubstr("d.csv:3: goes back in time"));
  EXPECT_THAT(line("5,1,1\n9,1,1\n8,1,1\n"), HasSubstr("d.csv:4: goes back in time"));
  EXPECT_THAT(line("0,1,1\n1e10,1,1\n"), HasSubstr("30 years"));
  EXPECT_THAT(line("0,0,0\n"), HasSubstr("uses no memory"));
}

TEST(DemandCurve, StepsThatAreNoCurveAreRefused) {
  const auto checked = [](std::vector<DemandStep> steps, Duration length) {
    const auto result = check_demand({.steps = std::move(steps), .length = length});
    return result ? "accepted" : result.error().message;
  };
  EXPECT_EQ(checked({{0_s, 2_pages, 1_pages}, {1_s, 0_pages, 0_pages}}, 2_s), "accepted");
  EXPECT_THAT(checked({}, 1_s), HasSubstr("no steps"));
  EXPECT_THAT(checked({{1_s, 2_pages, 1_pages}}, 2_s), HasSubstr("step 1 does not begin at 0s"));
  EXPECT_THAT(checked({{0_s, 2_pages, 1_pages}, {0_s, 1_pages, 1_pages}}, 2_s), HasSubstr("step 2 does not come"));
  EXPECT_THAT(checked({{0_s, 2_pages, 3_pages}}, 2_s), HasSubstr("step 1 has more active memory"));
  EXPECT_THAT(checked({{0_s, 2_pages, 1_pages}, {2_s, 1_pages, 1_pages}}, 2_s), HasSubstr("ends before"));
}

}  // namespace
}  // namespace pagoda::sim
