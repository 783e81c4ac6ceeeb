#include "pagoda/mm/ws/prototype_trim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "pagoda/mm/testing/corruptor.h"
#include "pagoda/mm/testing/reap.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {
namespace {

using machine::PteFormat;
using ::testing::HasSubstr;

std::string name_of(const ::testing::TestParamInfo<PteFormat>& format) {
  return std::array{"x86", "pae", "amd64"}[static_cast<std::size_t>(format.param)];
}

// Pages whose prototype PTEs may be out.
class PrototypeTrim : public ::testing::TestWithParam<PteFormat> {
 protected:
  // The pages of prototype PTEs that can go.
  PageCount trim(PageCount most = PageCount(1000)) { return trim_prototypes(t_.core(), t_.cpu(), most); }
  [[nodiscard]] PageCount out() {
    const LockGuard guard(t_.core().pfns.lock);
    return PageCount(t_.core().pfns.prototype_pages().out().size());
  }
  [[nodiscard]] PageCount pool_pages() {
    const LockGuard guard(t_.core().pfns.lock);
    return t_.core().prototypes.pages();
  }
  [[nodiscard]] PageCount charged() {
    const LockGuard guard(t_.core().pfns.lock);
    return t_.core().commit.charged();
  }
  // The segment reaper's work, until there is none.
  void reap() {
    testing::reap(t_.manager(), t_.cpu());
    t_.finish_io();
  }

  TestMachine t_{{.frames = PageCount(512),
                  .paging = GetParam(),
                  .processors = 2,
                  .paging_files = {{.name = "pagefile.sys", .disk = 0, .minimum = 64_MiB, .maximum = 64_MiB}}}};
  const PageCount charged_at_first_ = charged();
};

// A section's pages, as far apart as a page of prototype PTEs reaches.
class SectionPrototypes : public PrototypeTrim {
 protected:
  static constexpr std::uint64_t kPages = 8;

  void SetUp() override {
    reach_ = kPageBytes / t_.core().mode.entry_bytes;
    section_ = *t_.manager().sections().create(
        t_.cpu(), {.size = bytes_of(PageCount(kPages * reach_)), .flags = {.reserve = true}});
    base_ = VirtualAddress(t_.space().map_view(t_.cpu(), *section_, {})->first);
    for (std::uint64_t i = 0; i < kPages; ++i) {
      ASSERT_TRUE(t_.space().commit(t_.cpu(), page(i), kPageSize, Protection::kReadWrite));
      t_.must_put(page(i), 0, i + 1);
    }
  }
  [[nodiscard]] VirtualAddress page(std::uint64_t i, std::uint64_t at = 0) {
    return TestMachine::page(base_, i * reach_ + at);
  }
  // Pages and their prototype PTEs are in the paging file alone.
  void push_out_all() {
    t_.push_out();
    ASSERT_EQ(trim(), PageCount(kPages));
    t_.push_out();
    ASSERT_EQ(t_.check(), "");
  }
  void expect_all_there() {
    for (std::uint64_t i = 0; i < kPages; ++i) EXPECT_EQ(t_.get(page(i), 0), i + 1) << i;
    EXPECT_EQ(t_.check(), "");
  }

  std::uint64_t reach_ = 0;
  Section* section_ = nullptr;
  VirtualAddress base_;
};
INSTANTIATE_TEST_SUITE_P(Modes, SectionPrototypes,
                         ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64), name_of);

TEST_P(SectionPrototypes, StayWhileAnEntryIsValidOrInTransition) {
  EXPECT_EQ(trim(), 0_pages);
  static_cast<void>(t_.space().empty_working_set(t_.cpu()));
  EXPECT_EQ(trim(), 0_pages) << "modified pages are in transition";
  t_.page_out();
  EXPECT_EQ(trim(), 0_pages) << "standby pages are too";
  expect_all_there();
}

TEST_P(SectionPrototypes, GoToTheModifiedListAndAreRescuedFromThere) {
  t_.push_out();
  const PageCount used = t_.slots_used();
  EXPECT_EQ(trim(PageCount(3)), 3_pages);
  EXPECT_EQ(trim(), PageCount(kPages - 3));
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(pool_pages(), 0_pages);
  EXPECT_EQ(t_.count(PageState::kModified), PageCount(kPages));
  EXPECT_EQ(t_.manager().counters().prototype_pages_paged_out, kPages);
  EXPECT_EQ(t_.manager().frame_counts().prototypes, 1_pages) << "the pool table";
  expect_all_there();
  EXPECT_EQ(t_.manager().counters().prototype_pages_paged_in, kPages);
  EXPECT_EQ(t_.manager().frame_counts().prototypes, PageCount(kPages)) << "the pool table has gone";
  EXPECT_EQ(t_.slots_used(), used);
}

