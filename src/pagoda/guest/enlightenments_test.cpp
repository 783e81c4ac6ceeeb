#include "pagoda/guest/enlightenments.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>

#include "pagoda/base/random.h"
#include "pagoda/guest/testing/enlightened_machine.h"

namespace pagoda::guest {
namespace {

using machine::HeatHint;
using machine::Hypercalls;
using testing::EnlightenedMachine;
using testing::RecordingHypervisor;
using FrameState = RecordingHypervisor::FrameState;

TEST(Enlightenments, AreNoneWithoutAHypervisorThatListens) {
  mm::testing::TestMachine bare;
  EXPECT_EQ(Enlightenments::create(bare.manager(), bare.cpu(), {}), nullptr);
  RecordingHypervisor deaf({});
  mm::testing::TestMachine guest({.hypercalls = &deaf});
  EXPECT_EQ(Enlightenments::create(guest.manager(), guest.cpu(), {}), nullptr);
}

TEST(Enlightenments, SettingsScaleWithMemory) {
  for (const PageCount frames : {PageCount(64), pages_of(64_MiB), pages_of(4_GiB)}) {
    const EnlightenmentSettings settings = EnlightenmentSettings::for_memory(frames);
    EXPECT_LE(settings.hot_window, settings.reserve);
    EXPECT_LT(settings.reserve, frames);
  }
  EXPECT_EQ(EnlightenmentSettings::for_memory(pages_of(4_GiB)).reserve, EnlightenmentSettings{}.reserve);
}

TEST(Enlightenments, DiscardTheBackOfTheZeroedList) {
  EnlightenedMachine m;
  m.make_zeroed(PageCount(300));
  const std::vector<Pfn> before = m.zeroed_list();
  ASSERT_GE(before.size(), 250U);
  m.run_due();
  const std::uint64_t discarded = m.hypervisor.pages(HeatHint::kColdDiscard);
  EXPECT_EQ(m.hypervisor.pages(HeatHint::kCold), 0U);
  EXPECT_GT(discarded, before.size() - 64 - 3 * 8) << "all but the reserve and parts of granules at its borders";
  EXPECT_EQ(m.guest->counts().discarded, discarded);
  EXPECT_EQ(m.guest->hinted(), PageCount(discarded));
  EXPECT_EQ(m.hypervisor.count(FrameState::kDiscarded), discarded);
  // The reserve is where it was; hinted frames are at the tail.
  const std::vector<Pfn> after = m.zeroed_list();
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(after[i], before[i]);
    EXPECT_FALSE(m.guest->is_hinted(after[i]));
  }
  for (std::size_t i = after.size() - discarded; i < after.size(); ++i) EXPECT_TRUE(m.guest->is_hinted(after[i]));
  EXPECT_EQ(m.check(), "");
  // Nothing new: nothing to say.
  const std::size_t calls = m.hypervisor.calls().size();
  m.after(10_s);
  EXPECT_EQ(m.hypervisor.calls().size(), calls);
}

TEST(Enlightenments, AShortListIsKept) {
  EnlightenedMachine m;
  m.make_zeroed(PageCount(60));
  m.after(2_s);
  EXPECT_TRUE(m.hypervisor.calls().empty());
  EXPECT_EQ(m.guest->hinted(), 0_pages);
  m.make_zeroed(PageCount(200));
  m.after(2_s);
  EXPECT_EQ(m.hypervisor.calls().size(), 1U);
  EXPECT_EQ(m.check(), "");
}

TEST(Enlightenments, HintWithoutDiscardWhereTheHostTakesNone) {
  EnlightenedMachine m({.capabilities = {.cold_hint = true, .reporting_granule = 4_pages}});
  m.make_zeroed(PageCount(200));
  m.after(1_s);
  EXPECT_GT(m.hypervisor.pages(HeatHint::kCold), 100U);
  EXPECT_EQ(m.hypervisor.pages(HeatHint::kColdDiscard), 0U);
  EXPECT_EQ(m.guest->counts().cold, m.hypervisor.pages(HeatHint::kCold));
  EXPECT_TRUE(m.hypervisor.reports().empty());
  m.t.fill(m.t.commit(PageCount(250)), PageCount(250));
  m.after(1_s);
  EXPECT_EQ(m.hypervisor.pages(HeatHint::kHot), 0U);
  EXPECT_EQ(m.check(), "");
}

TEST(Enlightenments, PartsOfGranulesWaitForTheirNeighbours) {
  EnlightenedMachine m;
  const VirtualAddress base = m.t.commit(PageCount(320));
  m.t.fill(base, PageCount(320));
  for (std::uint64_t i = 0; i < 320; ++i) {
    if (i % 4 == 0) continue;
    ASSERT_TRUE(m.t.space().decommit(m.t.cpu(), m.t.page(base, i), kPageSize));
  }
  m.zero_free_pages();
  m.after(1_s);
  EXPECT_TRUE(m.hypervisor.calls().empty());
  for (std::uint64_t i = 0; i < 320; i += 4) ASSERT_TRUE(m.t.space().decommit(m.t.cpu(), m.t.page(base, i), kPageSize));
  m.zero_free_pages();
  m.after(1_s);
  EXPECT_EQ(m.hypervisor.calls().size(), 1U);
  EXPECT_EQ(m.check(), "");
}

TEST(Enlightenments, PagesThatWillBeTakenNextAreHotHinted) {
  EnlightenedMachine m;
  m.make_zeroed(PageCount(300));
  m.run_due();
  const std::vector<Pfn> list = m.zeroed_list();
  std::size_t first_hinted = 0;
  while (!m.guest->is_hinted(list[first_hinted])) ++first_hinted;
  // Until the first of them is at the head, nothing is due before the next look.
  const VirtualAddress base = m.t.commit(PageCount(300));
  std::uint64_t used = 0;
  while (m.zeroed_list().front() != list[first_hinted]) {
    EXPECT_GT(m.guest->due(m.t.cpu().now()), m.t.cpu().now());
    m.t.must_put(base, used, used + 1);
    ++used;
  }
  EXPECT_LE(m.guest->due(m.t.cpu().now()), m.t.cpu().now());
  const PageCount hinted = m.guest->hinted();
  m.run_due();
  ASSERT_EQ(m.hypervisor.pages(HeatHint::kHot), 16U);
  EXPECT_EQ(m.guest->counts().hot, 16U);
  EXPECT_EQ(m.guest->hinted(), hinted - PageCount(16));
  const std::vector<Pfn> now = m.zeroed_list();
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(m.hypervisor.state(now[i]), FrameState::kOrdinary);
  EXPECT_EQ(m.hypervisor.state(now[16]), FrameState::kDiscarded);
  EXPECT_EQ(m.check(), "");
  for (; used < 250; ++used) m.t.must_put(base, used, used + 1);
  EXPECT_EQ(m.t.differences(base, PageCount(250)), 0U);
  EXPECT_EQ(m.check(), "");
}

TEST(Enlightenments, AFrameThatIsUsedIsNoLongerHinted) {
  EnlightenedMachine m;
  m.make_zeroed(PageCount(300));
  m.run_due();
  const std::vector<Pfn> list = m.zeroed_list();
  ASSERT_TRUE(m.guest->is_hinted(list.back()));
  const VirtualAddress base = m.t.commit(PageCount(320));
  m.t.fill(base, PageCount(320));
  EXPECT_FALSE(m.guest->is_hinted(list.back()));
  EXPECT_EQ(m.check(), "");
  // Used, freed and zeroed again, it is hinted again.
  ASSERT_TRUE(m.t.space().release(m.t.cpu(), base, ByteCount(0)));
  m.zero_free_pages();
  m.after(1_s);
  EXPECT_TRUE(m.guest->is_hinted(m.zeroed_list().back()));
  EXPECT_EQ(m.check(), "");
}

TEST(Enlightenments, AHintedFrameThatWasNotUsedIsHotHintedOnTheFreeList) {
  EnlightenedMachine m;
  m.make_zeroed(PageCount(300));
  m.run_due();
  Pfn frame = kNoPfn;
  {
    mm::PfnDatabase& pfns = m.t.core().pfns;
    const LockGuard guard(pfns.lock);
    std::vector<Pfn> taken;
    while (frame == kNoPfn || m.hypervisor.state(frame) != FrameState::kDiscarded) {
      if (frame != kNoPfn) taken.push_back(frame);
      frame = pfns.take(m.t.cpu(), mm::Contents::kZeroed)->frame;
    }
    pfns.give_back(frame, mm::Contents::kAny);
    for (const Pfn other : taken) pfns.give_back(other, mm::Contents::kZeroed);
  }
  EXPECT_TRUE(m.guest->is_hinted(frame));
  m.run_due();
  EXPECT_FALSE(m.guest->is_hinted(frame));
  EXPECT_EQ(m.hypervisor.state(frame), FrameState::kOrdinary);
  EXPECT_EQ(m.check(), "");
}

TEST(Enlightenments, ACallTakesOnlySoManyRanges) {
  EnlightenedMachine m({.frames = PageCount(4096), .capabilities = {.cold_discard_hint = true}});
  m.make_zeroed(PageCount(2600), 2);  // Every second frame stays in use.
  const std::size_t listed = m.zeroed_list().size();
  m.guest->run(m.t.cpu());
  ASSERT_EQ(m.hypervisor.calls().size(), 1U);
  EXPECT_EQ(m.hypervisor.calls()[0].ranges.size(), Hypercalls::kMostRanges);
  EXPECT_LE(m.guest->due(m.t.cpu().now()), m.t.cpu().now()) << "there is more";
  m.run_due();
  EXPECT_EQ(m.hypervisor.calls().size(), 3U);
  EXPECT_EQ(m.guest->hinted(), PageCount(listed - 64));
  EXPECT_EQ(m.check(), "");
}

TEST(Enlightenments, ARefusedHintChangesNothing) {
  EnlightenedMachine m;
  m.make_zeroed(PageCount(300));
  const std::size_t listed = m.zeroed_list().size();
  const PageCount available = m.t.available();
  m.hypervisor.refuse(Status::kNotSupported);
  m.run_due();
  EXPECT_EQ(m.guest->counts().refused, 1U);
  EXPECT_EQ(m.guest->hinted(), 0_pages);
  EXPECT_EQ(m.zeroed_list().size(), listed);
  EXPECT_EQ(m.t.available(), available);
  EXPECT_EQ(m.check(), "");
  m.hypervisor.refuse(Status::kSuccess);
  m.after(1_s);
  EXPECT_GT(m.guest->hinted(), PageCount(200));
  EXPECT_EQ(m.check(), "");
}

TEST(Enlightenments, ReportMemoryNowAndThen) {
  EnlightenedMachine m;
  m.run_due();
  ASSERT_EQ(m.hypervisor.reports().size(), 1U);
  const VirtualAddress base = m.t.commit(PageCount(50));
  m.t.fill(base, PageCount(50));
  m.after(1_s);
  ASSERT_EQ(m.hypervisor.reports().size(), 2U);
  const Hypercalls::MemoryReport& first = m.hypervisor.reports()[0];
  const Hypercalls::MemoryReport& second = m.hypervisor.reports()[1];
  EXPECT_GE(first.available, second.available + PageCount(50));
  EXPECT_GE(second.committed, first.committed + PageCount(50));
  EXPECT_EQ(second.available, m.t.available());
  EXPECT_EQ(second.commit_limit, m.t.manager().commit().limit);
  m.after(500_ms);
  EXPECT_EQ(m.guest->counts().reports, 2U);
}

TEST(Enlightenments, OneThatEndsLeavesThePlainGuestBehind) {
  EnlightenedMachine m;
  m.make_zeroed(PageCount(300));
  m.run_due();
  m.guest.reset();
  const VirtualAddress base = m.t.commit(PageCount(320));
  m.t.fill(base, PageCount(320));
  EXPECT_EQ(m.t.differences(base, PageCount(320)), 0U);
  EXPECT_EQ(m.t.check(), "");
}

// A guest that does what guests do, while everything it says is taken at its word: what it discarded was never in use.
class RandomGuest : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  static constexpr std::uint64_t kPages = 96;
  struct Region {
    VirtualAddress base;
    std::array<std::uint64_t, kPages> words{};
  };

