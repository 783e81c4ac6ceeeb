// `pagoda policy` as a person types it.
#include "pagoda/cli/policy_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/cli/testing/typed_command.h"
#include "pagoda/policy/policy.h"

namespace pagoda::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Ran run_policy(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "policy");
  return run_typed(add_policy_command, std::move(arguments));
}

TEST(PolicyCommand, ListNamesEachPolicyWithALine) {
  const Ran ran = run_policy({"list"});
  EXPECT_EQ(ran.status, 0);
  for (const policy::PolicyEntry& entry : policy::policies())
    EXPECT_THAT(ran.out, AllOf(HasSubstr(std::string(entry.name)), HasSubstr(std::string(entry.what))));
  EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(ran.out, '\n')), policy::policies().size());
}

TEST(PolicyCommand, ExplainShowsRulesAndConstantsWithTheirSources) {
  for (const policy::PolicyEntry& entry : policy::policies()) {
    const Ran ran = run_policy({"explain", std::string(entry.name)});
    EXPECT_EQ(ran.status, 0);
    for (const policy::PolicyConstant& constant : entry.constants)
      EXPECT_THAT(ran.out, AllOf(HasSubstr(constant.name), HasSubstr(constant.value), HasSubstr(constant.source)));
    EXPECT_THAT(ran.out, HasSubstr(std::string(entry.source)));
  }
  EXPECT_THAT(run_policy({"explain", "esx"}).out,
              AllOf(HasSubstr("idle tax"), HasSubstr("75 %"), HasSubstr("knobs: period, states, idle_tax")));
  EXPECT_THAT(run_policy({"explain", "report_only"}).out, HasSubstr("report free pages"));
}

TEST(PolicyCommand, TestShowsEachStepAndWhatWasFound) {
  const Ran ran = run_policy({"test", "hypeman"});
  EXPECT_EQ(ran.status, 0);
  for (const char* step : {"demand", "idle", "shrink", "dead", "liar"}) EXPECT_THAT(ran.out, HasSubstr(step));
  EXPECT_THAT(ran.out, AllOf(HasSubstr("15.0 %"), HasSubstr("no "), HasSubstr("never")));
  EXPECT_THAT(run_policy({"test", "pagoda"}).out, AllOf(HasSubstr("yes"), HasSubstr("held")));
}

TEST(PolicyCommand, UnknownNamesAreOneLineAndStatusTwo) {
  for (const char* what : {"test", "explain"}) {
    const Ran ran = run_policy({what, "esxi"});
    EXPECT_EQ(ran.status, 2);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(std::ranges::count(ran.error, '\n'), 1);
    EXPECT_THAT(ran.error, AllOf(HasSubstr("no policy \"esxi\""), HasSubstr("pagoda, none")));
  }
}

}  // namespace
}  // namespace pagoda::cli
