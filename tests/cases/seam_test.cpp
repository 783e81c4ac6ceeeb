// What the memory manager asks of the processors: one interrupt for what was done in one call, none to processors that
// have left, and no page table reused before every processor forgot it.
#include <gtest/gtest.h>

#include <map>
#include <span>

#include "pagoda/mm/testing/test_machine.h"
#include "tests/support/growth.h"

namespace pagoda::mm::testing {
namespace {

using pagoda::testing::cost_of;
using pagoda::testing::does_not_grow;

// Two processors in one space; the second is interrupted.
class Seam : public ::testing::Test {
 protected:
  static constexpr unsigned kOther = 1;

  // Interrupts to the second processor during `body`.
  template <class Body>
  std::uint64_t interrupts(const Body& body) {
    const std::uint64_t before = t_.cpu(kOther).counts().shootdowns_received;
    body();
    return t_.cpu(kOther).counts().shootdowns_received - before;
  }

  TestMachine t_{{.frames = PageCount(1024), .processors = 2}};
};

TEST_F(Seam, AProtectOfManyPagesInterruptsOnce) {
  constexpr PageCount kPages{512};
  const VirtualAddress base = t_.commit(kPages);
  t_.fill(base, kPages);
  const std::uint64_t sent =
      interrupts([&] { ASSERT_TRUE(t_.space().protect(t_.cpu(), base, bytes_of(kPages), Protection::kReadOnly)); });
  EXPECT_LE(sent, 2U);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Seam, ADecommitOfManyPagesInterruptsOnce) {
  constexpr PageCount kPages{512};
  const VirtualAddress base = t_.commit(kPages);
  t_.fill(base, kPages);
  const std::uint64_t sent = interrupts([&] { ASSERT_TRUE(t_.space().decommit(t_.cpu(), base, bytes_of(kPages))); });
  EXPECT_LE(sent, 2U);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Seam, ATrimOfManyPagesInterruptsOnce) {
  constexpr PageCount kPages{32};
  const VirtualAddress base = t_.commit(kPages);
  t_.fill(base, kPages);
  const std::uint64_t sent = interrupts([&] { EXPECT_EQ(t_.space().empty_working_set(t_.cpu()), kPages); });
  EXPECT_LE(sent, 1U);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Seam, AProcessorThatLeftASpaceIsNotInterrupted) {
  t_.manager().attach(t_.cpu(kOther), t_.add_space());
  const VirtualAddress base = t_.commit(PageCount(1));
  t_.must_put(base, 0, 1);
  const std::uint64_t sent = interrupts([&] {
    for (std::uint64_t i = 0; i < 10; ++i) {
      ASSERT_TRUE(t_.space().protect(t_.cpu(), base, kPageSize, Protection::kReadOnly));
      ASSERT_TRUE(t_.space().protect(t_.cpu(), base, kPageSize, Protection::kReadWrite));
      t_.must_put(base, 0, i);
    }
  });
  EXPECT_EQ(sent, 0U);
  EXPECT_EQ(t_.check(), "");
}

// A real walker caches upper levels: it would follow an entry to a table whose frame is another's by now.
TEST_F(Seam, APageTablesFrameIsFreedAfterAShootDownThatFollowsItsUnlinking) {
  const VirtualAddress base = t_.commit(PageCount(16));
  t_.must_put(base, 0, 1);
  Pfn table = kNoPfn;
  PhysicalAddress step;  // The entry that names the table.
  {
    const LockGuard guard(t_.space().lock);
    table = t_.space().tables().find(t_.cpu(), base.vpn()).pfn();
    const machine::PagingMode& mode = t_.core().mode;
    Pfn upper = t_.space().root();
    for (unsigned level = mode.levels; level >= 2; --level) {
      step = mode.entry_address(upper, base, level);
      upper = mode.frame(machine::load_entry(t_.cpu().physical(), mode, step));
    }
    ASSERT_EQ(upper, table);
  }
  unsigned covering = 0;  // Shoot-downs while the table is unlinked and its frame is not free yet.
  t_.hooks().after_shoot_down = [&](const machine::CachedSpace&, std::span<const machine::StaleRun>) {
    const RawPte entry = machine::load_entry(t_.cpu().physical(), t_.core().mode, step);
    if (!PteCodec::is_valid(entry) && t_.core().pfns.entry(table).page_table) ++covering;
  };
  ASSERT_TRUE(t_.space().decommit(t_.cpu(), base, bytes_of(PageCount(16))));
  ASSERT_FALSE(t_.core().pfns.entry(table).page_table) << "the table was to be freed";
  EXPECT_GT(covering, 0U);
  EXPECT_EQ(t_.check(), "");
}

// A cache that is filled by frame cannot find a frame whose entry is gone.
TEST_F(Seam, AShootDownNamesTheSpaceAndTheFramesThatWereMapped) {
  constexpr PageCount kPages{40};
  const VirtualAddress base = t_.commit(kPages);
  t_.fill(base, kPages);
  std::map<Vpn, Pfn> expected;
  for (std::uint64_t i = 0; i < kPages.value(); ++i)
    expected[TestMachine::page(base, i).vpn()] = t_.frame(TestMachine::page(base, i));
  std::map<Vpn, Pfn> named;
  t_.hooks().after_shoot_down = [&](const machine::CachedSpace& space, std::span<const machine::StaleRun> runs) {
    EXPECT_EQ(space.root, t_.space().root());
    EXPECT_TRUE(space.loaded_on.contains(kOther));
    for (const machine::StaleRun& run : runs)
      for (PageCount i; i < run.pages.count; ++i) named[run.pages.first + i] = run.first + i;
  };
  ASSERT_TRUE(t_.space().protect(t_.cpu(), base, bytes_of(kPages), Protection::kReadOnly));
  EXPECT_EQ(named, expected);
  named.clear();
  static_cast<void>(t_.space().empty_working_set(t_.cpu()));
  EXPECT_EQ(named, expected);
  for (std::uint64_t i = 0; i < kPages.value(); ++i) static_cast<void>(t_.get(base, i));
  named.clear();
  ASSERT_TRUE(t_.space().decommit(t_.cpu(), base, bytes_of(kPages)));
  EXPECT_EQ(named, expected);
  EXPECT_EQ(t_.check(), "");
}

// --- Processors that come back ---

TEST_F(Seam, AProcessorThatComesBackKeepsWhatNobodyInvalidated) {
  ProcessSpace& other = t_.add_space();
  const VirtualAddress base = t_.commit(PageCount(1));
  t_.must_put(base, 0, 1);
  ASSERT_EQ(t_.get(base, 0, kOther), 1U);
  t_.manager().attach(t_.cpu(kOther), other);
  t_.manager().attach(t_.cpu(kOther), t_.space());
  const std::uint64_t misses = t_.cpu(kOther).counts().tlb_misses;
  EXPECT_EQ(t_.get(base, 0, kOther), 1U);
  EXPECT_EQ(t_.cpu(kOther).counts().tlb_misses, misses);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Seam, AProcessorThatComesBackForgetsWhatWasInvalidatedMeanwhile) {
  ProcessSpace& other = t_.add_space();
  const VirtualAddress base = t_.commit(PageCount(2));
  t_.fill(base, PageCount(2), 10);
  ASSERT_EQ(t_.get(base, 1, kOther), 11U);
  t_.manager().attach(t_.cpu(kOther), other);
  const std::uint64_t sent = interrupts([&] { t_.push_out(); });
  EXPECT_EQ(sent, 0U);
  EXPECT_EQ(t_.check(), "");  // What the processor still has is dead.
  t_.fill(base, PageCount(2), 20);
  t_.manager().attach(t_.cpu(kOther), t_.space());
  EXPECT_EQ(t_.get(base, 1, kOther), 21U);
  EXPECT_EQ(t_.check(), "");
}

// The next space gets the tag of the one that died.
TEST_F(Seam, ASpaceFindsNothingUnderATagThatWasAnothers) {
  constexpr VirtualAddress kBase{0x10000};
  const auto make = [&] {
    ProcessSpace& space = t_.add_space();
    PAGODA_CHECK(space.reserve({.base = kBase, .size = 64_KiB, .commit = MemCommit::kYes}).has_value());
    return &space;
  };
  ProcessSpace* const first = make();
  const machine::Asid tag = first->asid();
  t_.manager().attach(t_.cpu(kOther), *first);
  ASSERT_TRUE(t_.cpu(kOther).store<std::uint64_t>(kBase, 7));
  t_.manager().detach(t_.cpu(kOther));
  t_.manager().destroy_space(t_.cpu(), *first);
  EXPECT_EQ(t_.check(), "");
  ProcessSpace* const second = make();
  ASSERT_EQ(second->asid(), tag);
  t_.manager().attach(t_.cpu(kOther), *second);
  EXPECT_EQ(t_.cpu(kOther).load<std::uint64_t>(kBase), 0U);
  EXPECT_EQ(t_.check(), "");
}

// A tag of several spaces names none.
TEST(SeamUntagged, SpacesWithoutATagDoNotInterruptEachOthersProcessors) {
  TestMachine t({.frames = PageCount(16'384), .processors = 2});
  while (t.add_space().asid() != machine::kUntagged) {
  }
  ProcessSpace& one = t.add_space();
  ProcessSpace& two = t.add_space();
  t.manager().attach(t.cpu(0), one);
  t.manager().attach(t.cpu(1), two);
  const VirtualAddress base(one.reserve({.size = 64_KiB, .commit = MemCommit::kYes})->first);
  ASSERT_TRUE(t.cpu(0).store<std::uint64_t>(base, 7));
  const std::uint64_t before = t.cpu(1).counts().shootdowns_received;
  ASSERT_TRUE(one.release(t.cpu(0), base, ByteCount()));
  EXPECT_EQ(t.cpu(1).counts().shootdowns_received, before);
  EXPECT_EQ(t.check(), "");
}

// --- Costs ---

TEST_F(Seam, AResetOfManyPagesInterruptsOnce) {
  constexpr PageCount kPages{256};
  const VirtualAddress base = t_.commit(kPages);
  t_.fill(base, kPages);
  EXPECT_LE(interrupts([&] { ASSERT_TRUE(t_.space().reset(t_.cpu(), base, bytes_of(kPages))); }), 1U);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(Seam, AFullWorkingSetsReplacementInterruptsOnce) {
  constexpr PageCount kMost{32};
  ProcessSpace& space = t_.add_space(
      WorkingSet::Limits{.minimum = PageCount(8), .maximum = kMost, .kind = WorkingSet::Limits::Maximum::kHard});
  for (const unsigned number : {0U, kOther}) t_.manager().attach(t_.cpu(number), space);
  const VirtualAddress base(space.reserve({.size = 1_MiB, .commit = MemCommit::kYes})->first);
  t_.fill(base, kMost);
  // All pages are accessed, so that the clock passes all of them.
  EXPECT_EQ(interrupts([&] { t_.must_put(base, kMost.value(), 1); }), 1U);
  EXPECT_EQ(t_.check(), "");
}

// Leaving a space forgets no entry one by one.
TEST_F(Seam, LeavingASpaceCostsNothingHoweverLargeTheTlb) {
  const auto cost = [](machine::TlbGeometry tlb) {
    TestMachine t({.frames = PageCount(1024), .tlb = tlb});
    return cost_of(2000, [&] {
      for (int i = 0; i < 2000; ++i) {
        t.manager().detach(t.cpu());
        t.manager().attach(t.cpu(), t.space());
      }
    });
  };
  EXPECT_TRUE(does_not_grow([&] { return cost(machine::TlbGeometry::kRealistic); },
                            [&] { return cost(machine::TlbGeometry::kLarge); }));
}

}  // namespace
}  // namespace pagoda::mm::testing
