// The balloon driver in a guest on a real partition: what it does to its guest, and what its host has of it.
#include "pagoda/guest/balloon_driver.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::guest {
namespace {

using hv::BalloonDevice;
using hv::MmuKind;
using hv::testing::TestHost;
using hv::testing::TestVm;
using machine::BalloonFeature;
using machine::BalloonFeatures;
using machine::BalloonTag;
using Settings = BalloonDriverSettings;

// A guest of 8 MB with a balloon, its driver, and time.
struct GuestConfig {
  Settings settings;
  MmuKind mmu = MmuKind::kNested;
  bool paging_file = true;
  BalloonFeatures offered = BalloonFeatures::all();
};

class BallooningGuest {
 public:
  explicit BallooningGuest(const GuestConfig& config = {})
      : vm_(host_, {.partition = {.memory = kMemory,
                                  .mmu = config.mmu,
                                  .balloon = config.offered,
                                  .disks = config.paging_file ? std::vector<machine::DiskModel>{{}}
                                                              : std::vector<machine::DiskModel>{}}}),
        driver_(BalloonDriver::create(vm_.manager(), config.settings)) {}

  static constexpr PageCount kMemory = pages_of(8_MiB);
  [[nodiscard]] TestVm& vm() { return vm_; }
  [[nodiscard]] BalloonDriver& driver() { return *driver_; }
  [[nodiscard]] BalloonDevice& device() { return *vm_.partition().machine().balloon(); }
  [[nodiscard]] mm::MemoryManager& manager() { return vm_.manager(); }
  void restart_driver(const Settings& settings) {
    driver_.reset();
    driver_ = BalloonDriver::create(vm_.manager(), settings);
  }
  // Lets the guest's threads run as their times come, for so long.
  void pass(Duration time) {
    const Time end = vm_.cpu().now() + time;
    for (;;) {
      run_threads();
      Time next = driver_->due(vm_.cpu().now());
      if (const Time io = manager().next_completion(); io < next) next = io;
      if (next > end) break;
      vm_.cpu().advance_to(next);
      manager().complete_io(vm_.cpu());
      if (driver_->due(vm_.cpu().now()) <= vm_.cpu().now()) driver_->run(vm_.cpu());
    }
    vm_.cpu().advance_to(end);
    manager().complete_io(vm_.cpu());
  }
  // The target, reached and left alone for some seconds.
  void settle(PageCount target, Duration time = 5_s) {
    device().set_target(target);
    pass(time);
  }
  [[nodiscard]] std::string check() { return vm_.check(); }

 private:
  void run_threads() {
    for (mm::SystemThread* const thread : manager().system_threads())
      for (int runs = 0; runs < 64 && thread->due(vm_.cpu().now()) <= vm_.cpu().now(); ++runs) thread->run(vm_.cpu());
  }

