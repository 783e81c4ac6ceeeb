#include "pagoda/mm/pfn/hinted_frames.h"

#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;
using Hinted = HintedFrames::Hinted;

constexpr PageCount kGranule{8};
constexpr PageCount kReserve{16};
constexpr std::size_t kMany = 1000;

PageCount total(std::span<const PfnRange> ranges) {
  PageCount all;
  for (const PfnRange& range : ranges) all += range.count;
  return all;
}

class HintedFramesTest : public ::testing::Test {
 protected:
  // 128 frames are used, and on the zeroed list.
  HintedFramesTest() {
    const VirtualAddress base = t_.commit(PageCount(128));
    t_.fill(base, PageCount(128));
    PAGODA_CHECK(t_.space().release(t_.cpu(), base, 0_B).has_value());
    while (t_.count(PageState::kFree) > 0_pages) t_.manager().zero_page_thread().run(t_.cpu());
  }
  // Hints all granules behind the first `reserve` frames; how many frames that is.
  PageCount hint_back(PageCount reserve) {
    const auto ranges = hinted_.set_aside(reserve, kMany);
    hinted_.put_back(ranges, Hinted::kYes);
    return total(ranges);
  }

  TestMachine t_{{.frames = PageCount(256)}};
  HintedFrames hinted_ = t_.manager().watch_hinted_frames(kGranule);
};

TEST_F(HintedFramesTest, WhatIsSetAsideCannotBeTaken) {
  const PageCount available = t_.available();
  const auto ranges = hinted_.set_aside(kReserve, kMany);
  ASSERT_GT(total(ranges), PageCount(64));
  EXPECT_EQ(t_.available(), available - total(ranges));
  EXPECT_EQ(hinted_.count(), 0_pages);
  for (const PfnRange& range : ranges) {
    EXPECT_EQ(range.first.value() % kGranule.value(), 0U);
    EXPECT_EQ(range.count.value() % kGranule.value(), 0U);
  }
  hinted_.put_back(ranges, Hinted::kYes);
  EXPECT_EQ(t_.available(), available);
  EXPECT_EQ(hinted_.count(), total(ranges));
  EXPECT_TRUE(hinted_.contains(ranges.front().first));
  EXPECT_EQ(t_.check(), "");
}

TEST_F(HintedFramesTest, HintedGranulesAreNotNamedAgain) {
  const auto refused = hinted_.set_aside(kReserve, kMany);
  hinted_.put_back(refused, Hinted::kNo);
  EXPECT_EQ(hinted_.count(), 0_pages);
  EXPECT_EQ(hint_back(kReserve), total(refused));
  EXPECT_TRUE(hinted_.set_aside(kReserve, kMany).empty());
}

TEST_F(HintedFramesTest, NoMoreRangesThanAskedFor) {
  const auto one = hinted_.set_aside(0_pages, 1);
  EXPECT_EQ(one.size(), 1U);
  hinted_.put_back(one, Hinted::kYes);
  EXPECT_EQ(hinted_.unmark_next(PageCount(256), 1).size(), 1U);
}

// What the lists say, frame by frame.
std::vector<PfnRange> back_by_the_lists(TestMachine& t, PageCount reserve, PageCount granule) {
  std::vector<PfnRange> back;
  const PfnDatabase& pfns = t.core().pfns;
  const LockGuard guard(pfns.lock);
  std::vector<bool> in_back(pfns.frames().value());
  PageCount place;
  for (Pfn frame(pfns.lists().head(PageState::kZeroed).flink); frame != kNoPfn; frame = Pfn(pfns.entry(frame).flink)) {
    in_back[frame.value()] = place >= reserve;
    ++place;
  }
  for (std::uint32_t first = 0; first + granule.value() <= in_back.size();
       first += static_cast<std::uint32_t>(granule.value())) {
    const auto begin = in_back.begin() + first;
    if (!std::all_of(begin, begin + static_cast<std::ptrdiff_t>(granule.value()), [](bool is) { return is; })) continue;
    if (!back.empty() && back.back().end() == Pfn(first)) {
      back.back().count += granule;
    } else {
      back.push_back({Pfn(first), granule});
    }
  }
  return back;
}

// More of both than is looked at with the lock held once; and every third frame is in use.
TEST(HintedFramesOfAll, AreThoseOfAllPartsThatAreLookedAt) {
  constexpr std::uint64_t kPages = 9000;
  for (const PageCount granule : {PageCount(1), PageCount(4), PageCount(64)}) {
    TestMachine t({.frames = PageCount(10'000),
                   .limits = mm::WorkingSet::Limits{.minimum = PageCount(16), .maximum = PageCount(10'000)}});
    HintedFrames hinted = t.manager().watch_hinted_frames(granule);
    const VirtualAddress base = t.commit(PageCount(kPages));
    t.fill(base, PageCount(kPages));
    for (std::uint64_t page = 0; page < kPages; page += 100)
      ASSERT_TRUE(t.space().decommit(t.cpu(), TestMachine::page(base, page), bytes_of(PageCount(67 + page % 30))));
    while (t.count(PageState::kFree) > 0_pages) t.manager().zero_page_thread().run(t.cpu());
    for (const PageCount reserve : {0_pages, PageCount(500), PageCount(3000), PageCount(9000)}) {
      const auto expected = back_by_the_lists(t, reserve, granule);
      const auto ranges = hinted.set_aside(reserve, kMany);
      EXPECT_EQ(ranges, expected) << granule.value() << " " << reserve.value();
      hinted.put_back(ranges, Hinted::kNo);
    }
    EXPECT_EQ(t.check(), "");
  }
}

TEST_F(HintedFramesTest, UseUnmarks) {
  const PageCount before = hint_back(0_pages);
  const VirtualAddress base = t_.commit(PageCount(150));
  t_.fill(base, PageCount(150));
  EXPECT_LT(hinted_.count(), before);
  for (std::uint64_t i = 0; i < 150; ++i) EXPECT_FALSE(hinted_.contains(t_.frame(t_.page(base, i))));
}

TEST_F(HintedFramesTest, UnmarksWhatIsNext) {
  const PageCount before = hint_back(0_pages);
  EXPECT_EQ(total(hinted_.unmark_next(0_pages, kMany)), 0_pages);
  const auto some = hinted_.unmark_next(PageCount(64), kMany);
  EXPECT_EQ(hinted_.count(), before - total(some));
  EXPECT_FALSE(hinted_.is_next());
  EXPECT_EQ(total(some) + total(hinted_.unmark_next(PageCount(256), kMany)), before);
  EXPECT_EQ(hinted_.count(), 0_pages);
}

}  // namespace
}  // namespace pagoda::mm
