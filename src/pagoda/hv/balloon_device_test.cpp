#include "pagoda/hv/balloon_device.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/hv/testing/raw_guest.h"
#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::hv::testing {
namespace {

using machine::balloon_statistic;
using machine::BalloonFeature;
using machine::BalloonFeatures;
using machine::BalloonStatistic;
using machine::BalloonTag;

// Guest frames above what the guest's manager has used.
constexpr std::uint32_t kFirst = 256;

std::vector<Pfn> frames_from(std::uint32_t first, std::uint32_t count) {
  std::vector<Pfn> frames;
  for (std::uint32_t i = 0; i < count; ++i) frames.emplace_back(first + i);
  return frames;
}

struct Kind {
  MmuKind mmu = MmuKind::kNested;
  Backing backing = Backing::kVirtual;
  std::uint64_t cluster = 16;
};

class BalloonOf {
 public:
  explicit BalloonOf(const Kind& kind, BalloonFeatures offered = BalloonFeatures::all(),
                     PageCount host_frames = PageCount(4096))
      : host_({.frames = host_frames}),
        vm_(host_, {.partition = {.memory = pages_of(4_MiB),
                                  .mmu = kind.mmu,
                                  .backing = kind.backing,
                                  .fault_cluster = PageCount(kind.cluster),
                                  .balloon = offered,
                                  .disks = {{}}}}) {}

  [[nodiscard]] TestHost& host() { return host_; }
  [[nodiscard]] TestVm& vm() { return vm_; }
  [[nodiscard]] BalloonDevice& device() { return *vm_.partition().machine().balloon(); }
  // The same as the guest has it.
  [[nodiscard]] machine::Balloon& driver() { return device(); }
  [[nodiscard]] const PartitionCounts& counts() { return vm_.partition().counts(); }
  void start(BalloonFeatures features = BalloonFeatures::all(), std::uint32_t poison = 0) {
    PAGODA_CHECK(driver().start(vm_.cpu(), features, poison).has_value());
  }
  Status inflate(const std::vector<Pfn>& frames) { return status(driver().inflate(vm_.cpu(), frames)); }
  Status deflate(const std::vector<Pfn>& frames) { return status(driver().deflate(vm_.cpu(), frames)); }
  Status report(const std::vector<PfnRange>& blocks) { return status(driver().report_free(vm_.cpu(), blocks)); }
  Status tell(const std::vector<BalloonStatistic>& statistics) {
    return status(driver().report_statistics(vm_.cpu(), statistics));
  }
  // Writes the frame's number plus one into each.
  void write(const std::vector<Pfn>& frames) {
    for (const Pfn frame : frames) vm_.cpu().physical().store<std::uint64_t>(PhysicalAddress(frame), frame.value() + 1);
  }
  std::uint64_t read(Pfn frame) { return vm_.cpu().physical().load<std::uint64_t>(PhysicalAddress(frame)); }
  [[nodiscard]] PageCount resident() { return vm_.partition().memory().census().active; }
  [[nodiscard]] PageCount somewhere() {
    return vm_.partition().config().memory - vm_.partition().memory().census().nothing;
  }
  [[nodiscard]] std::string check() { return vm_.check(); }

 private:
  static Status status(const Result<>& result) { return result ? Status::kSuccess : result.error(); }

