#include "bench/policy_mixes.h"

#include <gtest/gtest.h>

#include "pagoda/sim/scenario/scenario.h"

namespace pagoda::bench {
namespace {

TEST(PolicyMixes, AreScenariosOfMoreThanTheHostHas) {
  for (const PolicyMix& mix : policy_mixes()) {
    for (const std::uint64_t seed : {1, 101, 140}) {
      const auto scenario = sim::parse_scenario(mix.text(seed, "", "pagoda", false), std::string(mix.name));
      ASSERT_TRUE(scenario) << scenario.error().message;
      PageCount promised;
      for (const sim::VmConfig& vm : scenario->vms) promised += vm.partition.memory;
      EXPECT_GT(promised, scenario->machine.frames) << mix.name;
      EXPECT_EQ(scenario->policy->scale, kMixScale);
      EXPECT_EQ(scenario->seed, seed);
    }
  }
}

TEST(PolicyMixes, DifferByTheirSeedsAndNotByTheirPolicies) {
  for (const PolicyMix& mix : policy_mixes()) {
    EXPECT_EQ(mix.text(1, "", "esx", false), mix.text(1, "", "esx", false));
    EXPECT_NE(mix.text(1, "", "esx", false), mix.text(2, "", "esx", false));
    std::string other = mix.text(1, "", "mom", false);
    other.replace(other.find("'mom'"), 5, "'esx'");
    EXPECT_EQ(other, mix.text(1, "", "esx", false));
  }
}

TEST(PolicyMixes, HaveGuestsThatReportWhereThePolicyNeedsIt) {
  for (const PolicyMix& mix : policy_mixes()) {
    EXPECT_NE(mix.text(1, "", "report_only", true).find("report_free = true"), std::string::npos);
    EXPECT_EQ(mix.text(1, "", "esx", false).find("report_free"), std::string::npos);
  }
}

}  // namespace
}  // namespace pagoda::bench
