// Whole simulations with a balloon: the host has what the driver gave, whatever the driver is like, and the programs of
// the guest read what they wrote.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "tests/checked_run.h"

namespace pagoda::sim::testing {
namespace {

// Two guests, for twenty seconds, on a host with memory for all: one of 8 MiB with a balloon, whose program uses so much
// memory; and one that waits for its slow disk all the time, so that time passes.
std::string scenario(std::string_view balloon, std::string_view machine = "",
                     std::string_view program = "kind = 'uniform', memory = '1MiB', operations = 3000") {
  return fmt::format(
      "[host]\nmemory = '24MiB'\nprocessors = 2\n[[disk]]\nname = 'd'\ncapacity = '64MiB'\nstore = 'memory'\n"
      "[[page_file]]\ndisk = 'd'\nminimum = '32MiB'\n"
      "[[vm]]\nname = 'v'\nmemory = '8MiB'\n{}\n[vm.balloon]\n{}\n"
      "[[vm.disk]]\nname = 'vd'\ncapacity = '32MiB'\nstore = 'memory'\nlatency = '10ms'\n"
      "[[vm.page_file]]\ndisk = 'vd'\nminimum = '16MiB'\n"
      "[[vm.process]]\nname = 'a'\nprogram = {{ {} }}\n"
      "[[vm]]\nname = 'clock'\nmemory = '2MiB'\n"
      "[[vm.disk]]\nname = 'vd'\ncapacity = '32MiB'\nstore = 'memory'\nlatency = '10ms'\n"
      "[[vm.page_file]]\ndisk = 'vd'\nminimum = '16MiB'\n"
      "[[vm.process]]\nname = 'b'\nprogram = {{ kind = 'uniform', memory = '6MiB', operations = 1_000_000 }}\n"
      "[run]\nuntil = '20s'\n",
      machine, balloon, program);
}

class BalloonRun {
 public:
  explicit BalloonRun(const std::string& text) : run_(text) { static_cast<void>(run_.go()); }

  [[nodiscard]] const RunResult& result() const { return run_.result; }
  [[nodiscard]] const VmResult& vm() const { return run_.result.vms.at(0); }
  [[nodiscard]] PageCount ballooned() const { return vm().end.memory.ballooned; }
  // By the sample that is next to the time.
  [[nodiscard]] PageCount ballooned_at(Duration time) const {
    const auto at =
        std::ranges::find_if(run_.result.samples, [&](const Sample& sample) { return sample.time >= Time{} + time; });
    return at == run_.result.samples.end() ? ballooned() : at->vms.at(0).memory.ballooned;
  }