  TestHost host_{{.frames = PageCount(8192)}};
  TestVm vm_;
  std::unique_ptr<BalloonDriver> driver_;
};

TEST(BalloonDriver, IsNoneWithoutADevice) {
  mm::testing::TestMachine bare;
  EXPECT_EQ(BalloonDriver::create(bare.manager(), {}), nullptr);
  TestHost host;
  TestVm vm(host);
  EXPECT_EQ(BalloonDriver::create(vm.manager(), {}), nullptr);
}

class BalloonDrivers : public ::testing::TestWithParam<MmuKind> {};
INSTANTIATE_TEST_SUITE_P(Kinds, BalloonDrivers, ::testing::ValuesIn(hv::testing::kAllMmus));

TEST_P(BalloonDrivers, FollowTheTargetUpAndDown) {
  BallooningGuest g({.mmu = GetParam()});
  for (const std::uint64_t target : {0U, 300U, 1000U, 700U, 1200U, 1U, 0U}) {
    g.settle(PageCount(target));
    EXPECT_EQ(g.driver().held(), PageCount(target));
    EXPECT_EQ(g.device().held(), PageCount(target));
    EXPECT_EQ(g.device().actual(), PageCount(target));
    EXPECT_EQ(g.manager().driver_frames().count(), PageCount(target));
    EXPECT_EQ(g.check(), "");
  }
  EXPECT_EQ(g.vm().partition().counts().popped_pages, 0U);
  EXPECT_EQ(g.driver().counts().inflated, g.driver().counts().deflated);
}

// reference/virtualization.md 1.3: once per second.
TEST(BalloonDriver, LooksAtTheTargetEachSecond) {
  BallooningGuest g;
  g.pass(10_s - 1_ms);
  EXPECT_EQ(g.driver().counts().polls, 10U);
  g.device().set_target(PageCount(100));
  EXPECT_EQ(g.driver().held(), 0_pages) << "nobody told it";
  g.pass(1_s);
  EXPECT_EQ(g.driver().held(), PageCount(100));
}

TEST(BalloonDriver, InflatesAtALimitedRate) {
  BallooningGuest g({.settings = {.pages_per_second = PageCount(256)}});
  g.device().set_target(PageCount(1500));
  for (std::uint64_t second = 1; second <= 4; ++second) {
    g.pass(1_s);
    // A request comes at the beginning of its second.
    EXPECT_LE(g.driver().held(), PageCount(256 * (second + 1)));
    EXPECT_GE(g.driver().held(), PageCount(256 * (second - 1)));
  }
  g.pass(5_s);
  EXPECT_EQ(g.driver().held(), PageCount(1500));
  EXPECT_EQ(g.check(), "");
}

// The guest's own manager chooses what goes: its programs' pages go to its paging file, and are right when they are back.
TEST_P(BalloonDrivers, PressOnTheGuestsProgramsThroughItsOwnManager) {
  BallooningGuest g({.mmu = GetParam()});
  const VirtualAddress base = g.vm().commit(PageCount(1500));
  g.vm().fill(base, PageCount(1500));
  const PageCount before = g.vm().space().statistics().working_set;
  g.settle(PageCount(1200), 60_s);
  EXPECT_EQ(g.device().held(), PageCount(1200));
  EXPECT_LT(g.vm().space().statistics().working_set + PageCount(500), before);
  EXPECT_GT(g.driver().counts().out_of_puff, 0U);
  EXPECT_EQ(g.check(), "");
  EXPECT_EQ(g.vm().differences(base, PageCount(1500)), 0U);
  EXPECT_EQ(g.device().held(), PageCount(1200)) << "a guest that pages is not out of memory";
  EXPECT_EQ(g.check(), "");
}

// reference/overcommit-facts.md section 2: 200 ms; the host sees `actual` stand still, and no more.
TEST(BalloonDriver, TriesAgainLaterWhenThereIsNoFrame) {
  BallooningGuest g({.paging_file = false});
  const VirtualAddress base = g.vm().commit(PageCount(1500));
  g.vm().fill(base, PageCount(1500));
  g.device().set_target(PageCount(2000));
  g.pass(2_s);
  const PageCount held = g.driver().held();
  EXPECT_LT(held, PageCount(600));
  const std::uint64_t before = g.driver().counts().out_of_puff;
  g.pass(10_s);
  EXPECT_NEAR(static_cast<double>(g.driver().counts().out_of_puff - before), 50, 2);
  EXPECT_EQ(g.device().actual(), held);
  EXPECT_EQ(g.vm().differences(base, PageCount(1500)), 0U);
  EXPECT_EQ(g.check(), "");
}

TEST(BalloonDriver, GivesWayWhenTheGuestIsOutOfMemory) {
  BallooningGuest g({.paging_file = false});
  g.settle(PageCount(1500));
  ASSERT_EQ(g.driver().held(), PageCount(1500));
  // More than what is left.
  const auto region =
      g.vm().space().reserve(g.vm().cpu(), {.size = bytes_of(PageCount(900)), .commit = mm::MemCommit::kYes});
  ASSERT_TRUE(region.has_value());
  const std::uint64_t released = g.driver().counts().deflated_on_oom;
  EXPECT_GT(released, 0U);
  EXPECT_EQ(released % machine::Balloon::kMostFrames, 0U) << "a request's worth at a time";
  EXPECT_EQ(g.device().held(), PageCount(1500 - released));
  const VirtualAddress base(region->first);
  g.vm().fill(base, PageCount(900));
  EXPECT_EQ(g.vm().differences(base, PageCount(900)), 0U);
  EXPECT_EQ(g.check(), "");
  // It does not take them away again until the host wants something else.
  g.pass(10_s);
  EXPECT_EQ(g.device().held(), PageCount(1500 - released));
  g.vm().space().release(g.vm().cpu(), base, ByteCount(0));
  g.settle(PageCount(1400));
  EXPECT_EQ(g.device().held(), PageCount(1400));
  EXPECT_EQ(g.check(), "");
}

TEST(BalloonDriver, WithoutTheFeatureTheGuestIsRefused) {
  BallooningGuest g({.paging_file = false, .offered = {BalloonFeature::kMustTellHost}});
  g.settle(PageCount(1500));
  const auto region =
      g.vm().space().reserve(g.vm().cpu(), {.size = bytes_of(PageCount(900)), .commit = mm::MemCommit::kYes});
  ASSERT_FALSE(region.has_value());
  EXPECT_EQ(region.error(), Status::kCommitmentLimit);
  EXPECT_EQ(g.driver().held(), PageCount(1500));
  EXPECT_EQ(g.check(), "");
}

TEST(BalloonDriver, TellsWhatItsGuestHas) {
  BallooningGuest g;
  const VirtualAddress base = g.vm().commit(PageCount(100));
  g.vm().fill(base, PageCount(100));
  g.settle(PageCount(500));
  g.pass(1_s);
  EXPECT_EQ(g.device().statistic(BalloonTag::kTotal), bytes_of(BallooningGuest::kMemory - PageCount(500)).value());
  EXPECT_EQ(g.device().statistic(BalloonTag::kAvailable), bytes_of(g.manager().available()).value());
  const mm::FrameCounts frames = g.manager().frame_counts();
  EXPECT_EQ(g.device().statistic(BalloonTag::kFree), bytes_of(frames.free + frames.zeroed).value());
  EXPECT_GE(g.device().statistic(BalloonTag::kMinorFaults), 100U);
  EXPECT_EQ(g.device().statistic(BalloonTag::kMajorFaults), 0U);
  EXPECT_FALSE(g.device().statistic(BalloonTag::kCaches).has_value());
  EXPECT_FALSE(g.device().statistic(BalloonTag::kOomKill).has_value());
  EXPECT_LT(g.vm().cpu().now() - *g.device().statistics_time(), 1_s + 1_ms);
}

// --- Free page reporting ---

TEST_P(BalloonDrivers, TellTheHostOfFreeBlocks) {
  BallooningGuest g({.settings = {.report_reserve = PageCount(32)}, .mmu = GetParam()});
  const VirtualAddress base = g.vm().commit(PageCount(1200));
  g.vm().fill(base, PageCount(1200));
  const auto in_host = [&] { return BallooningGuest::kMemory - g.vm().partition().memory().census().nothing; };
  const PageCount before = in_host();
  ASSERT_TRUE(g.vm().space().release(g.vm().cpu(), base, ByteCount(0)));
  g.pass(10_s);
  // reference/virtualization.md section 9, row 15: 95 % of what was freed.
  EXPECT_GT((before - in_host()).value(), 1200 * 95 / 100 - 64);
  EXPECT_EQ(g.driver().counts().reported, g.vm().partition().counts().reported_pages);
  EXPECT_EQ(g.check(), "");
  const std::uint64_t reported = g.driver().counts().reported;
  g.pass(10_s);
  EXPECT_EQ(g.driver().counts().reported, reported) << "once";
  // Zeroed frames they were, and are.
  const VirtualAddress again = g.vm().commit(PageCount(1200));
  for (std::uint64_t i = 0; i < 1200; ++i) ASSERT_EQ(g.vm().get(again, i), 0U);
  g.vm().fill(again, PageCount(1200));
  EXPECT_EQ(g.vm().differences(again, PageCount(1200)), 0U);
  EXPECT_EQ(g.check(), "");
}

TEST(BalloonDriver, DoesNotReportWhereTheHostDoesNotAsk) {
  BallooningGuest g({.settings = {.report_reserve = PageCount(32)}, .offered = {BalloonFeature::kStatistics}});
  const VirtualAddress base = g.vm().commit(PageCount(1200));
  g.vm().fill(base, PageCount(1200));
  ASSERT_TRUE(g.vm().space().release(g.vm().cpu(), base, ByteCount(0)));
  g.pass(10_s);
  EXPECT_EQ(g.vm().partition().counts().reported_pages, 0U);
}

// --- What goes wrong with balloons (reference/virtualization.md 4.3, "Failure modes") ---

TEST(BalloonDriver, MayLoadLate) {
  BallooningGuest g({.settings = {.loads = (Time{} + 20_s)}});
  g.settle(PageCount(400), 19_s);
  EXPECT_FALSE(g.device().actual().has_value()) << "no driver: nothing is known";
  EXPECT_EQ(g.device().held(), 0_pages);
  g.pass(3_s);
  EXPECT_EQ(g.device().held(), PageCount(400));
  EXPECT_EQ(g.device().actual(), PageCount(400));
}

TEST(BalloonDriver, MayTakeAPartOnly) {
  BallooningGuest g({.settings = {.most = PageCount(250)}});
  g.settle(PageCount(1000), 30_s);
  EXPECT_EQ(g.device().held(), PageCount(250));
  EXPECT_EQ(g.device().actual(), PageCount(250));
  g.settle(PageCount(100));
  EXPECT_EQ(g.device().held(), PageCount(100));
}

TEST(BalloonDriver, MayStickAndGoOnTalking) {
  BallooningGuest g({.settings = {.sticks = (Time{} + 10_s)}, .paging_file = false});
  g.settle(PageCount(500), 10_s);
  ASSERT_EQ(g.device().held(), PageCount(500));
  g.settle(PageCount(100), 10_s);
  EXPECT_EQ(g.device().held(), PageCount(500));
  EXPECT_GT(g.device().statistics_time(), (Time{} + 18_s)) << "its statistics are as fresh as ever";
  // Nor does it give way.
  EXPECT_FALSE(
      g.vm().space().reserve(g.vm().cpu(), {.size = bytes_of(PageCount(1700)), .commit = mm::MemCommit::kYes}));
  EXPECT_EQ(g.device().held(), PageCount(500));
  EXPECT_EQ(g.check(), "");
}

TEST(BalloonDriver, MayDieInTheMiddleOfAnything) {
  BallooningGuest g({.settings = {.pages_per_second = PageCount(512), .dies = (Time{} + 2_s)}, .paging_file = false});
  g.settle(PageCount(1500), 10_s);
  const PageCount held = g.device().held();
  EXPECT_GT(held, 0_pages);
  EXPECT_LT(held, PageCount(1500));
  EXPECT_EQ(g.driver().due(g.vm().cpu().now()), kNever);
  EXPECT_LT(*g.device().statistics_time(), (Time{} + 2_s)) << "what is known of it grows old";
  g.settle(0_pages, 10_s);
  EXPECT_EQ(g.device().held(), held) << "the host keeps what it has";
  EXPECT_FALSE(
      g.vm().space().reserve(g.vm().cpu(), {.size = bytes_of(PageCount(1700)), .commit = mm::MemCommit::kYes}));
  EXPECT_EQ(g.check(), "");
}

TEST_P(BalloonDrivers, MayTouchWhatTheyGaveAway) {
  BallooningGuest g({.settings = {.conduct = Settings::Conduct::kTouches}, .mmu = GetParam()});
  g.settle(PageCount(600), 4_s);
  g.pass(1_s);
  EXPECT_EQ(g.device().actual(), PageCount(600)) << "so it says";
  EXPECT_EQ(g.device().held(), 0_pages) << "so it is";
  EXPECT_EQ(g.vm().partition().counts().popped_pages, 600U);
  EXPECT_EQ(g.check(), "");
  g.settle(0_pages);
  EXPECT_EQ(g.device().actual(), 0_pages);
  EXPECT_EQ(g.check(), "");
}

TEST(BalloonDriver, BeginsAnewWhenTheGuestRestarts) {
  BallooningGuest g;
  g.settle(PageCount(400));
  ASSERT_EQ(g.device().held(), PageCount(400));
  g.device().reset();
  EXPECT_EQ(g.device().held(), 0_pages);
  // The old driver, if one is left, finds that nobody knows it.
  g.settle(PageCount(500));
  EXPECT_EQ(g.driver().due(g.vm().cpu().now()), kNever);
  EXPECT_EQ(g.device().held(), 0_pages);
  g.restart_driver({});
  g.settle(PageCount(500));
  EXPECT_EQ(g.device().held(), PageCount(500));
  EXPECT_EQ(g.check(), "");
}

}  // namespace
}  // namespace pagoda::guest