TEST_P(SectionPrototypes, ComeBackFromThePagingFile) {
  push_out_all();
  EXPECT_EQ(t_.slots_used(), PageCount(2 * kPages));
  const std::uint64_t faults = t_.faults(FaultKind::kPageFile);
  EXPECT_EQ(t_.get(page(5), 0), 6U);
  EXPECT_EQ(t_.faults(FaultKind::kPageFile), faults + 1) << "the page's; its entries' is none";
  EXPECT_EQ(out(), PageCount(kPages - 1));
  expect_all_there();
  EXPECT_EQ(t_.slots_used(), PageCount(kPages)) << "the pages' own: they are clean";
}

TEST_P(SectionPrototypes, AReadThatFailsRaisesAnInPageErrorAndChangesNothing) {
  push_out_all();
  t_.injection().read_error_rate = 1;
  EXPECT_EQ(t_.get(page(2), 0).error(), Status::kInPageError);
  EXPECT_EQ(t_.check(), "");
  t_.injection().read_error_rate = 0;
  expect_all_there();
}

TEST_P(SectionPrototypes, AWriteThatFailsLosesNothing) {
  t_.push_out();
  trim();
  t_.injection().write_error_rate = 1;
  EXPECT_TRUE(t_.manager().modified_writer().write_cluster(t_.cpu()));
  t_.finish_io();
  EXPECT_EQ(t_.check(), "");
  t_.injection().write_error_rate = 0;
  expect_all_there();
}

TEST_P(SectionPrototypes, AWriteUnderWayMayBeOvertaken) {
  t_.push_out();
  trim();
  ASSERT_TRUE(t_.manager().modified_writer().write_cluster(t_.cpu()));
  EXPECT_EQ(t_.get(page(1), 0), 2U);
  EXPECT_EQ(t_.check(), "");
  t_.finish_io();
  expect_all_there();
}

TEST_P(SectionPrototypes, PagesAreCommittedWithoutThem) {
  push_out_all();
  ASSERT_TRUE(t_.space().commit(t_.cpu(), page(3), bytes_of(2_pages), Protection::kReadWrite));
  EXPECT_EQ(out(), PageCount(kPages));
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.get(page(3, 1), 0), 0U);
  t_.must_put(page(3, 1), 0, 77);
  EXPECT_EQ(t_.get(page(3, 2), 0).error(), Status::kAccessViolation);
  t_.push_out();
  EXPECT_EQ(t_.get(page(3, 1), 0), 77U);
  expect_all_there();
}

TEST_P(SectionPrototypes, AreQueriedWhereTheyAre) {
  push_out_all();
  const auto info = t_.space().query(t_.cpu(), page(4));
  ASSERT_TRUE(info);
  EXPECT_EQ(info->state, MemoryState::kCommitted);
  EXPECT_EQ(info->size, kPageSize);
  EXPECT_EQ(out(), PageCount(kPages));
  expect_all_there();
}

TEST_P(SectionPrototypes, KeepWhatWasResetOrHadNothingLost) {
  push_out_all();
  ASSERT_TRUE(t_.space().reset(t_.cpu(), page(2), kPageSize));
  EXPECT_TRUE(t_.space().undo_reset(t_.cpu(), page(2), kPageSize));
  EXPECT_EQ(out(), PageCount(kPages));
  expect_all_there();
}

TEST_P(SectionPrototypes, EndWithTheirSection) {
  push_out_all();
  ASSERT_TRUE(t_.space().unmap_view(t_.cpu(), base_));
  t_.manager().sections().dereference(t_.cpu(), *section_);
  EXPECT_EQ(charged(), charged_at_first_);
  EXPECT_EQ(out(), PageCount(kPages)) << "given up";
  EXPECT_EQ(t_.check(), "");
  reap();
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(out(), 0_pages);
  EXPECT_EQ(t_.slots_used(), 0_pages);
  // Their places are used again.
  SetUp();
  expect_all_there();
}

TEST_P(SectionPrototypes, AreReapedWhileTheyAreBeingWritten) {
  t_.push_out();
  trim();
  ASSERT_TRUE(t_.manager().modified_writer().write_cluster(t_.cpu()));
  ASSERT_TRUE(t_.space().unmap_view(t_.cpu(), base_));
  t_.manager().sections().dereference(t_.cpu(), *section_);
  reap();
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.slots_used(), 0_pages);
}

