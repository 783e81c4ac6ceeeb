// What the memory manager asks of the processors: one interrupt for what was done in one call, none to processors that
// have left, and no page table reused before every processor forgot it.
#include <gtest/gtest.h>

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

TEST_F(Seam, DISABLED_AProtectOfManyPagesInterruptsOnce) {
  constexpr PageCount kPages{512};
  const VirtualAddress base = t_.commit(kPages);
  t_.fill(base, kPages);
  const std::uint64_t sent =
      interrupts([&] { ASSERT_TRUE(t_.space().protect(t_.cpu(), base, bytes_of(kPages), Protection::kReadOnly)); });
  EXPECT_LE(sent, 2U);
}

TEST_F(Seam, DISABLED_ADecommitOfManyPagesInterruptsOnce) {
  constexpr PageCount kPages{512};
  const VirtualAddress base = t_.commit(kPages);
  t_.fill(base, kPages);
  const std::uint64_t sent = interrupts([&] { ASSERT_TRUE(t_.space().decommit(t_.cpu(), base, bytes_of(kPages))); });
  EXPECT_LE(sent, 2U);
}

TEST_F(Seam, DISABLED_ATrimOfManyPagesInterruptsOnce) {
  constexpr PageCount kPages{32};
  const VirtualAddress base = t_.commit(kPages);
  t_.fill(base, kPages);
  const std::uint64_t sent = interrupts([&] { EXPECT_EQ(t_.space().empty_working_set(t_.cpu()), kPages); });
  EXPECT_LE(sent, 1U);
}

TEST_F(Seam, DISABLED_AProcessorThatLeftASpaceIsNotInterrupted) {
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
}

// A real walker caches upper levels: it would follow an entry to a table whose frame is another's by now.
TEST_F(Seam, DISABLED_APageTablesFrameIsFreedAfterAShootDownThatFollowsItsUnlinking) {
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
  t_.hooks().after_shoot_down = [&](VpnRange) {
    const RawPte entry = machine::load_entry(t_.cpu().physical(), t_.core().mode, step);
    if (!PteCodec::is_valid(entry) && t_.core().pfns.entry(table).page_table) ++covering;
  };
  ASSERT_TRUE(t_.space().decommit(t_.cpu(), base, bytes_of(PageCount(16))));
  ASSERT_FALSE(t_.core().pfns.entry(table).page_table) << "the table was to be freed";
  EXPECT_GT(covering, 0U);
}

// Leaving a space forgets no entry one by one.
TEST_F(Seam, DISABLED_LeavingASpaceCostsNothingHoweverLargeTheTlb) {
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
