#include "pagoda/mm/process/page_mover.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::PteFormat;
using testing::TestMachine;
using Outcome = PageMover::Outcome;

constexpr PageCount kPages{64};
// Frames below: the tables, and some of the pages.
constexpr Pfn kEnd{40};

class PageMovers : public ::testing::TestWithParam<PteFormat> {
 protected:
  PageMovers() : t({.frames = PageCount(256), .paging = GetParam()}), base(t.commit(kPages)) { t.fill(base, kPages); }

  Outcome move(VirtualAddress va, Pfn end = kEnd) {
    const LockGuard guard(t.space().lock);
    return PageMover(t.core()).move_below(t.space(), t.cpu(), va.vpn(), end);
  }
  Outcome make_room(Pfn end = kEnd) {
    const LockGuard guard(t.space().lock);
    return PageMover(t.core()).make_room_below(t.space(), t.cpu(), end);
  }
  // The last page, which lies high.
  VirtualAddress high() { return TestMachine::page(base, kPages.value() - 1); }
  // A page that lies below, which is given up so that its frame is available.
  void free_one_below() {
    for (std::uint64_t i = 0; i < kPages.value(); ++i) {
      const VirtualAddress va = TestMachine::page(base, i);
      if (t.frame(va) >= kEnd) continue;
      ASSERT_TRUE(t.space().decommit(t.cpu(), va, kPageSize));
      freed = i;
      return;
    }
    FAIL() << "no page lies below";
  }
  std::uint64_t differences() {
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < kPages.value(); ++i)
      if (i != freed && *t.get(base, i) != i + 1) ++wrong;
    return wrong;
  }
  // So many pages of the working set are old, and were not used since.
  void grow_old(std::uint64_t first, std::uint64_t count, unsigned age) {
    const LockGuard guard(t.space().lock);
    for (std::uint64_t i = first; i < first + count; ++i) {
      const Vpn page = TestMachine::page(base, i).vpn();
      const PhysicalAddress pte = t.space().tables().find(t.cpu(), page);
      const RawPte raw =
          machine::clear_entry_bits(t.cpu().physical(), t.core().mode, pte, machine::pte_bits::kAccessed);
      t.space().working_set().set_age(t.space().working_set_slot(page, raw), age);
    }
    t.cpu().invalidate_all();
  }

  TestMachine t;
  VirtualAddress base;
  std::uint64_t freed = ~std::uint64_t{0};
};

INSTANTIATE_TEST_SUITE_P(Modes, PageMovers, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64));

TEST_P(PageMovers, APageMovesBelowWithItsContentsAndItsPlace) {
  free_one_below();
  const Pfn before = t.frame(high());
  ASSERT_GE(before, kEnd);
  const PageCount resident = t.resident();
  const std::uint64_t faults = t.faults();
  EXPECT_EQ(move(high()), Outcome::kDone);
  EXPECT_LT(t.frame(high()), kEnd);
  EXPECT_EQ(t.core().pfns.entry(before).state, PageState::kFree);
  EXPECT_EQ(differences(), 0U);
  t.must_put(base, kPages.value() - 1, kPages.value());
  EXPECT_EQ(t.faults(), faults) << "it stayed mapped, with its rights";
  EXPECT_EQ(t.resident(), resident);
  EXPECT_EQ(t.check(), "");
}

TEST_P(PageMovers, ATlbDoesNotLeadToTheOldFrame) {
  free_one_below();
  EXPECT_EQ(*t.get(base, kPages.value() - 1), kPages.value());
  const Pfn before = t.frame(high());
  EXPECT_EQ(move(high()), Outcome::kDone);
  t.cpu().physical().store<std::uint64_t>(PhysicalAddress(before), 666);
  EXPECT_EQ(*t.get(base, kPages.value() - 1), kPages.value());
  EXPECT_EQ(t.check(), "");
}