TEST_P(SectionPrototypes, AreReapedOnceTheDiskAnswersAgain) {
  push_out_all();
  ASSERT_TRUE(t_.space().unmap_view(t_.cpu(), base_));
  t_.manager().sections().dereference(t_.cpu(), *section_);
  t_.injection().read_error_rate = 1;
  SystemThread& reaper = *t_.manager().system_threads().front();
  reaper.run(t_.cpu());
  EXPECT_GT(reaper.due(t_.cpu().now()), t_.cpu().now());
  EXPECT_EQ(t_.check(), "");
  t_.injection().read_error_rate = 0;
  reap();
  EXPECT_EQ(t_.slots_used(), 0_pages);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(SectionPrototypes, CorruptionsAreFound) {
  const auto found_after = [&](auto corrupt, auto mend) {
    {
      const LockGuard guard(t_.core().pfns.lock);
      corrupt();
    }
    const std::string found = t_.check();
    const LockGuard guard(t_.core().pfns.lock);
    mend();
    return found;
  };
  PrototypePages& pages = Corruptor::prototype_pages(t_.core());
  t_.push_out();
  EXPECT_THAT(found_after([&] { pages.add_idle(pages.idle().front()); }, [&] { Corruptor::idle(pages).pop_back(); }),
              HasSubstr("PP5"));
  const std::uint32_t last = pages.idle().back();
  EXPECT_THAT(found_after([&] { Corruptor::idle(pages).pop_back(); }, [&] { pages.add_idle(last); }), HasSubstr("PP5"));
  push_out_all();
  const std::uint32_t page = pages.out().begin()->first;
  const std::uint64_t owner = pages.out().begin()->second;
  EXPECT_THAT(found_after([&] { pages.given_up().insert(page); }, [&] { pages.given_up().erase(page); }),
              HasSubstr("PP5"));
  EXPECT_THAT(found_after(
                  [&] {
                    pages.remove_out(page);
                    pages.add_out(page, owner + 55);
                  },
                  [&] {
                    pages.remove_out(page);
                    pages.add_out(page, owner);
                  }),
              HasSubstr("PP2"));
  EXPECT_THAT(found_after([&] { pages.remove_out(page); }, [&] { pages.add_out(page, owner); }), HasSubstr("PP5"));
  const PhysicalAddress entry = [&] {
    const LockGuard guard(t_.core().pfns.lock);
    return t_.core().prototypes.out_entry(pages.address_of(page));
  }();
  const RawPte raw = t_.core().load(t_.cpu(), entry);
  const auto store = [&](RawPte value) { machine::store_entry(t_.cpu().physical(), t_.core().mode, entry, value); };
  EXPECT_THAT(found_after([&] { store(0); }, [&] { store(raw); }), HasSubstr("PP5"));
  expect_all_there();
}

// The pages that two processes share after a fork.
class CloneEntriesOut : public PrototypeTrim {
 protected:
  static constexpr std::uint64_t kPages = 5;

  void SetUp() override {
    base_ = t_.commit(PageCount(kPages));
    for (std::uint64_t i = 0; i < kPages; ++i) t_.must_put(TestMachine::page(base_, i), 0, i + 1);
    child_ = *t_.manager().clone_space(t_.cpu(), t_.space());
    t_.manager().attach(t_.cpu(1), *child_);
    push_out_all();
  }
  void push_out_all() {
    static_cast<void>(child_->empty_working_set(t_.cpu(1)));
    t_.push_out();
    ASSERT_EQ(trim(), 1_pages);
    t_.push_out();
    ASSERT_EQ(out(), 1_pages);
    ASSERT_EQ(t_.check(), "");
  }
  void end_child() {
    t_.manager().attach(t_.cpu(1), t_.space());
    t_.manager().destroy_space(t_.cpu(), *child_);
  }
  void expect_all_there(unsigned processor) {
    for (std::uint64_t i = 0; i < kPages; ++i) EXPECT_EQ(t_.get(TestMachine::page(base_, i), 0, processor), i + 1) << i;
    EXPECT_EQ(t_.check(), "");
  }

  VirtualAddress base_;
  ProcessSpace* child_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Modes, CloneEntriesOut, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         name_of);

TEST_P(CloneEntriesOut, ComeBackForEitherProcess) {
  expect_all_there(1);
  expect_all_there(0);
}

TEST_P(CloneEntriesOut, APageIsCopiedForAWrite) {
  t_.must_put(TestMachine::page(base_, 2), 0, 99, 1);
  EXPECT_EQ(t_.get(TestMachine::page(base_, 2), 0, 1), 99U);
  expect_all_there(0);
}

TEST_P(CloneEntriesOut, OneProcessEndsAndTheOtherHasItsPages) {
  end_child();
  EXPECT_EQ(t_.check(), "");
  expect_all_there(0);
}

TEST_P(CloneEntriesOut, AreGivenUpWithTheLastProcess) {
  end_child();
  ASSERT_TRUE(t_.space().release(t_.cpu(), base_, {}));
  EXPECT_EQ(out(), 1_pages);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(charged(), charged_at_first_ + 1_pages) << "the page of entries";
  reap();
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(out(), 0_pages);
  EXPECT_EQ(charged(), charged_at_first_);
  EXPECT_EQ(t_.slots_used(), 0_pages);
}

TEST_P(CloneEntriesOut, SomeAreGivenUpAndTheOthersComeBack) {
  end_child();
  ASSERT_TRUE(t_.space().decommit(t_.cpu(), TestMachine::page(base_, 1), bytes_of(2_pages)));
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.get(TestMachine::page(base_, 4), 0), 5U);
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.get(TestMachine::page(base_, 0), 0), 1U);
  t_.finish_io();
  EXPECT_LE(t_.slots_used(), 3_pages);
  reap();
  EXPECT_EQ(t_.check(), "");
}

