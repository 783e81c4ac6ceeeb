#include "pagoda/report/policy_story.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pagoda/report/policy_comparison.h"
#include "pagoda/report/policy_tables.h"
#include "pagoda/report/terminal_text.h"
#include "pagoda/report/testing/sample_run.h"
#include "pagoda/report/testing/variant_runs.h"
#include "pagoda/report/text.h"

namespace pagoda::report {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

TEST(PolicyStory, SaysWhoPaidForWhomAndHowShortTheHostWas) {
  sim::RunResult run = testing::virtual_run();
  run.end = Time{} + 12_s;
  EXPECT_THAT(
      tell_policy(run),
      ElementsAre("Under the policy \"esx\" the host was soft for 33.3% and hard for 16.7% of the run; build gave "
                  "most: 400 KiB by balloon and 80 KiB by paging, of which it got 40 KiB back.",
                  "build waited 2 s because of files."));
}

TEST(PolicyStory, IsTrueOfAHostThatHadEnough) {
  sim::RunResult run = testing::virtual_run();
  run.policy->in_state = {12_s};
  run.policy->accounts = {{}, {}};
  run.policy->charges = {{.payer = 1, .taker = 1, .waited = 1_s}};
  EXPECT_THAT(tell_policy(run), ElementsAre("Under the policy \"esx\" the host never ran short of memory; nothing was "
                                            "taken from any machine.",
                                            "No machine waited for memory because of another one."));
  run.policy.reset();
  EXPECT_THAT(tell_policy(run), IsEmpty());
  EXPECT_EQ(policy_tables_html(run), "");
}

TEST(PolicyStory, TellsTheFirstDecisionsWithTheirTimes) {
  const sim::RunResult run = testing::virtual_run();
  EXPECT_THAT(
      decision_sentences(run, 10),
      ElementsAre("t=3 s: took 400 KiB from build by balloon: 25 % of its memory is active, its price is 0.5 of the "
                  "highest, and the host was in the soft state"));
  EXPECT_THAT(decision_sentences(run, 0), IsEmpty());
}

TEST(PolicyTables, HaveEachMachineTheBillAndTheDecisions) {
  const std::string html = policy_tables_html(testing::virtual_run());
  for (const char* const part : {"Memory policy: esx", "<th scope=\"row\">files</th>", "<th scope=\"row\">build</th>",
                                 "itself", "1 decision of the policy", "t=3 s: took 400 KiB from build"})
    EXPECT_THAT(html, HasSubstr(part));
}

TEST(PolicyTables, CountWhatTheyDoNotShow) {
  sim::RunResult run = testing::virtual_run();
  run.policy->decisions = 1001;
  EXPECT_THAT(policy_tables_html(run), HasSubstr("And 1,000 more."));
}

TEST(PolicyTables, LetNoNameThrough) {
  const std::string html = policy_tables_html(testing::hostile_run());
  EXPECT_THAT(html, Not(HasSubstr("<script")));
}

TEST(PolicyComparison, HasAColumnForEachPolicyAndARowForEachMachine) {
  sim::RunResult first = testing::virtual_run();
  sim::RunResult second = first;
  second.policy->name = "pagoda";
  second.policy->accounts[0].waited = 77_s;
  const std::string text = policy_comparison_text(std::vector{first, second});
  for (const char* const part :
       {"esx    pagoda", "files", "build", "77 s", "fairness", "0.900", "Under the policy \"pagoda\""})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST(PolicyComparison, ShowsOfManyMachinesThoseThatWaitedLongest) {
  sim::RunResult run = testing::virtual_run();
  run.vms.resize(40, run.vms[0]);
  run.policy->accounts.resize(40);
  for (std::size_t i = 0; i < 40; ++i) {
    run.vms[i].name = fmt::format("machine{}", i);
    run.policy->accounts[i].waited = Duration(1000 + i);
  }
  run.policy->charges.clear();
  const std::string text = policy_comparison_text(std::span(&run, 1));
  EXPECT_THAT(text, HasSubstr("machine39"));
  EXPECT_THAT(text, Not(HasSubstr("machine27 ")));
  EXPECT_THAT(text, HasSubstr("and 28 more"));
}

}  // namespace
}  // namespace pagoda::report