TEST_P(PageMovers, AMovedPageIsWrittenBeforeItLeaves) {
  t.page_out();
  EXPECT_EQ(t.differences(base, kPages), 0U);  // Clean: the paging file has them.
  free_one_below();
  const PageCount slots = t.slots_used();
  EXPECT_EQ(move(high()), Outcome::kDone);
  EXPECT_EQ(t.slots_used() + 1_pages, slots) << "its frame holds the only copy";
  t.push_out();
  EXPECT_EQ(differences(), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(PageMovers, RightsStay) {
  ASSERT_TRUE(t.space().protect(t.cpu(), high(), kPageSize, Protection::kReadOnly));
  EXPECT_EQ(*t.get(base, kPages.value() - 1), kPages.value());
  free_one_below();
  EXPECT_EQ(move(high()), Outcome::kDone);
  EXPECT_EQ(t.put(base, kPages.value() - 1, 1), Status::kAccessViolation);
  EXPECT_EQ(differences(), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(PageMovers, WhatIsHeldOrSharedOrAwayStays) {
  free_one_below();
  const auto stays = [&](VirtualAddress va) {
    const Pfn before = t.frame(va);
    EXPECT_EQ(move(va), Outcome::kCannot);
    EXPECT_EQ(t.frame(va), before);
    EXPECT_EQ(t.check(), "");
  };
  ASSERT_TRUE(t.space().lock_pages(t.cpu(), high(), kPageSize, LockKind::kInWorkingSet));
  stays(high());
  ASSERT_TRUE(t.space().unlock_pages(t.cpu(), high(), kPageSize, LockKind::kInWorkingSet));
  stays(VirtualAddress(0x10));  // Nothing is there.
  ProcessSpace* const child = *t.manager().clone_space(t.cpu(), t.space());
  stays(high());
  t.manager().destroy_space(t.cpu(), *child);
  t.page_out();
  stays(high());
  t.must_touch(high());
  const Pfn pinned = t.frame(high());
  {
    const LockGuard guard(t.core().pfns.lock);
    t.core().pfns.pin(pinned);
  }
  const Pfn before = t.frame(high());
  EXPECT_EQ(move(high()), Outcome::kCannot);
  EXPECT_EQ(t.frame(high()), before);
  {
    const LockGuard guard(t.core().pfns.lock);
    t.core().pfns.unpin(pinned, PteCodec::Dirty::kNo);
  }
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(differences(), 0U);
}

TEST_P(PageMovers, WithoutAFrameBelowNothingMoves) {
  const Pfn before = t.frame(high());
  EXPECT_EQ(move(high()), Outcome::kNoFrame);
  EXPECT_EQ(t.frame(high()), before);
  EXPECT_EQ(differences(), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(PageMovers, TheColdestPageBelowMakesRoom) {
  EXPECT_EQ(make_room(Pfn(1)), Outcome::kCannot) << "no page is there";
  grow_old(0, kPages.value(), 1);
  grow_old(5, 1, 3);
  grow_old(60, 1, 3);  // Older than most, and not below.
  const VirtualAddress coldest = TestMachine::page(base, 5);
  ASSERT_LT(t.frame(coldest), kEnd);
  const Pfn before = t.frame(coldest);
  EXPECT_EQ(make_room(), Outcome::kDone);
  EXPECT_GE(t.frame(coldest), kEnd);
  EXPECT_EQ(move(high()), Outcome::kDone);
  EXPECT_EQ(t.frame(high()), before);
  EXPECT_EQ(differences(), 0U);
  EXPECT_EQ(t.check(), "");
}

// Moves among everything else that happens to pages, until nothing more is below, and back.
TEST_P(PageMovers, RandomMovesLoseNothing) {
  Random random(static_cast<std::uint64_t>(GetParam()) + 1);
  std::vector<std::uint64_t> expected;
  for (std::uint64_t i = 0; i < kPages.value(); ++i) expected.push_back(i + 1);
  std::uint64_t done = 0;
  for (int step = 0; step < 2000; ++step) {
    const std::uint64_t page = random.below(kPages.value());
    const auto end = Pfn(static_cast<std::uint32_t>(20 + random.below(120)));
    switch (random.below(6)) {
      case 0:
        t.must_put(base, page, expected[page] = random.next());
        break;
      case 1:
        ASSERT_EQ(*t.get(base, page), expected[page]) << "step " << step;
        break;
      case 2:
        if (random.below(30) == 0) t.page_out();
        break;
      case 3:
        if (PteCodec::is_valid(t.pte(TestMachine::page(base, page)))) grow_old(page, 1, 2);
        break;
      case 4:
        make_room(end);
        break;
      default:
        done += move(TestMachine::page(base, page), end) == Outcome::kDone ? 1 : 0;
    }
    if (step % 100 == 0) {
      ASSERT_EQ(t.check(), "") << "step " << step;
    }
  }
  EXPECT_GT(done, 100U);
  for (std::uint64_t i = 0; i < kPages.value(); ++i) EXPECT_EQ(*t.get(base, i), expected[i]);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