TEST_P(CloneEntriesOut, TheNextForkUsesAnotherPageOfEntries) {
  const VirtualAddress more = t_.commit(PageCount(2));
  t_.must_put(more, 0, 42);
  ProcessSpace* const second = *t_.manager().clone_space(t_.cpu(), t_.space());
  EXPECT_EQ(out(), 1_pages) << "nothing was brought in";
  EXPECT_EQ(t_.check(), "");
  t_.manager().attach(t_.cpu(1), *second);
  EXPECT_EQ(t_.get(more, 0, 1), 42U);
  expect_all_there(1);
  expect_all_there(0);
}

TEST_P(CloneEntriesOut, AreProtectedAlone) {
  ASSERT_TRUE(t_.space().protect(t_.cpu(), TestMachine::page(base_, 1), kPageSize, Protection::kReadOnly));
  EXPECT_EQ(t_.check(), "");
  EXPECT_EQ(t_.put(TestMachine::page(base_, 1), 0, 5), Status::kAccessViolation);
  t_.must_put(TestMachine::page(base_, 1), 0, 2, 1);
  expect_all_there(0);
  expect_all_there(1);
}

// The owner word of a page of clones, which counts its entries, lies where a page has its original PTE, and may look like one
// with a slot.
TEST_P(CloneEntriesOut, OvertakeTheirWriteHoweverManyThereAre) {
  expect_all_there(0);
  const auto overtake = [&](std::uint64_t page, double errors) {
    static_cast<void>(child_->empty_working_set(t_.cpu(1)));
    t_.push_out();
    ASSERT_EQ(trim(), 1_pages);
    t_.injection().write_error_rate = errors;
    ASSERT_TRUE(t_.manager().modified_writer().write_cluster(t_.cpu()));
    t_.injection().write_error_rate = 0;
    EXPECT_EQ(t_.get(TestMachine::page(base_, page), 0), page + 1);
    EXPECT_EQ(t_.check(), "");
    t_.finish_io();
    EXPECT_EQ(t_.check(), "");
  };
  for (std::uint64_t i = 0; i + 1 < kPages; ++i) {
    SCOPED_TRACE(i);
    overtake(kPages - 1, 0);
    overtake(kPages - 1, 1);
    // One entry fewer in use from here on.
    for (unsigned processor = 0; processor < 2; ++processor)
      t_.must_put(TestMachine::page(base_, i), 0, i + 1, processor);
  }
  expect_all_there(0);
  expect_all_there(1);
}

// In a shortage with every slot in use, what was given up is what can be gained.
TEST(PrototypeShortage, SlotsThatWereGivenUpAreGained) {
  TestMachine t({.frames = PageCount(64)});
  const std::uint64_t reach = kPageBytes / t.core().mode.entry_bytes;
  constexpr std::uint64_t kSparse = 200;
  Section* const section = *t.manager().sections().create(
      t.cpu(), {.size = bytes_of(PageCount(kSparse * reach)), .flags = {.reserve = true}});
  const VirtualAddress view(t.space().map_view(t.cpu(), *section, {})->first);
  for (std::uint64_t i = 0; i < kSparse; ++i) {
    ASSERT_TRUE(t.space().commit(t.cpu(), TestMachine::page(view, i * reach), kPageSize, Protection::kReadWrite));
    t.must_put(TestMachine::page(view, i * reach), 0, i + 1);
  }
  ASSERT_TRUE(t.space().unmap_view(t.cpu(), view));
  t.manager().sections().dereference(t.cpu(), *section);
  // As much as is not promised to others, while what was given up has slots yet.
  const PageCount left = [&] {
    const LockGuard guard(t.core().pfns.lock);
    return t.core().commit.limit() - t.core().commit.charged() - 8_pages;  // Its page tables are charged too.
  }();
  const VirtualAddress base = t.commit(left);
  for (std::uint64_t i = 0; i < left.value(); ++i) t.must_put(TestMachine::page(base, i), 0, i + 7);
  for (std::uint64_t i = 0; i < left.value(); ++i) ASSERT_EQ(t.get(TestMachine::page(base, i), 0), i + 7);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm::testing