  TestHost host_;
  TestVm vm_;
};

class BalloonDeviceTest : public ::testing::TestWithParam<Kind> {
 protected:
  BalloonOf b_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Kinds, BalloonDeviceTest,
                         ::testing::Values(Kind{}, Kind{.mmu = MmuKind::kShadow}, Kind{.mmu = MmuKind::kParavirtual},
                                           Kind{.cluster = 1}, Kind{.backing = Backing::kDeferred},
                                           Kind{.mmu = MmuKind::kShadow, .backing = Backing::kDeferred}));

TEST_P(BalloonDeviceTest, AFrameInTheBalloonLosesItsHostPageAtOnce) {
  b_.start();
  const std::vector<Pfn> frames = frames_from(kFirst, 200);
  b_.write(frames);
  const PageCount before = b_.somewhere();
  const PageCount active = b_.host().manager().frame_counts().active;
  EXPECT_EQ(b_.inflate(frames), Status::kSuccess);
  EXPECT_EQ(b_.device().held(), PageCount(200));
  EXPECT_EQ(b_.somewhere() + PageCount(200), before);
  EXPECT_LE(b_.host().manager().frame_counts().active + PageCount(200), active);
  EXPECT_EQ(b_.counts().inflated_pages, 200U);
  EXPECT_EQ(b_.check(), "");
}

TEST_P(BalloonDeviceTest, WhereverThePageIs) {
  b_.start();
  const std::vector<Pfn> frames = frames_from(kFirst, 100);
  b_.write(frames);
  b_.vm().partition().vmmem().empty_working_set(b_.host().cpu());
  ASSERT_TRUE(b_.host().manager().flush_modified(b_.host().cpu()));
  b_.host().reuse_standby();
  const auto used = [&] { return b_.host().manager().paging_files().front().used; };
  const PageCount before = used();
  EXPECT_EQ(b_.inflate(frames), Status::kSuccess);
  EXPECT_EQ(used() + PageCount(100), before) << "its slot too";
  EXPECT_EQ(b_.check(), "");
}

// reference/virtualization.md 1.3, "Popping".
TEST_P(BalloonDeviceTest, ATouchGetsAZeroedPageAndIsCounted) {
  b_.start();
  const std::vector<Pfn> frames = frames_from(kFirst, 64);
  b_.write(frames);
  EXPECT_EQ(b_.inflate(frames), Status::kSuccess);
  EXPECT_EQ(b_.read(frames[5]), 0U);
  EXPECT_EQ(b_.counts().popped_pages, 1U);
  EXPECT_EQ(b_.device().held(), PageCount(63)) << "no neighbour comes along";
  EXPECT_EQ(b_.check(), "");
  b_.write({frames[6], frames[7]});
  EXPECT_EQ(b_.read(frames[6]), frames[6].value() + 1);
  EXPECT_EQ(b_.counts().popped_pages, 3U);
  EXPECT_EQ(b_.device().held(), PageCount(61));
  EXPECT_EQ(b_.check(), "");
}

// Neither the neighbour of a frame that is touched, nor a write by a disk of the guest's, leaves the balloon behind.
TEST_P(BalloonDeviceTest, NeighboursOfATouchedFrameStayInTheBalloon) {
  b_.start();
  std::vector<Pfn> odd;
  for (std::uint32_t i = 1; i < 64; i += 2) odd.emplace_back(kFirst + i);
  EXPECT_EQ(b_.inflate(odd), Status::kSuccess);
  for (std::uint32_t i = 0; i < 64; i += 2) b_.write({Pfn(kFirst + i)});
  EXPECT_EQ(b_.device().held(), PageCount(32));
  EXPECT_EQ(b_.counts().popped_pages, 0U);
  EXPECT_EQ(b_.check(), "");
}

TEST_P(BalloonDeviceTest, WhatADiskReadsIntoIsTouched) {
  b_.start();
  auto file = *b_.vm().partition().machine().disks().front()->create("file");
  ASSERT_TRUE(file->resize(bytes_of(PageCount(4))));
  const std::vector<Pfn> frames = frames_from(kFirst, 4);
  EXPECT_EQ(b_.inflate(frames), Status::kSuccess);
  EXPECT_TRUE(file->read(b_.vm().cpu(), FileOffset(0), frames).status == Status::kSuccess);
  EXPECT_EQ(b_.device().held(), 0_pages);
  EXPECT_EQ(b_.counts().popped_pages, 4U);
  EXPECT_EQ(b_.check(), "");
}

TEST_P(BalloonDeviceTest, AHotHintIsATouch) {
  b_.start();
  const std::vector<Pfn> frames = frames_from(kFirst, 32);
  EXPECT_EQ(b_.inflate(frames), Status::kSuccess);
  const PfnRange half{Pfn(kFirst), PageCount(16)};
  ASSERT_TRUE(b_.vm().partition().machine().hypercalls()->heat_hint(b_.vm().cpu(), machine::HeatHint::kHot,
                                                                    std::span(&half, 1)));
  EXPECT_EQ(b_.device().held(), PageCount(16));
  EXPECT_EQ(b_.counts().popped_pages, 16U);
  EXPECT_EQ(b_.check(), "");
}

TEST_P(BalloonDeviceTest, DeflatedFramesAreTheGuestsAgain) {
  b_.start();
  const std::vector<Pfn> frames = frames_from(kFirst, 100);
  b_.write(frames);
  EXPECT_EQ(b_.inflate(frames), Status::kSuccess);
  EXPECT_EQ(b_.deflate(frames), Status::kSuccess);
  EXPECT_EQ(b_.device().held(), 0_pages);
  EXPECT_EQ(b_.counts().deflated_pages, 100U);
  b_.write(frames);
  for (const Pfn frame : frames) EXPECT_EQ(b_.read(frame), frame.value() + 1);
  EXPECT_EQ(b_.counts().popped_pages, 0U);
  EXPECT_EQ(b_.check(), "");
}

// Commit follows the partition's memory: what was promised for good stays promised, what a touch charged is given back.
TEST(BalloonDevice, ChargeIsAsThePartitionsMemoryHasIt) {
  for (const Backing backing : {Backing::kVirtual, Backing::kDeferred}) {
    BalloonOf b({.backing = backing, .cluster = 1});
    b.start();
    const std::vector<Pfn> frames = frames_from(kFirst, 100);
    b.write(frames);
    const PageCount before = b.host().manager().commit().charged;
    EXPECT_EQ(b.inflate(frames), Status::kSuccess);
    const PageCount given_back = backing == Backing::kDeferred ? PageCount(100) : 0_pages;
    EXPECT_EQ(b.host().manager().commit().charged + given_back, before);
    b.write(frames);
    EXPECT_EQ(b.host().manager().commit().charged, before);
    EXPECT_EQ(b.check(), "");
  }
}

TEST(BalloonDevice, FindsNothingToTakeInPinnedMemory) {
  BalloonOf b({.backing = Backing::kPinned});
  b.start();
  const std::vector<Pfn> frames = frames_from(kFirst, 50);
  b.write(frames);
  const PageCount before = b.somewhere();
  EXPECT_EQ(b.inflate(frames), Status::kSuccess);
  b.driver().set_actual(b.vm().cpu(), PageCount(50));
  EXPECT_EQ(b.device().actual(), PageCount(50)) << "so the driver says";
  EXPECT_EQ(b.device().held(), 0_pages) << "so it is";
  EXPECT_EQ(b.counts().balloon_useless, 50U);
  EXPECT_EQ(b.somewhere(), before);
  for (const Pfn frame : frames) EXPECT_EQ(b.read(frame), frame.value() + 1);
  EXPECT_EQ(b.check(), "");
}

// --- What the device offers, and what it knows ---

TEST(BalloonDevice, IsThereOnlyWhereItIsConfigured) {
  TestHost host;
  TestVm vm(host);
  EXPECT_EQ(vm.partition().machine().balloon(), nullptr);
}

// reference/overcommit-facts.md section 2.
TEST(BalloonDevice, HasVirtiosNumbers) {
  EXPECT_EQ(static_cast<int>(BalloonFeature::kMustTellHost), 0);
  EXPECT_EQ(static_cast<int>(BalloonFeature::kStatistics), 1);
  EXPECT_EQ(static_cast<int>(BalloonFeature::kDeflateOnOom), 2);
  EXPECT_EQ(static_cast<int>(BalloonFeature::kPagePoison), 4);
  EXPECT_EQ(static_cast<int>(BalloonFeature::kReporting), 5);
  EXPECT_EQ(static_cast<int>(BalloonTag::kFree), 4);
  EXPECT_EQ(static_cast<int>(BalloonTag::kTotal), 5);
  EXPECT_EQ(static_cast<int>(BalloonTag::kAvailable), 6);
  EXPECT_EQ(static_cast<int>(BalloonTag::kReclaimDirect), 15);
  EXPECT_EQ(machine::Balloon::kMostFrames, 256U);
}

TEST(BalloonDevice, KnowsNothingWithoutADriver) {
  BalloonOf b({});
  EXPECT_FALSE(b.device().has_driver());
  EXPECT_FALSE(b.device().actual().has_value()) << "unknown, not none";
  b.driver().set_actual(b.vm().cpu(), PageCount(7));
  EXPECT_FALSE(b.device().actual().has_value());
  EXPECT_EQ(b.inflate(frames_from(kFirst, 1)), Status::kNotSupported);
  EXPECT_EQ(b.deflate(frames_from(kFirst, 1)), Status::kNotSupported);
  EXPECT_EQ(b.report({{Pfn(kFirst), 1_pages}}), Status::kNotSupported);
  EXPECT_EQ(b.tell({balloon_statistic(BalloonTag::kFree, 1)}), Status::kNotSupported);
  EXPECT_FALSE(b.device().statistic(BalloonTag::kFree).has_value());
  EXPECT_FALSE(b.device().statistics_time().has_value());
  b.device().set_target(PageCount(100));
  EXPECT_EQ(b.driver().target(b.vm().cpu()), PageCount(100));
  EXPECT_FALSE(b.device().actual().has_value()) << "a target is no answer";
  b.start();
  EXPECT_EQ(b.device().actual(), 0_pages);
}

TEST(BalloonDevice, TakesOnlyFeaturesThatItOffers) {
  BalloonOf b({}, {BalloonFeature::kMustTellHost});
  EXPECT_EQ(b.driver().offered(b.vm().cpu()), BalloonFeatures{BalloonFeature::kMustTellHost});
  const auto started = b.driver().start(b.vm().cpu(), BalloonFeatures::all(), 0);
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error(), Status::kInvalidParameter);
  EXPECT_FALSE(b.device().has_driver());
  b.start({});
  EXPECT_EQ(b.report({{Pfn(kFirst), 1_pages}}), Status::kNotSupported);
  EXPECT_EQ(b.tell({}), Status::kNotSupported);
  EXPECT_EQ(b.inflate(frames_from(kFirst, 1)), Status::kSuccess);
}

