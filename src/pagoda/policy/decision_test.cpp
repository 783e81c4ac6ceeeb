#include "pagoda/policy/decision.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace pagoda::policy {
namespace {

TEST(Decision, ASentenceNamesAmountMachineMechanismAndFigures) {
  const Decision decision{.previous = pages_of(1_GiB),
                          .target = pages_of(812_MiB),
                          .balloon = pages_of(212_MiB),
                          .reason = {.why = Why::kPrice, .state = FreeState::kSoft, .active = 0.08, .price = 0.31}};
  EXPECT_EQ(
      sentence(decision, "web-3"),
      "took 212 MiB from web-3 by balloon: 8 % of its memory is active, its price is 0.31 of the highest, and the host "
      "was in the soft state");
}

TEST(Decision, EachMechanismIsNamedWhenItIsUsed) {
  Decision decision{.previous = pages_of(1_GiB), .target = pages_of(1_GiB), .page_out = pages_of(4_MiB)};
  decision.reason.why = Why::kDeadBalloon;
  EXPECT_EQ(sentence(decision, "db"),
            "took 4 MiB from db by paging: its balloon does not move, so it is paged instead");
  decision.compress = pages_of(2_MiB);
  EXPECT_NE(sentence(decision, "db").find("by compression and paging"), std::string::npos);
  decision.execution = Execution::kBlock;
  EXPECT_NE(sentence(decision, "db").find("does not run until"), std::string::npos);
  const Decision cache{.reclaim_cache = pages_of(1_GiB), .reason = {.why = Why::kGuestIdle}};
  EXPECT_EQ(sentence(cache, "dev"), "took 1 GiB from dev by its page cache: the guest does not use it");
}

TEST(Decision, GivingAndLeavingAreSaidAsThat) {
  const Decision back{
      .previous = pages_of(1_GiB), .target = pages_of(2_GiB), .reason = {.why = Why::kBackFirst, .stall = 0.12}};
  EXPECT_EQ(sentence(back, "web-1"),
            "gave web-1 1 GiB back: it waits 12 % of its time, more than is acceptable, so it comes first");
  const Decision left{
      .previous = pages_of(1_GiB), .target = pages_of(1_GiB), .reason = {.why = Why::kUnknownStatistics}};
  EXPECT_EQ(sentence(left, "web-1"), "left web-1 at 1 GiB: its statistics are unknown or old, which shrinks nobody");
}

// A figure that is not known is said to be unknown, never shown as 0.
TEST(Decision, EveryReasonHasANameAndASentenceWithAndWithoutFigures) {
  std::set<std::string> names;
  std::set<std::string> sentences;
  for (unsigned i = 0; i <= static_cast<unsigned>(Why::kOnePeriod); ++i) {
    const auto why = static_cast<Why>(i);
    names.insert(std::string(name(why)));
    const Decision bare{.reason = {.why = why}};
    const std::string text = sentence(bare, "m");
    sentences.insert(text);
    EXPECT_EQ(text.find("0 %"), std::string::npos) << text;
    EXPECT_EQ(text.find("nan"), std::string::npos) << text;
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Why::kOnePeriod) + 1);
  EXPECT_GE(sentences.size(), names.size() - 1);
  EXPECT_NE(sentence({.reason = {.why = Why::kPrice}}, "m").find("is not known"), std::string::npos);
}

}  // namespace
}  // namespace pagoda::policy