  // The calls that were made.
  static std::vector<RecordingHypervisor::Call> run(std::uint64_t seed) {
    EnlightenedMachine m({.paging = GetParam(),
                          .capabilities = {.hot_hint = true, .cold_discard_hint = true, .reporting_granule = 4_pages},
                          .settings = {.reserve = PageCount(32), .hot_window = PageCount(16)}});
    m.t.space().set_limits(m.t.cpu(), {.minimum = PageCount(20), .maximum = PageCount(400)}).value();
    Random random(seed);
    std::vector<Region> regions;
    for (int step = 0; step < 6000; ++step) {
      switch (random.below(12)) {
        case 0:
          if (regions.size() < 6) regions.push_back({m.t.commit(PageCount(kPages)), {}});
          break;
        case 1:
          if (!regions.empty() && random.below(2) == 0) {
            const auto at = regions.begin() + static_cast<std::ptrdiff_t>(random.below(regions.size()));
            EXPECT_TRUE(m.t.space().release(m.t.cpu(), at->base, ByteCount(0)));
            regions.erase(at);
          }
          break;
        case 2:
          m.t.manager().zero_page_thread().run(m.t.cpu());
          break;
        case 3:
          m.t.cpu().advance_to(m.t.cpu().now() + Duration(random.below(300'000'000)));
          m.guest->run(m.t.cpu());
          break;
        case 4:
          if (random.below(20) == 0) m.t.page_out();
          break;
        case 5:
          m.run_due();
          break;
        default: {
          if (regions.empty()) break;
          Region& region = regions[random.below(regions.size())];
          for (int i = 0; i < 8; ++i) {
            const std::uint64_t page = random.below(kPages);
            if (random.below(2) == 0) {
              region.words[page] = random.next();
              m.t.must_put(region.base, page, region.words[page]);
            } else {
              EXPECT_EQ(*m.t.get(region.base, page), region.words[page]);
            }
          }
        }
      }
      if (step % 500 != 0) continue;
      EXPECT_EQ(m.check(), "") << "step " << step;
    }
    for (const Region& region : regions)
      for (std::uint64_t page = 0; page < kPages; ++page) EXPECT_EQ(*m.t.get(region.base, page), region.words[page]);
    EXPECT_EQ(m.check(), "");
    EXPECT_GT(m.hypervisor.pages(HeatHint::kColdDiscard), 200U);
    EXPECT_GT(m.hypervisor.pages(HeatHint::kHot), 0U);
    return m.hypervisor.calls();
  }
};

INSTANTIATE_TEST_SUITE_P(AllModes, RandomGuest,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<machine::PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(RandomGuest, NeverDiscardsWhatItUses) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) run(seed);
}

TEST_P(RandomGuest, SaysTheSameTwice) {
  const auto first = run(5);
  const auto second = run(5);
  ASSERT_EQ(first.size(), second.size());
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].hint, second[i].hint);
    ASSERT_EQ(first[i].ranges.size(), second[i].ranges.size());
    for (std::size_t j = 0; j < first[i].ranges.size(); ++j) {
      EXPECT_EQ(first[i].ranges[j].first, second[i].ranges[j].first);
      EXPECT_EQ(first[i].ranges[j].count, second[i].ranges[j].count);
    }
  }
}

}  // namespace
}  // namespace pagoda::guest