TEST(BalloonDevice, ATargetAboveTheMemoryMeansAllOfIt) {
  BalloonOf b({});
  b.device().set_target(PageCount(~std::uint64_t{0}));
  EXPECT_EQ(b.device().target(), b.vm().partition().config().memory);
}

TEST(BalloonDevice, ARestartVoidsTheBalloon) {
  BalloonOf b({});
  b.start();
  b.device().set_target(PageCount(40));
  const std::vector<Pfn> frames = frames_from(kFirst, 40);
  EXPECT_EQ(b.inflate(frames), Status::kSuccess);
  b.driver().set_actual(b.vm().cpu(), PageCount(40));
  EXPECT_EQ(b.tell({balloon_statistic(BalloonTag::kFree, 4096)}), Status::kSuccess);
  b.device().reset();
  EXPECT_EQ(b.device().held(), 0_pages);
  EXPECT_FALSE(b.device().actual().has_value());
  EXPECT_FALSE(b.device().statistic(BalloonTag::kFree).has_value());
  EXPECT_EQ(b.device().target(), PageCount(40)) << "what the host wants does not depend on the guest";
  b.write(frames);
  EXPECT_EQ(b.counts().popped_pages, 0U) << "its memory is its own";
  EXPECT_EQ(b.counts().balloon_voided, 40U);
  EXPECT_EQ(b.check(), "");
  // A driver that starts again begins anew, without a restart too.
  b.start();
  EXPECT_EQ(b.inflate(frames), Status::kSuccess);
  b.start();
  EXPECT_EQ(b.device().held(), 0_pages);
  EXPECT_EQ(b.check(), "");
}

