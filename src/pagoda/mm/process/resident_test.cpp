// Resident available: what each thing that must stay in memory is charged, that a refusal changes nothing, and what is
// left for everybody else.
#include "pagoda/mm/backing/resident.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "pagoda/mm/region/large_pages.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using machine::PteFormat;
using testing::TestMachine;
using enum LockKind;

Status status_of(const auto& result) { return result ? Status::kSuccess : result.error(); }

class Resident : public ::testing::TestWithParam<PteFormat> {
 protected:
  explicit Resident(PageCount frames = PageCount(4096))
      : t({.frames = frames,
           .paging = GetParam(),
           .processors = 2,
           .paging_files = {{.name = "pagefile.sys", .disk = 0, .minimum = 16_MiB, .maximum = 16_MiB}},
           .limits = WorkingSet::Limits{.minimum = PageCount(1000), .maximum = PageCount(2000)}}) {}

  [[nodiscard]] PageCount charged() { return t.core().resident.charged(); }
  [[nodiscard]] PageCount committed() { return t.manager().commit().charged; }
  // Those that can leave memory, on the way to a page.
  [[nodiscard]] std::uint64_t tables() const { return GetParam() == PteFormat::kAmd64 ? 3 : 1; }
  // The same for a large page.
  [[nodiscard]] std::uint64_t large_tables() const { return GetParam() == PteFormat::kAmd64 ? 2 : 0; }
  [[nodiscard]] ByteCount large() { return large_page_size(t.core().mode); }
  // Pages so far apart that each has a page table of its own.
  [[nodiscard]] PageCount stride() { return PageCount(t.core().mode.entries(1)); }
  Status lock(VirtualAddress va, PageCount count = 1_pages, LockKind kind = kInWorkingSet) {
    return status_of(t.space().lock_pages(t.cpu(), va, bytes_of(count), kind));
  }
  Status unlock(VirtualAddress va, PageCount count = 1_pages, LockKind kind = kInWorkingSet) {
    return status_of(t.space().unlock_pages(t.cpu(), va, bytes_of(count), kind));
  }
  // Does something while only so much may become resident, because others have the rest.
  template <class Body>
  void with_only(std::uint64_t pages, const Body& body) {
    const PageCount rest = t.core().resident.available() - PageCount(pages);
    ASSERT_TRUE(t.core().resident.charge(rest));
    body();
    t.core().resident.give_back(rest);
  }
  VirtualAddress map(Section& section, const ViewRequest& request = {}) {
    return VirtualAddress(t.space().map_view(t.cpu(), section, request)->first);
  }

  TestMachine t;
};

