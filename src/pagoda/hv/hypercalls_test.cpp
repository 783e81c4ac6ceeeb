#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "pagoda/hv/testing/raw_guest.h"
#include "pagoda/hv/testing/test_vm.h"

namespace pagoda::hv::testing {
namespace {

using machine::FrameRange;
using machine::HeatHint;
using machine::Hypercalls;

// Guest frames above what the guest's manager has used.
constexpr std::uint32_t kFirst = 256;

class Hints : public ::testing::TestWithParam<MmuKind> {
 protected:
  explicit Hints(Backing backing = Backing::kVirtual)
      : vm_(host_, {.partition = {.memory = pages_of(4_MiB), .mmu = GetParam(), .backing = backing, .disks = {{}}}}) {}

  Hypercalls& calls() { return *vm_.partition().machine().hypercalls(); }
  Status hint(HeatHint kind, std::vector<FrameRange> ranges) {
    const auto result = calls().heat_hint(vm_.cpu(), kind, ranges);
    return result ? Status::kSuccess : result.error();
  }
  // Writes the frame's number plus one into each.
  void write(FrameRange frames) {
    for (Pfn frame = frames.first; frame < frames.first + frames.count; ++frame)
      vm_.cpu().physical().store<std::uint64_t>(PhysicalAddress(frame), frame.value() + 1);
  }
  std::uint64_t read(Pfn frame) { return vm_.cpu().physical().load<std::uint64_t>(PhysicalAddress(frame)); }
  PageCount working_set() { return vm_.partition().vmmem().statistics().working_set; }