// --- Statistics ---

TEST(BalloonDevice, StatisticsThatWereNotGivenAreUnknown) {
  BalloonOf b({});
  b.start();
  EXPECT_EQ(b.tell({balloon_statistic(BalloonTag::kFree, 0), balloon_statistic(BalloonTag::kMajorFaults, 17)}),
            Status::kSuccess);
  EXPECT_EQ(b.device().statistic(BalloonTag::kFree), 0U) << "none free is a figure";
  EXPECT_EQ(b.device().statistic(BalloonTag::kMajorFaults), 17U);
  for (const BalloonTag tag : {BalloonTag::kTotal, BalloonTag::kAvailable, BalloonTag::kCaches, BalloonTag::kSwapIn})
    EXPECT_FALSE(b.device().statistic(tag).has_value());
  EXPECT_GT(*b.device().statistics_time(), Time{});
  EXPECT_LE(*b.device().statistics_time(), b.vm().cpu().now());
  // The next answer is a whole one again.
  EXPECT_EQ(b.tell({balloon_statistic(BalloonTag::kTotal, 4096)}), Status::kSuccess);
  EXPECT_FALSE(b.device().statistic(BalloonTag::kFree).has_value());
}

TEST(BalloonDevice, NonsenseIsAsGoodAsNothing) {
  BalloonOf b({});
  b.start();
  const std::uint64_t memory = bytes_of(b.vm().partition().config().memory).value();
  EXPECT_EQ(b.tell({balloon_statistic(BalloonTag::kFree, memory + 1), balloon_statistic(BalloonTag::kTotal, memory),
                    balloon_statistic(BalloonTag::kAvailable, ~std::uint64_t{0}),
                    balloon_statistic(BalloonTag::kSwapIn, ~std::uint64_t{0}), BalloonStatistic{16, 5},
                    BalloonStatistic{65535, 5}}),
            Status::kSuccess);
  EXPECT_FALSE(b.device().statistic(BalloonTag::kFree).has_value());
  EXPECT_EQ(b.device().statistic(BalloonTag::kTotal), memory);
  EXPECT_FALSE(b.device().statistic(BalloonTag::kAvailable).has_value());
  EXPECT_FALSE(b.device().statistic(BalloonTag::kSwapIn).has_value());
  EXPECT_EQ(b.tell(std::vector<BalloonStatistic>(machine::Balloon::kMostStatistics + 1)), Status::kInvalidParameter);
  EXPECT_EQ(b.device().statistic(BalloonTag::kTotal), memory) << "refused as a whole";
  EXPECT_EQ(
      b.tell({balloon_statistic(BalloonTag::kTotal, 1), balloon_statistic(BalloonTag::kTotal, ~std::uint64_t{0})}),
      Status::kSuccess);
  EXPECT_FALSE(b.device().statistic(BalloonTag::kTotal).has_value()) << "the last word counts";
}