INSTANTIATE_TEST_SUITE_P(AllModes, Resident, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(Resident, TheLimitIsWhatTheMachineHasWithoutTheReserve) {
  EXPECT_EQ(t.manager().resident().limit, PageCount(4096) - t.core().tunables.commit_reserve - kFaultReserve);
  EXPECT_EQ(t.manager().resident().charged, t.core().tables_that_stay());
}

TEST_P(Resident, ASpaceIsChargedTheTablesThatNeverLeave) {
  const PageCount before = charged();
  const PageCount commit = committed();
  ProcessSpace& other = t.add_space();
  EXPECT_EQ(charged(), before + PageCount(GetParam() == PteFormat::kPae ? 5 : 1));
  t.manager().destroy_space(t.cpu(), other);
  EXPECT_EQ(charged(), before);
  with_only(0, [&] {
    EXPECT_EQ(status_of(t.manager().create_space(t.cpu(), {})), Status::kInsufficientResources);
    EXPECT_EQ(status_of(t.manager().clone_space(t.cpu(), t.space())), Status::kInsufficientResources);
  });
  EXPECT_EQ(committed(), commit);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Resident, ALockedPageIsChargedOnceWithTheTablesThatLeadToIt) {
  const VirtualAddress base = t.commit(PageCount(8));
  t.fill(base, PageCount(8));
  const PageCount before = charged();
  ASSERT_EQ(lock(base), Status::kSuccess);
  EXPECT_EQ(charged(), before + PageCount(1 + tables()));
  ASSERT_EQ(lock(base, 1_pages, kInMemory), Status::kSuccess);
  EXPECT_EQ(charged(), before + PageCount(1 + tables())) << "however often it is locked";
  ASSERT_EQ(lock(base + kPageSize, PageCount(3)), Status::kSuccess);
  EXPECT_EQ(charged(), before + PageCount(4 + tables())) << "the same tables";
  EXPECT_EQ(t.check(), "");
  ASSERT_EQ(unlock(base), Status::kSuccess);
  EXPECT_EQ(charged(), before + PageCount(4 + tables())) << "still locked in memory";
  ASSERT_EQ(unlock(base, 1_pages, kInMemory), Status::kSuccess);
  ASSERT_EQ(unlock(base + kPageSize, PageCount(3)), Status::kSuccess);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Resident, EveryPageTableThatALockKeepsIsCharged) {
  const VirtualAddress base = t.commit(stride() * 4);
  const PageCount before = charged();
  for (std::uint64_t i = 0; i < 4; ++i)
    ASSERT_EQ(lock(TestMachine::page(base, i * stride().value())), Status::kSuccess);
  EXPECT_GE(charged(), before + PageCount(4 + 4 + tables() - 1));
  EXPECT_EQ(t.check(), "");
  for (std::uint64_t i = 0; i < 4; ++i)
    ASSERT_EQ(unlock(TestMachine::page(base, i * stride().value())), Status::kSuccess);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Resident, PagesThatEndLockedGiveTheirChargeBack) {
  const PageCount before = charged();
  const VirtualAddress base = t.commit(PageCount(16));
  ASSERT_EQ(lock(base, PageCount(16)), Status::kSuccess);
  ASSERT_TRUE(t.space().protect(t.cpu(), base, kPageSize, Protection::kNoAccess));
  EXPECT_EQ(charged(), before + PageCount(15 + tables())) << "it leaves the working set";
  ASSERT_TRUE(t.space().decommit(t.cpu(), base + kPageSize, kPageSize));
  EXPECT_EQ(charged(), before + PageCount(14 + tables()));
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().release(t.cpu(), base, 0_B));
  EXPECT_EQ(charged(), before);
  ProcessSpace& other = t.add_space(WorkingSet::Limits{.minimum = PageCount(50), .maximum = PageCount(100)});
  const auto theirs = other.reserve({.size = 64_KiB, .commit = MemCommit::kYes});
  t.manager().attach(t.cpu(1), other);
  ASSERT_TRUE(other.lock_pages(t.cpu(1), VirtualAddress(theirs->first), 64_KiB, kInMemory));
  t.manager().detach(t.cpu(1));
  t.manager().destroy_space(t.cpu(), other);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Resident, ALockThatDoesNotFitLocksNothing) {
  const VirtualAddress base = t.commit(PageCount(8));
  t.fill(base, PageCount(8));
  const auto refused = [&] {
    const PageCount before = charged();
    EXPECT_EQ(lock(base, PageCount(8)), Status::kWorkingSetQuota);
    EXPECT_EQ(charged(), before);
    const LockGuard guard(t.space().lock);
    EXPECT_EQ(t.space().working_set().locked(), 0_pages);
  };
  with_only(0, refused);
  with_only(7, refused);             // Known from the start.
  with_only(7 + tables(), refused);  // The last page finds nothing left.
  with_only(8 + tables(), [&] { EXPECT_EQ(lock(base, PageCount(8)), Status::kSuccess); });
  EXPECT_EQ(t.check(), "");
  with_only(0, [&] { EXPECT_EQ(lock(base, PageCount(8), kInMemory), Status::kSuccess); });
  EXPECT_EQ(t.check(), "");
}

TEST_P(Resident, AMinimumThatCouldNotBeLockedIsRefused) {
  const auto set = [&](PageCount minimum) {
    return status_of(t.space().set_limits(t.cpu(), {.minimum = minimum, .maximum = PageCount(4096)}));
  };
  const PageCount available = t.core().resident.available();
  EXPECT_EQ(set(available + 1_pages), Status::kInsufficientResources);
  EXPECT_EQ(set(available), Status::kSuccess);
  with_only(50, [&] { EXPECT_EQ(set(PageCount(60)), Status::kSuccess) << "a lower one is no matter"; });
  with_only(50, [&] { EXPECT_EQ(set(PageCount(61)), Status::kInsufficientResources); });
  EXPECT_EQ(t.check(), "");
}

