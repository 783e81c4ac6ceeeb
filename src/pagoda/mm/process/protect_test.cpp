// To protect a region as a whole changes what its VAD says of pages whose entry is zero: no page tables are made for
// them, and queries still tell how the region was made.
#include <gtest/gtest.h>

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::PteFormat;
using testing::TestMachine;

constexpr Protection kGuarded = with_modifier(Protection::kReadWrite, kProtectionGuard);

class ProtectWhole : public ::testing::TestWithParam<PteFormat> {
 protected:
  static constexpr PageCount kPages{40};

  ProtectWhole() : t_({.frames = PageCount(512), .paging = GetParam(), .processors = 2}) {}

  void protect(VirtualAddress base, Protection protection, Protection expected_before) {
    EXPECT_EQ(t_.space().protect(t_.cpu(), base, bytes_of(kPages), protection), expected_before);
    EXPECT_EQ(t_.check(), "");
  }
  RegionInfo query(VirtualAddress va) { return *t_.space().query(t_.cpu(), va); }
  VirtualAddress view_of(Section& section, Protection protection) {
    return VirtualAddress(t_.space().map_view(t_.cpu(), section, {.protection = protection})->first);
  }
  PageCount charge_of(VirtualAddress va) { return t_.space().allocation(va)->commit_charge; }
  PageCount page_tables() { return t_.manager().frame_counts().page_tables; }

  TestMachine t_;
};

