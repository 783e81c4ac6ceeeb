// What holds of every policy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/base/testing/effort.h"
#include "pagoda/policy/policy.h"
#include "pagoda/policy/testing/measured.h"

namespace pagoda::policy {
namespace {

// Anything that a host may measure, unknown figures and nonsense of guests among it.
VmMeasure random_machine(Random& random, std::uint32_t id) {
  VmMeasure vm = machine(id);
  vm.maximum = PageCount(1 + random.below(pages_of(8_GiB).value()));
  vm.minimum = PageCount(random.below(vm.maximum.value() + 1));
  if (random.chance(0.3)) vm.minimum.reset();
  vm.shares = 1 + random.below(10'000);
  vm.granted = PageCount(random.below(vm.maximum.value() + 1));
  vm.active = PageCount(random.below(2 * vm.maximum.value()));
  if (random.chance(0.3)) vm.active.reset();
  const PageCount target(random.below(vm.maximum.value() + 1));
  vm.balloon =
      BalloonMeasure{.target = target, .actual = PageCount(random.below(vm.maximum.value() + 1)), .moved_at = {}};
  if (random.chance(0.5)) vm.balloon->actual = target;
  if (random.chance(0.2)) vm.balloon.reset();
  constexpr std::uint64_t kAnything = std::uint64_t{1} << 50;
  const auto anything = [&] {
    return PageCount(random.below(random.chance(0.1) ? kAnything : vm.maximum.value() + 1));
  };
  vm.guest = GuestStatistics{.age = Duration(random.below(100'000'000'000)),
                             .free = anything(),
                             .available = anything(),
                             .total = anything(),
                             .caches = anything(),
                             .oom_kills = random.below(5),
                             .committed = anything()};
  if (random.chance(0.3)) vm.guest.reset();
  vm.stall = random.chance(0.5) ? 0 : random.unit();
  if (random.chance(0.2)) vm.stall.reset();
  vm.busy = random.unit();
  vm.swapped_in = PageCount(random.chance(0.5) ? 0 : random.below(10'000));
  return vm;
}

class EveryPolicy : public ::testing::TestWithParam<std::string> {};
std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (const PolicyEntry& entry : policies()) names.emplace_back(entry.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Table, EveryPolicy, ::testing::ValuesIn(all_names()),
                         [](const auto& policy) { return policy.param; });

// Decisions about machines as they were measured: each once, in their order, no more than there is, no less than 0.
TEST_P(EveryPolicy, DecidesForEachMachineInOrderAndWithinWhatItHas) {
  for (std::uint64_t seed = 1; seed <= testing::effort(20); ++seed) {
    Random random(seed);
    Rounds rounds(GetParam(), pages_of(32_GiB));
    std::uint32_t next_id = 0;
    for (int round = 0; round < 40; ++round) {
      // Machines come and go.
      while (rounds.machines.size() < 3 || random.chance(0.2))
        rounds.machines.push_back(random_machine(random, next_id++));
      if (rounds.machines.size() > 3 && random.chance(0.2))
        rounds.machines.erase(rounds.machines.begin() +
                              static_cast<std::ptrdiff_t>(random.below(rounds.machines.size())));
      for (VmMeasure& vm : rounds.machines)
        if (random.chance(0.3)) vm = random_machine(random, static_cast<std::uint32_t>(vm.machine));
      rounds.host().free = PageCount(random.below(rounds.host().total.value()));
      rounds.host().stall = random.unit();
      const Decisions& out = rounds.decide();
      ASSERT_EQ(out.machines.size(), rounds.machines.size());
      for (std::size_t i = 0; i < out.machines.size(); ++i) {
        const VmMeasure& vm = rounds.machines[i];
        const Decision& decision = out.machines[i];
        EXPECT_EQ(decision.machine, vm.machine);
        EXPECT_LE(decision.target, vm.maximum) << "seed " << seed;
        EXPECT_LE(decision.balloon, vm.maximum) << "seed " << seed;
        EXPECT_LE(decision.page_out + decision.compress, vm.granted) << "seed " << seed;
        if (!vm.balloon) {
          EXPECT_EQ(decision.balloon, 0_pages) << "a machine without a balloon cannot be asked";
        }
        EXPECT_FALSE(sentence(decision, "m").empty());
      }
      rounds.host().now += rounds.policy().period();
    }
  }
}

// The same measures, the same decisions: there is no clock, no chance and nothing global in a policy.
TEST_P(EveryPolicy, DecidesTheSameOfTheSameMeasures) {
  Rounds one(GetParam(), pages_of(16_GiB));
  Rounds other(GetParam(), pages_of(16_GiB));
  for (int round = 0; round < 30; ++round) {
    for (Rounds* rounds : {&one, &other}) {
      Random random(static_cast<std::uint64_t>(round));
      rounds->machines.clear();
      for (std::uint32_t i = 0; i < 6; ++i) rounds->machines.push_back(random_machine(random, i));
      rounds->host().free = PageCount(random.below(pages_of(4_GiB).value()));
      rounds->run();
    }
    for (std::size_t i = 0; i < 6; ++i) {
      EXPECT_EQ(one.of(i).target, other.of(i).target);
      EXPECT_EQ(one.of(i).balloon, other.of(i).balloon);
      EXPECT_EQ(one.of(i).page_out, other.of(i).page_out);
      EXPECT_EQ(sentence(one.of(i), "m"), sentence(other.of(i), "m"));
    }
  }
}

TEST_P(EveryPolicy, SaysWhatItIsAndWhereItsConstantsAreFrom) {
  const PolicyEntry& entry = *find_policy(GetParam());
  EXPECT_FALSE(entry.what.empty());
  EXPECT_FALSE(entry.rules.empty());
  EXPECT_FALSE(entry.source.empty());
  for (const PolicyConstant& constant : entry.constants) {
    EXPECT_FALSE(constant.value.empty()) << constant.name;
    EXPECT_FALSE(constant.source.empty()) << constant.name;
  }
  EXPECT_GT(entry.make({})->period(), 0_ns);
}

TEST_P(EveryPolicy, TakesTheOptionsThatItSaysItTakes) {
  const PolicyEntry& entry = *find_policy(GetParam());
  for (const PolicyOption option : entry.takes)
    if (option == PolicyOption::kPeriod) {
      EXPECT_EQ(entry.make({.period = 7_s})->period(), 7_s);
    }
}

TEST_P(EveryPolicy, DecidesNothingForNobody) {
  Rounds rounds(GetParam(), pages_of(1_GiB));
  EXPECT_TRUE(rounds.run().machines.empty());
}

TEST(Policies, TheTableHasThoseOfTheDesignAndTheDefaultFirst) {
  EXPECT_THAT(all_names(),
              ::testing::ElementsAre("pagoda", "none", "fixed", "paging", "esx", "mom", "proxmox", "hyperv",
                                     "selfballoon", "senpai", "hypeman", "crosvm_available", "crosvm_cache", "vm0",
                                     "lima", "wsl_drop", "wsl_gradual", "avf", "report_only", "kubevirt_ksm"));
  EXPECT_EQ(find_policy("Pagoda"), nullptr);
  EXPECT_THAT(policy_names(), ::testing::StartsWith("pagoda, none, fixed"));
}

TEST(Policies, OptionsHaveTheNamesThatScenariosWrite) {
  EXPECT_EQ(name(PolicyOption::kPeriod), "period");
  EXPECT_EQ(name(PolicyOption::kStates), "states");
  EXPECT_EQ(name(PolicyOption::kIdleTax), "idle_tax");
  EXPECT_EQ(name(PolicyOption::kAcceptableStall), "acceptable_stall");
}

}  // namespace
}  // namespace pagoda::policy