TEST_P(Resident, LargePagesAreChargedWithTheirTables) {
  const PageCount before = charged();
  const PageCount commit = committed();
  const ReserveRequest request{.size = large(), .commit = MemCommit::kYes, .type = VadType::kLargePages};
  const std::uint64_t pages = pages_of(large()).value();
  with_only(pages + large_tables() - 1,
            [&] { EXPECT_EQ(status_of(t.space().reserve(t.cpu(), request)), Status::kInsufficientResources); });
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(committed(), commit);
  EXPECT_EQ(t.check(), "");
  with_only(pages + large_tables(), [&] {
    const auto region = t.space().reserve(t.cpu(), request);
    ASSERT_TRUE(region);
    EXPECT_EQ(t.core().resident.available(), 0_pages);
    EXPECT_EQ(status_of(t.space().reserve(t.cpu(), request)), Status::kInsufficientResources);
    ASSERT_TRUE(t.space().release(t.cpu(), VirtualAddress(region->first), 0_B));
  });
  EXPECT_EQ(charged(), before);
  // The first of two fits.
  with_only(pages + large_tables() + 1, [&] {
    const ReserveRequest two{.size = large() * 2, .commit = MemCommit::kYes, .type = VadType::kLargePages};
    EXPECT_EQ(status_of(t.space().reserve(t.cpu(), two)), Status::kInsufficientResources);
  });
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(committed(), commit);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Resident, LargeSectionsAreChargedAndTheTablesOfTheirViews) {
  Sections& sections = t.manager().sections();
  const SectionRequest request{.size = large(), .protection = Protection::kReadWrite, .flags = {.large_pages = true}};
  const PageCount before = charged();
  const PageCount commit = committed();
  const std::uint64_t pages = pages_of(large()).value();
  with_only(pages, [&] { EXPECT_EQ(status_of(sections.create(t.cpu(), request)), Status::kInsufficientResources); });
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(committed(), commit);
  EXPECT_EQ(t.check(), "");
  Section& section = **sections.create(t.cpu(), request);
  EXPECT_EQ(charged(), before + PageCount(pages + 1)) << "and the page of its prototype PTEs";
  const PageCount without_views = charged();
  if (large_tables() > 0) {
    with_only(large_tables() - 1,
              [&] { EXPECT_EQ(status_of(t.space().map_view(t.cpu(), section, {})), Status::kInsufficientResources); });
    EXPECT_EQ(charged(), without_views);
    EXPECT_EQ(t.check(), "");
  }
  const VirtualAddress base = map(section);
  EXPECT_EQ(charged(), without_views + PageCount(large_tables()));
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), base));
  EXPECT_EQ(charged(), without_views);
  sections.dereference(t.cpu(), section);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Resident, AweFramesAreChargedAndTheTablesOfTheirWindows) {
  UserPages& user_pages = t.space().user_pages();
  const PageCount before = charged();
  const PageCount commit = committed();
  with_only(0,
            [&] { EXPECT_EQ(status_of(user_pages.allocate(t.cpu(), PageCount(4))), Status::kInsufficientResources); });
  EXPECT_EQ(committed(), commit);
  with_only(3, [&] {
    const auto frames = user_pages.allocate(t.cpu(), PageCount(4));
    ASSERT_TRUE(frames);
    EXPECT_EQ(frames->size(), 3U) << "as many as there are";
    EXPECT_EQ(user_pages.free(t.cpu(), *frames).count, PageCount(3));
  });
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(committed(), commit);

  const VirtualAddress window(t.space().reserve({.size = bytes_of(stride() * 4), .type = VadType::kAwe})->first);
  const std::vector<Pfn> frames = *user_pages.allocate(t.cpu(), PageCount(4));
  EXPECT_EQ(charged(), before + PageCount(4));
  std::vector<VirtualAddress> places;
  for (std::uint64_t i = 0; i < 4; ++i) places.push_back(TestMachine::page(window, i * stride().value()));
  with_only(tables() + 2, [&] {
    EXPECT_EQ(status_of(user_pages.map_scatter(t.cpu(), places, frames)), Status::kInsufficientResources);
  });
  EXPECT_EQ(charged(), before + PageCount(4));
  EXPECT_EQ(t.touch(places[0]), Status::kAccessViolation) << "all or nothing";
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(user_pages.map_scatter(t.cpu(), places, frames));
  EXPECT_GE(charged(), before + PageCount(4 + 3 + tables()));
  EXPECT_EQ(t.check(), "");
  // In place of each other: what they need stays the same.
  const PageCount mapped = charged();
  const std::vector<Pfn> turned{frames[1], frames[2], frames[3], frames[0]};
  with_only(0, [&] { EXPECT_TRUE(user_pages.map_scatter(t.cpu(), places, turned)); });
  EXPECT_EQ(charged(), mapped);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(user_pages.unmap(t.cpu(), places[0], 1_pages));
  EXPECT_LT(charged(), mapped);
  EXPECT_EQ(user_pages.free(t.cpu(), std::span(frames).first(2)).count, PageCount(2));
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().release(t.cpu(), window, 0_B));
  EXPECT_EQ(charged(), before + PageCount(2));
  EXPECT_EQ(user_pages.free(t.cpu(), std::span(frames).last(2)).count, PageCount(2));
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(committed(), commit);
  EXPECT_EQ(t.check(), "");
}