// --- Free page reporting ---

TEST_P(BalloonDeviceTest, ReportedBlocksCostNothingAndReadAsZero) {
  b_.start();
  const std::vector<Pfn> frames = frames_from(kFirst, 128);
  b_.write(frames);
  const PageCount before = b_.somewhere();
  EXPECT_EQ(b_.report({{Pfn(kFirst), PageCount(64)}, {Pfn(kFirst + 64), PageCount(32)}}), Status::kSuccess);
  EXPECT_EQ(b_.somewhere() + PageCount(96), before);
  EXPECT_EQ(b_.counts().reported_pages, 96U);
  EXPECT_EQ(b_.device().held(), 0_pages);
  for (const Pfn frame : frames) EXPECT_EQ(b_.read(frame), frame.value() < kFirst + 96 ? 0 : frame.value() + 1);
  EXPECT_EQ(b_.counts().popped_pages, 0U);
  EXPECT_EQ(b_.check(), "");
}

TEST(BalloonDevice, FramesThatMustKeepAPatternAreNotTaken) {
  BalloonOf b({});
  const std::vector<Pfn> frames = frames_from(kFirst, 16);
  b.write(frames);
  b.start(BalloonFeatures::all(), 0xAAAAAAAA);
  EXPECT_EQ(b.report({{Pfn(kFirst), PageCount(16)}}), Status::kSuccess);
  EXPECT_EQ(b.counts().reported_pages, 0U);
  for (const Pfn frame : frames) EXPECT_EQ(b.read(frame), frame.value() + 1);
  // Without the feature the pattern is nobody's business.
  b.start({BalloonFeature::kReporting}, 0xAAAAAAAA);
  EXPECT_EQ(b.report({{Pfn(kFirst), PageCount(16)}}), Status::kSuccess);
  EXPECT_EQ(b.read(frames[3]), 0U);
  EXPECT_EQ(b.check(), "");
}