 private:
  CheckedRun run_;
};

constexpr PageCount kWanted = pages_of(4_MiB);

TEST(BalloonsInScenarios, GiveTheHostWhatItWants) {
  const BalloonRun run(scenario("target = '4MiB'"));
  EXPECT_EQ(run.ballooned(), kWanted);
  EXPECT_EQ(run.vm().end.frames.ballooned, kWanted);
  ASSERT_TRUE(run.vm().balloon.has_value());
  EXPECT_EQ(run.vm().balloon->driver, "normal");
  EXPECT_EQ(run.vm().balloon->target, kWanted);
  EXPECT_EQ(run.vm().balloon->actual, kWanted);
  EXPECT_EQ(run.vm().end.counters.popped_pages, 0U);
  for (const Sample& sample : run.result().samples) {
    const VmSample& one = sample.vms[0];
    const GuestMemory& memory = one.memory;
    EXPECT_EQ(memory.in_memory() + memory.compressed + memory.page_file + memory.ballooned + memory.nothing,
              pages_of(8_MiB));
    const GuestFrames& frames = one.frames;
    EXPECT_EQ(frames.active + frames.modified + frames.standby + frames.ballooned + frames.unused, pages_of(8_MiB));
  }
}

// More than is left of the guest, by a driver that is quick.
constexpr std::pair<std::string_view, std::string_view> kPressing{
    "target = '4MiB'\nrate = '4GiB'", "kind = 'uniform', memory = '6MiB', operations = 1_000_000"};

// The guest pages by itself, and its host does not.
TEST(BalloonsInScenarios, PressOnTheProgramsOfTheGuest) {
  const BalloonRun run(scenario(kPressing.first, "", kPressing.second));
  EXPECT_EQ(run.ballooned(), kWanted);
  EXPECT_GT(run.vm().counters.page_file_pages_written, 0U);
  EXPECT_EQ(run.result().counters.page_file_pages_written, 0U);
}

TEST(BalloonsInScenarios, KnowDriversThatGoWrong) {
  const BalloonRun absent(scenario("driver = 'absent'\ntarget = '4MiB'"));
  EXPECT_EQ(absent.ballooned(), 0_pages);
  EXPECT_FALSE(absent.vm().balloon->actual.has_value());

  const BalloonRun late(scenario("driver = 'late'\nwhen = '10s'\ntarget = '4MiB'"));
  EXPECT_EQ(late.ballooned_at(8_s), 0_pages);
  EXPECT_EQ(late.ballooned(), kWanted);

  const BalloonRun capped(scenario("cap = 0.25\ntarget = '4MiB'"));
  EXPECT_EQ(capped.ballooned(), pages_of(2_MiB));

  const BalloonRun slow(scenario("rate = '128KiB'\ntarget = '4MiB'"));
  EXPECT_LT(slow.ballooned_at(10_s), PageCount(700));
  EXPECT_GT(slow.ballooned_at(10_s), PageCount(200));

  const BalloonRun stuck(scenario("driver = 'stuck'\nwhen = '6s'\nrate = '512KiB'\ntarget = '4MiB'"));
  EXPECT_GT(stuck.ballooned(), 0_pages);
  EXPECT_LT(stuck.ballooned(), kWanted);

  const BalloonRun dies(scenario("driver = 'dies'\nwhen = '6s'\nrate = '512KiB'\ntarget = '4MiB'"));
  EXPECT_GT(dies.ballooned(), 0_pages);
  EXPECT_LT(dies.ballooned(), kWanted);
  EXPECT_EQ(dies.ballooned_at(8_s), dies.ballooned());

  const BalloonRun lies(scenario("driver = 'lies'\ntarget = '4MiB'"));
  EXPECT_EQ(lies.vm().balloon->actual, kWanted);
  EXPECT_EQ(lies.ballooned(), 0_pages);
  EXPECT_GE(lies.vm().end.counters.popped_pages, kWanted.value());
}

TEST(BalloonsInScenarios, ReportFreeMemory) {
  // In order: frames that are next on the zeroed list are not told, nor are blocks that have one of them.
  const BalloonRun run(
      scenario("report_free = true", "guest = 'plain'", "kind = 'sequential', memory = '1MiB', operations = 3000"));
  EXPECT_EQ(run.ballooned(), 0_pages);
  EXPECT_EQ(run.vm().end.counters.inflated_pages, 0U);
  // Most of what the program had.
  EXPECT_GT(run.vm().end.counters.reported_pages, 150U);
  // At the end the checkers have looked at every page, which brings it back.
  EXPECT_TRUE(std::ranges::any_of(run.result().samples, [](const Sample& sample) {
    const VmSample& one = sample.vms[0];
    return one.counters.reported_pages > 150 && one.memory.in_memory() < PageCount(200);
  }));
}

TEST(BalloonsInScenarios, WorkUnderAllKindsOfPagingAndWithMemoryThatIsDeferredOrPinned) {
  for (const std::string_view machine : {"mmu = 'shadow'", "mmu = 'paravirtual'", "backing = 'deferred'"})
    EXPECT_EQ(BalloonRun(scenario("target = '4MiB'", machine)).ballooned(), kWanted) << machine;
  const BalloonRun pinned(scenario("target = '4MiB'", "backing = 'pinned'"));
  EXPECT_EQ(pinned.vm().balloon->actual, kWanted) << "so the driver says";
  EXPECT_EQ(pinned.ballooned(), 0_pages) << "and the host has gained nothing";
}

TEST(BalloonsInScenarios, ARunIsTheSameTwice) {
  const std::string text = scenario(kPressing.first, "", kPressing.second);
  EXPECT_EQ(BalloonRun(text).result().state_hash, BalloonRun(text).result().state_hash);
}

}  // namespace
}  // namespace pagoda::sim::testing