// A file's pages are promised to nobody: while one is locked it is charged as if it were.
TEST_P(Resident, LockedPagesOfFilesAreChargedToCommitToo) {
  const PageCount resident = charged();
  Section& section = **t.manager().sections().create(
      t.cpu(), {.file = t.add_file(PageCount(16)), .kind = SectionKind::kData, .protection = Protection::kReadWrite});
  const VirtualAddress base = map(section);
  const VirtualAddress again = map(section);
  t.must_touch(base);
  const PageCount commit = committed();
  ASSERT_EQ(lock(base, PageCount(4)), Status::kSuccess);
  EXPECT_EQ(charged(), resident + PageCount(4 + tables() + 1)) << "and the page of their prototype PTEs";
  EXPECT_EQ(committed(), commit + PageCount(4 + 1));
  EXPECT_EQ(t.check(), "");
  const PageCount once = charged();
  ASSERT_EQ(lock(again, PageCount(4)), Status::kSuccess);
  EXPECT_GE(charged(), once + PageCount(4)) << "each mapping";
  EXPECT_EQ(committed(), commit + PageCount(8 + 1));
  EXPECT_EQ(t.check(), "");
  with_only(tables(), [&] { EXPECT_EQ(lock(base + 32_KiB), Status::kSuccess); });
  with_only(0, [&] { EXPECT_EQ(lock(base + 36_KiB), Status::kWorkingSetQuota); });
  EXPECT_EQ(t.check(), "");
  {
    // All that may be promised is.
    const PageCount rest = t.manager().commit().limit - committed();
    const LockGuard guard(t.core().pfns.lock);
    ASSERT_TRUE(t.core().commit.charge(rest));
  }
  const PageCount before = charged();
  EXPECT_EQ(lock(base + 40_KiB), Status::kCommitmentLimit);
  EXPECT_EQ(charged(), before);
  {
    const PageCount rest = t.manager().commit().limit - commit - PageCount(10);
    const LockGuard guard(t.core().pfns.lock);
    t.core().commit.give_back(rest);
  }
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), base));
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), again));
  EXPECT_EQ(charged(), resident);
  t.manager().sections().dereference(t.cpu(), section);
  EXPECT_EQ(t.check(), "");
}