TEST(BalloonDevice, ReportsThatAreWrongDoNothing) {
  BalloonOf b({});
  b.start();
  const std::vector<Pfn> frames = frames_from(kFirst, 16);
  b.write(frames);
  const PfnRange good{Pfn(kFirst), PageCount(16)};
  const std::uint32_t end = static_cast<std::uint32_t>(b.vm().partition().machine().frame_count().value());
  const std::vector<std::pair<const char*, std::vector<PfnRange>>> rows{
      {"none", {}},
      {"too many", std::vector<PfnRange>(machine::Balloon::kMostBlocks + 1, good)},
      {"an empty one", {good, {Pfn(kFirst), 0_pages}}},
      {"one past the end", {good, {Pfn(end - 1), PageCount(2)}}},
      {"one that wraps", {good, {Pfn(5), PageCount(~std::uint64_t{0})}}},
  };
  for (const auto& [what, blocks] : rows) EXPECT_EQ(b.report(blocks), Status::kInvalidParameter) << what;
  for (const Pfn frame : frames) EXPECT_EQ(b.read(frame), frame.value() + 1);
  EXPECT_EQ(b.check(), "");
}

// --- A guest that does what it must not harms itself alone ---

TEST(BalloonDevice, RequestsHaveALimit) {
  BalloonOf b({});
  b.start();
  EXPECT_EQ(b.inflate({}), Status::kInvalidParameter);
  EXPECT_EQ(b.inflate(frames_from(kFirst, 257)), Status::kInvalidParameter);
  EXPECT_EQ(b.deflate(frames_from(kFirst, 257)), Status::kInvalidParameter);
  EXPECT_EQ(b.device().held(), 0_pages);
  EXPECT_EQ(b.inflate(frames_from(kFirst, 256)), Status::kSuccess);
  EXPECT_EQ(b.device().held(), PageCount(256));
  EXPECT_EQ(b.check(), "");
}

TEST(BalloonDevice, WrongFramesArePassedOver) {
  BalloonOf b({});
  b.start();
  const std::uint32_t end = static_cast<std::uint32_t>(b.vm().partition().machine().frame_count().value());
  EXPECT_EQ(b.inflate({Pfn(end), Pfn(kFirst), Pfn(0xFFFFFFFF), Pfn(kFirst), Pfn(kFirst + 1), Pfn(end - 1)}),
            Status::kSuccess);
  EXPECT_EQ(b.device().held(), PageCount(3)) << "two of the first, and the last frame that there is";
  EXPECT_EQ(b.counts().balloon_refused, 3U);
  EXPECT_EQ(b.inflate({Pfn(kFirst)}), Status::kSuccess);
  EXPECT_EQ(b.device().held(), PageCount(3)) << "twice is once";
  EXPECT_EQ(b.counts().balloon_refused, 4U);
  EXPECT_EQ(b.deflate({Pfn(kFirst + 9), Pfn(0xFFFFFFFF), Pfn(kFirst), Pfn(kFirst)}), Status::kSuccess);
  EXPECT_EQ(b.device().held(), PageCount(2));
  EXPECT_EQ(b.counts().balloon_refused, 7U);
  EXPECT_EQ(b.check(), "");
}