INSTANTIATE_TEST_SUITE_P(AllModes, ProtectWhole, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(ProtectWhole, TouchedAndUntouchedPagesGetTheRights) {
  const VirtualAddress base = t_.commit(kPages);
  for (const std::uint64_t page : {2U, 3U, 20U}) t_.must_put(base, page, page);
  ASSERT_TRUE(t_.space().protect(t_.cpu(), TestMachine::page(base, 30), kPageSize, Protection::kNoAccess));
  protect(base, Protection::kReadOnly, Protection::kReadWrite);
  RegionInfo info = query(base);
  EXPECT_EQ(info.size, bytes_of(kPages));
  EXPECT_EQ(info.protection, Protection::kReadOnly);
  EXPECT_EQ(info.allocation_protection, Protection::kReadWrite);
  for (std::uint64_t page = 0; page < kPages.value(); ++page) {
    EXPECT_EQ(t_.put(base, page, 9), Status::kAccessViolation) << page;
    EXPECT_EQ(t_.get(base, page), page == 2 || page == 3 || page == 20 ? page : 0U) << page;
  }
  protect(base, Protection::kReadWrite, Protection::kReadOnly);
  for (std::uint64_t page = 0; page < kPages.value(); ++page) t_.must_put(base, page, 100 + page);
  t_.push_out();
  EXPECT_EQ(t_.check(), "");
  protect(base, Protection::kNoAccess, Protection::kReadWrite);
  EXPECT_EQ(t_.get(base, 5).error(), Status::kAccessViolation);
  protect(base, Protection::kReadWrite, Protection::kNoAccess);
  for (std::uint64_t page = 0; page < kPages.value(); ++page) EXPECT_EQ(t_.get(base, page), 100 + page);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(ProtectWhole, MakesNoPageTable) {
  const VirtualAddress base = t_.commit(kPages);
  const PageCount before = page_tables();
  protect(base, Protection::kReadOnly, Protection::kReadWrite);
  protect(base, Protection::kNoAccess, Protection::kReadOnly);
  EXPECT_EQ(page_tables(), before);
  EXPECT_EQ(query(base).state, MemoryState::kCommitted);
}

TEST_P(ProtectWhole, EveryPageOfAGuardedRegionRaisesOnce) {
  const VirtualAddress base = t_.commit(kPages);
  t_.must_put(base, 1, 1);
  protect(base, kGuarded, Protection::kReadWrite);
  for (std::uint64_t page = 0; page < 3; ++page) {
    EXPECT_EQ(t_.get(base, page).error(), Status::kGuardPageViolation);
    EXPECT_EQ(t_.get(base, page), page == 1 ? 1U : 0U);
  }
  EXPECT_EQ(query(base).protection, Protection::kReadWrite);
  EXPECT_EQ(query(TestMachine::page(base, 3)).protection, kGuarded);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(ProtectWhole, PartsAndChildrenKeepTheRights) {
  const VirtualAddress base = t_.commit(kPages);
  protect(base, Protection::kReadOnly, Protection::kReadWrite);
  ProcessSpace& child = **t_.manager().clone_space(t_.cpu(), t_.space());
  t_.manager().attach(t_.cpu(1), child);
  EXPECT_EQ(t_.put(base, 7, 1, 1), Status::kAccessViolation);
  EXPECT_EQ(child.query(t_.cpu(1), base)->allocation_protection, Protection::kReadWrite);
  ASSERT_TRUE(t_.space().release(t_.cpu(), TestMachine::page(base, 16), bytes_of(PageCount(8))));
  for (const std::uint64_t page : {0U, 24U}) {
    const RegionInfo info = query(TestMachine::page(base, page));
    EXPECT_EQ(info.protection, Protection::kReadOnly);
    EXPECT_EQ(info.allocation_protection, Protection::kReadWrite);
    EXPECT_EQ(info.size, bytes_of(PageCount(16)));
  }
  // Committed anew, a page takes the rights that it is given; a hole keeps none.
  ASSERT_TRUE(t_.space().decommit(t_.cpu(), TestMachine::page(base, 4), bytes_of(PageCount(2))));
  ASSERT_TRUE(t_.space().commit(t_.cpu(), TestMachine::page(base, 4), kPageSize, Protection::kReadWrite));
  t_.must_put(base, 4, 44);
  EXPECT_EQ(t_.put(base, 5, 1), Status::kAccessViolation);
  EXPECT_EQ(t_.get(base, 6), 0U);
  EXPECT_EQ(t_.check(), "");
  t_.manager().attach(t_.cpu(1), t_.space());
  t_.manager().destroy_space(t_.cpu(), child);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(ProtectWhole, AViewIsChargedForWhatItCopiesNow) {
  Section& section = **t_.manager().sections().create(t_.cpu(), {.size = bytes_of(kPages)});
  const VirtualAddress base = view_of(section, Protection::kReadWrite);
  const VirtualAddress other = view_of(section, Protection::kReadWrite);
  const PageCount before = t_.manager().commit().charged;
  t_.must_put(base, 1, 11);
  protect(base, Protection::kWriteCopy, Protection::kReadWrite);
  EXPECT_EQ(charge_of(base), kPages);
  EXPECT_EQ(t_.manager().commit().charged, before + kPages);
  EXPECT_EQ(query(base).allocation_protection, Protection::kReadWrite);
  t_.must_put(base, 1, 12);
  t_.must_put(base, 2, 22);
  EXPECT_EQ(t_.get(other, 1), 11U);
  EXPECT_EQ(t_.get(other, 2), 0U);
  // The copies stay, and are charged, and are the program's to write.
  protect(base, Protection::kReadWrite, Protection::kWriteCopy);
  EXPECT_EQ(charge_of(base), 2_pages);
  t_.must_put(base, 1, 13);
  t_.must_put(base, 3, 33);
  EXPECT_EQ(t_.get(other, 1), 11U);
  EXPECT_EQ(t_.get(other, 3), 33U);
  protect(base, Protection::kReadOnly, Protection::kReadWrite);
  EXPECT_EQ(t_.put(base, 1, 1), Status::kAccessViolation);
  EXPECT_EQ(t_.put(base, 9, 1), Status::kAccessViolation);
  t_.push_out();
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.get(base, 1), 13U);
  EXPECT_EQ(t_.get(base, 3), 33U);
  ASSERT_TRUE(t_.space().unmap_view(t_.cpu(), base));
  EXPECT_EQ(t_.manager().commit().charged, before);
  EXPECT_EQ(t_.check(), "");
}

// A view that was made to copy shows no write to others, whatever it is protected with in between.
TEST_P(ProtectWhole, AViewOfAWriteCopyKindStaysOne) {
  Section& section = **t_.manager().sections().create(t_.cpu(), {.size = bytes_of(kPages)});
  const VirtualAddress copies = view_of(section, Protection::kWriteCopy);
  const VirtualAddress shares = view_of(section, Protection::kReadWrite);
  const PageCount tables = page_tables();
  protect(copies, Protection::kReadOnly, Protection::kWriteCopy);
  EXPECT_EQ(charge_of(copies), 0_pages);
  EXPECT_EQ(t_.space().protect(t_.cpu(), copies, bytes_of(kPages), Protection::kReadWrite).error(),
            Status::kSectionProtection);
  protect(copies, Protection::kWriteCopy, Protection::kReadOnly);
  EXPECT_EQ(charge_of(copies), kPages);
  EXPECT_EQ(page_tables(), tables);
  t_.must_put(copies, 3, 3);
  EXPECT_EQ(t_.get(shares, 3), 0U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(ProtectWhole, WithoutCommitForItsCopiesAViewStaysAsItWas) {
  Section& section = **t_.manager().sections().create(t_.cpu(), {.size = bytes_of(kPages)});
  const VirtualAddress base = view_of(section, Protection::kReadWrite);
  const auto commit = t_.manager().commit();
  const VirtualAddress rest = t_.commit(commit.limit - commit.charged - kPages);  // Its page tables are charged too.
  EXPECT_EQ(t_.space().protect(t_.cpu(), base, bytes_of(kPages), Protection::kWriteCopy).error(),
            Status::kCommitmentLimit);
  EXPECT_EQ(query(base).protection, Protection::kReadWrite);
  EXPECT_EQ(charge_of(base), 0_pages);
  EXPECT_EQ(t_.check(), "");
  ASSERT_TRUE(t_.space().release(t_.cpu(), rest, 0_B));
  protect(base, Protection::kWriteCopy, Protection::kReadWrite);
}

}  // namespace
}  // namespace pagoda::mm