// Their page tables are promised to nobody either.
TEST_P(Resident, LocksInVeryLargeViewsChargeTheirPageTablesToCommit) {
  if (GetParam() != PteFormat::kAmd64) GTEST_SKIP() << "such a view needs more address space";
  Section& section =
      **t.manager().sections().create(t.cpu(), {.file = t.add_file(pages_of(4_GiB)), .kind = SectionKind::kData});
  const PageCount commit = committed();
  const PageCount resident = charged();
  const VirtualAddress base = map(section);
  ASSERT_EQ(lock(base), Status::kSuccess);
  EXPECT_EQ(charged(), resident + PageCount(1 + tables() + 1));
  EXPECT_EQ(committed(), commit + PageCount(1 + tables() + 1));
  ASSERT_EQ(lock(base + 1_GiB), Status::kSuccess);
  EXPECT_EQ(charged(), resident + PageCount(1 + tables() + 1) + PageCount(1 + 2 + 1));
  EXPECT_EQ(committed() - commit, charged() - resident);
  EXPECT_EQ(t.check(), "");
  ASSERT_EQ(unlock(base), Status::kSuccess);
  EXPECT_EQ(committed() - commit, charged() - resident);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), base));
  EXPECT_EQ(charged(), resident);
  EXPECT_EQ(committed(), commit);
  EXPECT_EQ(t.check(), "");
  t.manager().sections().dereference(t.cpu(), section);
}

TEST_P(Resident, ACopyThatAWriteMakesStaysLocked) {
  Section& section = **t.manager().sections().create(
      t.cpu(), {.file = t.add_file(PageCount(16)), .kind = SectionKind::kData, .protection = Protection::kWriteCopy});
  const VirtualAddress base = map(section, {.protection = Protection::kWriteCopy});
  const PageCount commit = committed();
  const PageCount before = charged();
  ASSERT_EQ(lock(base), Status::kSuccess);
  EXPECT_EQ(charged(), before + PageCount(2 + tables()));
  t.must_put(base, 0, 77);
  EXPECT_EQ(charged(), before + PageCount(1 + tables())) << "without the prototype PTE";
  EXPECT_EQ(committed(), commit) << "the copy was charged when the view was made";
  EXPECT_EQ(t.check(), "");
  static_cast<void>(t.space().empty_working_set(t.cpu()));
  EXPECT_EQ(t.kind(base), PteKind::kValid);
  ASSERT_EQ(unlock(base), Status::kSuccess);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Resident, AForkKeepsThePrototypePtesOfLockedPages) {
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  ASSERT_EQ(lock(base, PageCount(2)), Status::kSuccess);
  const PageCount before = charged();
  const PageCount commit = committed();
  with_only(t.core().tables_that_stay().value(),
            [&] { EXPECT_EQ(status_of(t.manager().clone_space(t.cpu(), t.space())), Status::kInsufficientResources); });
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(committed(), commit);
  EXPECT_EQ(t.check(), "");
  ProcessSpace& child = **t.manager().clone_space(t.cpu(), t.space());
  EXPECT_EQ(charged(), before + t.core().tables_that_stay() + 1_pages);
  EXPECT_EQ(t.check(), "");
  t.must_put(base, 0, 5);  // A copy.
  EXPECT_EQ(charged(), before + t.core().tables_that_stay() + 1_pages) << "the other is still there";
  EXPECT_EQ(t.check(), "");
  t.manager().destroy_space(t.cpu(), child);
  t.must_put(base, 1, 6);  // Taken back.
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t.check(), "");
  ASSERT_EQ(unlock(base, PageCount(2)), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
}

// --- The promise ---

class ResidentPromise : public Resident {
 protected:
  ResidentPromise() : Resident(PageCount(2048)) {}