TEST(BalloonDevice, AFileOfTheHostsIsNoMemory) {
  TestHost host;
  auto* const section = *host.manager().sections().create(
      host.cpu(), {.kind = mm::SectionKind::kPagingFile, .size = 64_KiB, .protection = mm::Protection::kReadWrite});
  TestVm vm(host, {.partition = {.memory = pages_of(2_MiB),
                                 .balloon = BalloonFeatures::all(),
                                 .disks = {{}},
                                 .direct_maps = {{.name = "file", .section = section}}}});
  const Pfn file = vm.partition().machine().hypercalls()->direct_maps(vm.cpu()).front().frames.first;
  BalloonDevice& device = *vm.partition().machine().balloon();
  ASSERT_TRUE(device.start(vm.cpu(), BalloonFeatures::all(), 0));
  ASSERT_TRUE(device.inflate(vm.cpu(), std::array{file}));
  EXPECT_EQ(device.held(), 0_pages);
  EXPECT_EQ(vm.partition().counts().balloon_refused, 1U);
  EXPECT_EQ(vm.check(), "");
}

// Everything that it has: its page tables, what its processor is about to use, over and over. Another machine and the
// host notice nothing but their memory.
TEST(BalloonDevice, AFloodOfItsOwnMemoryHarmsTheGuestAlone) {
  for (const MmuKind mmu : {MmuKind::kShadow, MmuKind::kParavirtual}) {
    TestHost host({.frames = PageCount(4096)});
    TestVm other(host, {.partition = {.memory = pages_of(2_MiB), .mmu = mmu, .disks = {{}}}});
    const VirtualAddress base = other.commit(PageCount(64));
    other.fill(base, PageCount(64));
    RawGuest guest(host, {.memory = pages_of(4_MiB), .mmu = mmu, .balloon = BalloonFeatures::all()});
    const Gfn root = guest.new_root();
    for (std::uint32_t i = 0; i < 32; ++i) guest.page(root, VirtualAddress(0x10000 + i * kPageBytes), i + 1);
    guest.load_root(root, machine::Asid{1});
    BalloonDevice& device = *guest.partition().machine().balloon();
    ASSERT_TRUE(device.start(guest.cpu(), BalloonFeatures::all(), 0));
    Random random(7);
    for (int round = 0; round < 300; ++round) {
      std::vector<Pfn> frames;
      for (std::uint64_t i = 0; i < 1 + random.below(256); ++i)
        frames.emplace_back(static_cast<std::uint32_t>(random.below(pages_of(4_MiB).value() + 50)));
      if (random.below(3) == 0) {
        EXPECT_TRUE(device.deflate(guest.cpu(), frames));
      } else {
        EXPECT_TRUE(device.inflate(guest.cpu(), frames));
      }
      // Whatever it gets to see is its own affair.
      const VirtualAddress va(0x10000 + random.below(40) * kPageBytes);
      if (random.below(2) == 0) {
        guest.read(va);
      } else {
        guest.write(va);
      }
      if (round % 60 == 0) {
        EXPECT_EQ(to_string(check(guest.partition())), "") << round;
      }
    }
    EXPECT_EQ(other.differences(base, PageCount(64)), 0U);
    EXPECT_EQ(to_string(check(guest.partition())), "");
    EXPECT_EQ(other.check(), "");
  }
}

// A driver that inflates and touches: what the host has is what nobody touched, and nothing of others is in there.
TEST_P(BalloonDeviceTest, ALiarGetsZeros) {
  b_.start();
  const std::vector<Pfn> frames = frames_from(kFirst, 256);
  Random random(3);
  for (int round = 0; round < 20; ++round) {
    b_.write(frames);
    EXPECT_EQ(b_.inflate(frames), Status::kSuccess);
    std::uint64_t touched = 0;
    for (const Pfn frame : frames) {
      if (random.below(2) == 0) continue;
      EXPECT_EQ(b_.read(frame), 0U);
      ++touched;
    }
    EXPECT_EQ(b_.device().held(), PageCount(256 - touched));
    EXPECT_EQ(b_.check(), "");
    EXPECT_EQ(b_.deflate(frames), Status::kSuccess);
  }
}

}  // namespace
}  // namespace pagoda::hv::testing