  TestHost host_;
  TestVm vm_;
};
INSTANTIATE_TEST_SUITE_P(Kinds, Hints, ::testing::ValuesIn(kAllMmus));

constexpr FrameRange kSome{Pfn(kFirst), PageCount(40)};

TEST_P(Hints, ColdPagesLeaveTheWorkingSetAndKeepTheirContents) {
  write(kSome);
  const PageCount before = working_set();
  EXPECT_EQ(hint(HeatHint::kCold, {kSome}), Status::kSuccess);
  EXPECT_EQ(working_set() + kSome.count, before);
  for (Pfn frame = kSome.first; frame < kSome.first + kSome.count; ++frame)
    EXPECT_EQ(vm_.partition().slat().entry(to_gfn(frame)), 0U);
  EXPECT_EQ(vm_.check(), "");
  EXPECT_EQ(read(kSome.first + PageCount(7)), kFirst + 8);
  EXPECT_EQ(vm_.partition().counts().cold_pages, kSome.count.value());
}

TEST_P(Hints, HotPagesAreResidentAndMapped) {
  write(kSome);
  EXPECT_EQ(hint(HeatHint::kCold, {kSome}), Status::kSuccess);
  EXPECT_EQ(hint(HeatHint::kHot, {kSome}), Status::kSuccess);
  const std::uint64_t violations = vm_.partition().counts().violations;
  for (Pfn frame = kSome.first; frame < kSome.first + kSome.count; ++frame) EXPECT_EQ(read(frame), frame.value() + 1);
  EXPECT_EQ(vm_.partition().counts().violations, violations);
  EXPECT_EQ(vm_.check(), "");
}

TEST_P(Hints, DiscardedPagesCostNothingAndReadAsZero) {
  write(kSome);
  const PageCount before = host_.manager().frame_counts().active;
  EXPECT_EQ(hint(HeatHint::kColdDiscard, {kSome}), Status::kSuccess);
  EXPECT_EQ(host_.manager().frame_counts().active + kSome.count, before);
  EXPECT_EQ(vm_.check(), "");
  for (Pfn frame = kSome.first; frame < kSome.first + kSome.count; ++frame) EXPECT_EQ(read(frame), 0U);
}

TEST_P(Hints, ManyRangesInOneCall) {
  std::vector<FrameRange> ranges;
  for (std::uint32_t i = 0; i < Hypercalls::kMostRanges; ++i) ranges.push_back({Pfn(kFirst + i), PageCount(1)});
  write({Pfn(kFirst), PageCount(Hypercalls::kMostRanges)});
  const std::uint64_t exits = vm_.partition().counts().exits;
  EXPECT_EQ(hint(HeatHint::kCold, ranges), Status::kSuccess);
  EXPECT_EQ(vm_.partition().counts().exits, exits + 1);
  EXPECT_EQ(vm_.partition().counts().cold_pages, Hypercalls::kMostRanges);
  EXPECT_EQ(vm_.check(), "");
}

TEST_P(Hints, MistakesChangeNothing) {
  const std::uint32_t end = static_cast<std::uint32_t>(vm_.partition().machine().frame_count().value());
  const std::vector<std::pair<const char*, std::vector<FrameRange>>> rows{
      {"no range", {}},
      {"too many", std::vector<FrameRange>(Hypercalls::kMostRanges + 1, kSome)},
      {"an empty one", {kSome, {Pfn(kFirst), PageCount(0)}}},
      {"one past the end", {kSome, {Pfn(end - 1), PageCount(2)}}},
      {"one outside", {kSome, {Pfn(end), PageCount(1)}}},
      {"one that wraps", {kSome, {Pfn(5), PageCount(~std::uint64_t{0})}}},
      {"one at the last frame that can be named", {kSome, {Pfn(0xFFFFFFFE), PageCount(1)}}},
  };
  write(kSome);
  for (const HeatHint kind : {HeatHint::kCold, HeatHint::kHot, HeatHint::kColdDiscard}) {
    for (const auto& [what, ranges] : rows) EXPECT_EQ(hint(kind, ranges), Status::kInvalidParameter) << what;
  }
  for (Pfn frame = kSome.first; frame < kSome.first + kSome.count; ++frame) EXPECT_EQ(read(frame), frame.value() + 1);
  EXPECT_EQ(vm_.partition().counts().discarded_pages, 0U);
}

// A discard changes a frame's contents without a write: what shadow tables derived from it goes too, at every level, and
// what the guest discards by its balloon is no other.
TEST(Hypercalls, ADiscardedPageTableIsEmptyToShadowPagingToo) {
  enum class By : std::uint8_t { kHint, kBalloon, kReport };
  for (const By by : {By::kHint, By::kBalloon, By::kReport}) {
    for (unsigned level = 1; level <= 4; ++level) {
      TestHost host;
      RawGuest guest(host, {.memory = pages_of(4_MiB), .balloon = machine::BalloonFeatures::all()});
      const Gfn root = guest.new_root();
      const VirtualAddress va(0x40000);
      const Gfn page = guest.page(root, va, 77);
      guest.load_root(root, machine::Asid{1});
      EXPECT_EQ(guest.value(va), 77U);
      const PfnRange table{to_guest_pfn(guest.table(root, va, level)), 1_pages};
      BalloonDevice& balloon = *guest.partition().machine().balloon();
      ASSERT_TRUE(balloon.start(guest.cpu(), machine::BalloonFeatures::all(), 0));
      switch (by) {
        case By::kHint:
          ASSERT_TRUE(guest.partition().machine().hypercalls()->heat_hint(guest.cpu(), HeatHint::kColdDiscard,
                                                                          std::span(&table, 1)));
          break;
        case By::kBalloon:
          ASSERT_TRUE(balloon.inflate(guest.cpu(), std::span(&table.first, 1)));
          break;
        case By::kReport:
          ASSERT_TRUE(balloon.report_free(guest.cpu(), std::span(&table, 1)));
          break;
      }
      EXPECT_EQ(guest.check(), "") << "level " << level;
      guest.cpu().invalidate_page(va, machine::Asid{1});  // Until then its TLB may know the page.
      EXPECT_FALSE(guest.read(va)) << "level " << level;
      // The page itself is where it was.
      guest.map(root, va, page);
      EXPECT_EQ(guest.value(va), 77U) << "level " << level;
      EXPECT_EQ(guest.check(), "") << "level " << level;
    }
  }
}

TEST(Hypercalls, ASwitchedOffHintIsNotSupported) {
  TestHost host;
  TestVm vm(host, {.partition = {.memory = pages_of(2_MiB),
                                 .fault_cluster = PageCount(32),
                                 .cold_hints = false,
                                 .hot_hints = false,
                                 .cold_discard_hints = false,
                                 .disks = {{}}}});
  Hypercalls& calls = *vm.partition().machine().hypercalls();
  const auto capabilities = calls.query_capabilities(vm.cpu());
  EXPECT_FALSE(capabilities.cold_hint || capabilities.hot_hint || capabilities.cold_discard_hint);
  EXPECT_TRUE(capabilities.memory_report);
  EXPECT_EQ(capabilities.reporting_granule, PageCount(32));
  for (const HeatHint kind : {HeatHint::kCold, HeatHint::kHot, HeatHint::kColdDiscard})
    EXPECT_EQ(calls.heat_hint(vm.cpu(), kind, std::array{kSome}).error(), Status::kNotSupported);
}

TEST(Hypercalls, ReportsArrive) {
  TestHost host;
  TestVm vm(host);
  ASSERT_TRUE(vm.partition().machine().hypercalls()->report_memory(
      vm.cpu(), {.available = PageCount(7), .committed = PageCount(8), .commit_limit = PageCount(9)}));
  EXPECT_EQ(vm.partition().machine().last_report().available, PageCount(7));
  EXPECT_EQ(vm.partition().machine().last_report().commit_limit, PageCount(9));
}

TEST(Hypercalls, PinnedMemoryStaysWhatever) {
  TestHost host({.frames = PageCount(4096)});
  TestVm vm(host, {.partition = {.memory = pages_of(4_MiB), .backing = Backing::kPinned, .disks = {{}}}});
  const VirtualAddress base = vm.commit(PageCount(20));
  vm.fill(base, PageCount(20));
  Hypercalls& calls = *vm.partition().machine().hypercalls();
  const FrameRange all{Pfn(0), vm.partition().machine().frame_count()};
  for (const HeatHint kind : {HeatHint::kCold, HeatHint::kHot, HeatHint::kColdDiscard})
    EXPECT_TRUE(calls.heat_hint(vm.cpu(), kind, std::span(&all, 1)).has_value());
  EXPECT_EQ(vm.differences(base, PageCount(20)), 0U);
  EXPECT_EQ(vm.check(), "");
}

TEST(Hypercalls, DeferredMemoryIsChargedByItsFirstTouchAndGivenBackByADiscard) {
  TestHost host;
  TestVm vm(
      host,
      {.partition = {
           .memory = pages_of(4_MiB), .backing = Backing::kDeferred, .fault_cluster = PageCount(1), .disks = {{}}}});
  const PageCount before = host.manager().commit().charged;
  EXPECT_LT(before, pages_of(4_MiB));
  for (std::uint32_t i = 0; i < 100; ++i) vm.cpu().physical().store<std::uint64_t>(PhysicalAddress(Pfn(kFirst + i)), 1);
  EXPECT_EQ(host.manager().commit().charged, before + PageCount(100));
  const FrameRange half{Pfn(kFirst), PageCount(50)};
  ASSERT_TRUE(vm.partition().machine().hypercalls()->heat_hint(vm.cpu(), HeatHint::kColdDiscard, std::span(&half, 1)));
  EXPECT_EQ(host.manager().commit().charged, before + PageCount(50));
  EXPECT_EQ(vm.cpu().physical().load<std::uint64_t>(PhysicalAddress(Pfn(kFirst))), 0U);
  EXPECT_EQ(vm.check(), "");
}

}  // namespace
}  // namespace pagoda::hv::testing