  void SetUp() override {
    // Theirs, before everything is taken.
    for (ProcessSpace** other : {&in_rows_, &far_apart_})
      *other = &t.add_space(WorkingSet::Limits{.minimum = PageCount(10), .maximum = PageCount(2000)});
    ASSERT_TRUE(t.space().set_limits(t.cpu(), {.minimum = t.core().resident.available(), .maximum = PageCount(2048)}));
  }
  // Writes to each page, and reads all of them backward.
  void expect_that_all_can_be_touched(const std::vector<VirtualAddress>& pages) {
    for (const VirtualAddress page : pages) ASSERT_EQ(t.put(page, 0, page.value(), 1), Status::kSuccess);
    for (auto page = pages.rbegin(); page != pages.rend(); ++page) ASSERT_EQ(t.get(*page, 0, 1), page->value());
  }
  // What is left of resident available goes, too. Then others commit all that may be promised: one process in rows, and
  // when that has ended another in single pages, each of which needs a page table of its own.
  void expect_that_others_can_touch_all_they_commit() {
    while (t.space().user_pages().allocate(t.cpu(), 1_pages)) {
    }
    EXPECT_LT(t.core().resident.available(), PageCount(16));
    t.manager().attach(t.cpu(1), *in_rows_);
    std::vector<VirtualAddress> pages;
    for (std::uint64_t row = 1024; row > 0;) {
      const auto region = in_rows_->reserve({.size = bytes_of(PageCount(row)), .commit = MemCommit::kYes});
      if (region) {
        for (std::uint64_t i = 0; i < row; ++i) pages.emplace_back(region->first + PageCount(i));
      } else {
        ASSERT_EQ(region.error(), Status::kCommitmentLimit);
        row /= 2;
      }
    }
    EXPECT_GT(pages.size(), 2048U);
    expect_that_all_can_be_touched(pages);
    EXPECT_EQ(t.check(), "");

    t.manager().attach(t.cpu(1), *far_apart_);
    t.manager().destroy_space(t.cpu(), *in_rows_);
    pages.clear();
    const std::uint64_t most = far_apart_->range().count.value() / stride().value() - 2;
    while (pages.size() < most) {
      const auto region = far_apart_->reserve(
          {.size = kPageSize, .commit = MemCommit::kYes, .wishes = {.alignment = bytes_of(stride())}});
      if (!region) {
        ASSERT_EQ(region.error(), Status::kCommitmentLimit);
        break;
      }
      pages.emplace_back(region->first);
    }
    expect_that_all_can_be_touched(pages);
    EXPECT_EQ(t.check(), "");
  }
  // Locks one page after the other until no more may stay in memory. Returns how many.
  std::uint64_t lock_all(VirtualAddress base, PageCount pages) {
    std::uint64_t locked = 0;
    for (; locked < pages.value(); ++locked) {
      const Status status = lock(TestMachine::page(base, locked));
      if (status == Status::kWorkingSetQuota) break;
      EXPECT_EQ(status, Status::kSuccess);
    }
    return locked;
  }

  ProcessSpace* in_rows_ = nullptr;
  ProcessSpace* far_apart_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(AllModes, ResidentPromise,
                         ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(ResidentPromise, WithAllLockedInARow) {
  const VirtualAddress base = t.commit(PageCount(2048));
  EXPECT_GT(lock_all(base, PageCount(2048)), 2000U);
  expect_that_others_can_touch_all_they_commit();
}

// Each lock keeps a page table besides.
TEST_P(ResidentPromise, WithAllLockedFarApart) {
  const PageCount apart = stride();
  const std::uint64_t count = std::min<std::uint64_t>(1100, (t.space().range().count.value() - 4096) / apart.value());
  const VirtualAddress base = t.reserve(apart * count);
  std::uint64_t locked = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const VirtualAddress va = TestMachine::page(base, i * apart.value());
    ASSERT_TRUE(t.space().commit(t.cpu(), va, kPageSize, Protection::kReadWrite));
    if (lock(va) != Status::kSuccess) break;
    ++locked;
  }
  if (GetParam() == PteFormat::kAmd64) {
    EXPECT_GT(locked, 900U);
    EXPECT_LT(locked, 1024U) << "two frames each";
  }
  expect_that_others_can_touch_all_they_commit();
}

TEST_P(ResidentPromise, WithAllInLargePagesAndAweFrames) {
  std::uint64_t large_pages = 0;
  while (t.space().reserve(t.cpu(), {.size = large(), .commit = MemCommit::kYes, .type = VadType::kLargePages}))
    ++large_pages;
  EXPECT_GT(large_pages, 0U);
  while (t.space().user_pages().allocate(t.cpu(), PageCount(64))) {
  }
  EXPECT_LT(t.core().resident.available(), PageCount(16));
  expect_that_others_can_touch_all_they_commit();
}

TEST_P(ResidentPromise, WithAllLockedInFiles) {
  Section& section = **t.manager().sections().create(
      t.cpu(), {.file = t.add_file(PageCount(2048)), .kind = SectionKind::kData, .protection = Protection::kReadWrite});
  const VirtualAddress base = map(section);
  EXPECT_GT(lock_all(base, PageCount(2048)), 2000U);
  expect_that_others_can_touch_all_they_commit();
}

}  // namespace
}  // namespace pagoda::mm
