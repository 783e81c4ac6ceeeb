// [vm.balloon].
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "pagoda/sim/testing/small_scenario.h"

namespace pagoda::sim::testing {
namespace {

using Driver = BalloonConfig::Driver;
using machine::BalloonFeature;

// The balloon of the small scenario's machine of 2 MiB, whose table begins in line 24.
BalloonConfig balloon(std::string_view keys, std::string_view more = "") {
  const auto scenario = parse_scenario(with_vm(fmt::format("{}\n[vm.balloon]\n{}", more, keys)), "s.toml");
  EXPECT_TRUE(scenario) << scenario.error().message;
  return scenario && scenario->vms[0].balloon ? *scenario->vms[0].balloon : BalloonConfig{};
}

TEST(ScenarioBalloon, IsNoneUnlessItIsAskedFor) {
  const auto scenario = parse_scenario(with_vm(""), "s.toml");
  ASSERT_TRUE(scenario);
  EXPECT_FALSE(scenario->vms[0].balloon.has_value());
  EXPECT_FALSE(scenario->vms[0].partition.balloon.has_value());
}

TEST(ScenarioBalloon, HasDefaults) {
  const BalloonConfig config = balloon("");
  EXPECT_EQ(config.driver, Driver::kNormal);
  EXPECT_EQ(config.target, 0_pages);
  EXPECT_EQ(config.settings.pages_per_second, pages_of(64_MiB));
  EXPECT_EQ(config.settings.most, 512_pages);
  EXPECT_EQ(config.settings.loads, Time{});
  EXPECT_EQ(config.settings.sticks, kNever);
  EXPECT_EQ(config.settings.dies, kNever);
  EXPECT_TRUE(config.settings.features.has(BalloonFeature::kDeflateOnOom));
  EXPECT_TRUE(config.settings.features.has(BalloonFeature::kStatistics));
  EXPECT_FALSE(config.settings.features.has(BalloonFeature::kReporting));
}

TEST(ScenarioBalloon, IsReadAsItIsWritten) {
  const BalloonConfig config = balloon(
      "target = '1MiB'\nrate = '256KiB'\ncap = 0.25\ndeflate_on_oom = false\nreport_free = true", "guest = 'plain'");
  EXPECT_EQ(config.target, 256_pages);
  EXPECT_EQ(config.settings.pages_per_second, 64_pages);
  EXPECT_EQ(config.settings.most, 128_pages);
  EXPECT_FALSE(config.settings.features.has(BalloonFeature::kDeflateOnOom));
  EXPECT_TRUE(config.settings.features.has(BalloonFeature::kReporting));
  EXPECT_EQ(balloon("driver = 'late'\nwhen = '7s'").settings.loads, Time{} + 7_s);
  EXPECT_EQ(balloon("driver = 'stuck'\nwhen = '7s'").settings.sticks, Time{} + 7_s);
  EXPECT_EQ(balloon("driver = 'dies'\nwhen = '7s'").settings.dies, Time{} + 7_s);
  EXPECT_EQ(balloon("driver = 'lies'").settings.conduct, guest::BalloonDriverSettings::Conduct::kTouches);
  EXPECT_EQ(balloon("driver = 'absent'\ntarget = '1MiB'").driver, Driver::kAbsent);
}

TEST(ScenarioBalloon, IsRefusedInOneLineWithFileLineKeyAndWhatToDo) {
  constexpr std::pair<std::string_view, std::string_view> kBad[] = {
      {"driver = 'late'", "bad.toml:25: vm.balloon.when: is missing"},
      {"driver = 'dead'", "bad.toml:26: vm.balloon.driver: \"dead\" is not one of normal, absent, late, stuck, dies"},
      {"when = '1s'", "bad.toml:26: vm.balloon.when: says when a driver is late, gets stuck or dies"},
      {"driver = 'lies'\nwhen = '1s'", "bad.toml:27: vm.balloon.when: says when"},
      {"target = '4MiB'", "bad.toml:26: vm.balloon.target: is more than the guest has, 2 MiB"},
      {"target = 5", "bad.toml:26: vm.balloon.target"},
      {"rate = '0B'", "bad.toml:26: vm.balloon.rate: must be at least 4KiB"},
      {"cap = 1.5", "bad.toml:26: vm.balloon.cap: must be a number from 0 to 1"},
      {"driver = 'absent'\nrate = '1MiB'",
       "bad.toml:27: vm.balloon.rate: says what the driver does, and there is none"},
      {"driver = 'absent'\ncap = 0.5", "bad.toml:27: vm.balloon.cap: says what the driver does"},
      {"driver = 'absent'\ndeflate_on_oom = true", "bad.toml:27: vm.balloon.deflate_on_oom: says what the driver does"},
      {"report_free = true", "bad.toml:26: vm.balloon.report_free: a guest that gives hints tells of its free memory"},
      {"inflate = true", "bad.toml:26: vm.balloon.inflate: is not a known key"},
  };
  for (const auto& [keys, message] : kBad)
    EXPECT_THAT(refusal(with_vm(fmt::format("\n[vm.balloon]\n{}", keys))), ::testing::StartsWith(std::string(message)));
}

}  // namespace
}  // namespace pagoda::sim::testing
