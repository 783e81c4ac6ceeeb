// Disks that fail: nothing is lost that memory still holds, an access gets an in-page error exactly when the read that
// it needed failed, and succeeds when it is repeated.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/testing/effort.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {
namespace {

constexpr PageCount kPages{150};
constexpr PageCount kFrames{80};

TestMachineConfig small_config() { return {.frames = kFrames}; }

struct ScenarioResult {
  std::uint64_t operations = 0;  // Of the disk.
  std::uint64_t in_page_errors = 0;
  std::uint64_t wrong = 0;  // Words that were not what was stored last.
  std::string findings;
};

// Writes and reads more pages than there are frames, three times, by turns upward and downward.
ScenarioResult run_scenario(TestMachine& t, const std::optional<std::uint64_t>& fail_operation) {
  t.injection().fail_operation = fail_operation;
  ScenarioResult result;
  const VirtualAddress base = t.commit(kPages);
  std::vector<std::uint64_t> model(kPages.value());
  const auto retried = [&](auto access) {
    for (;;) {
      const auto done = access();
      if (done || done.error() != Status::kInPageError) {
        EXPECT_TRUE(done) << to_string(done.error());
        return done;
      }
      ++result.in_page_errors;
      // The access changed nothing, and the machine is sound between the failure and the repetition.
      result.findings += t.check();
      if (result.in_page_errors > 1000) return done;
    }
  };
  for (std::uint64_t pass = 0; pass < 3; ++pass) {
    for (std::uint64_t i = 0; i < kPages.value(); ++i) {
      const std::uint64_t page = pass % 2 == 0 ? i : kPages.value() - 1 - i;
      const auto loaded = retried([&] { return t.get(base, page); });
      if (!loaded || *loaded != model[page]) ++result.wrong;
      if ((i + pass) % 3 == 0) continue;  // Some pages stay clean.
      model[page] = pass * 1000 + i;
      retried([&]() -> Result<> {
        const Status status = t.put(base, page, model[page]);
        return status == Status::kSuccess ? Result<>{} : fail(status);
      });
    }
    result.findings += t.check();
  }
  result.operations = t.injection().operations();
  return result;
}

TEST(MmInjection, TheScenarioPagesAndIsRightWithoutFailures) {
  TestMachine t(small_config());
  const ScenarioResult clean = run_scenario(t, std::nullopt);
  EXPECT_EQ(clean.wrong, 0U);
  EXPECT_EQ(clean.in_page_errors, 0U);
  EXPECT_EQ(clean.findings, "");
  EXPECT_GT(t.machine().sim_disk().counts().reads, 20U);
  EXPECT_GT(t.machine().sim_disk().counts().writes, 10U);
}

TEST(MmInjection, AnyOneFailedOperationLosesNothing) {
  const std::uint64_t operations = [] {
    TestMachine t(small_config());
    return run_scenario(t, std::nullopt).operations;
  }();
  ASSERT_GT(operations, 30U);
  std::uint64_t runs_with_read_errors = 0;
  std::uint64_t runs_with_write_errors = 0;
  for (std::uint64_t nth = 1; nth <= operations; nth += pagoda::testing::effort_stride()) {
    TestMachine t(small_config());
    const ScenarioResult result = run_scenario(t, nth);
    EXPECT_EQ(result.wrong, 0U) << "operation " << nth;
    EXPECT_EQ(result.findings, "") << "operation " << nth;
    const Counters counters = t.manager().counters();
    EXPECT_EQ(counters.read_errors + counters.write_errors, 1U) << "operation " << nth;
    // A cluster's failed read is tried again for the page alone, so that one failure raises at most one error.
    EXPECT_LE(result.in_page_errors, counters.read_errors) << "operation " << nth;
    EXPECT_EQ(t.faults(FaultKind::kInPageError), result.in_page_errors) << "operation " << nth;
    runs_with_read_errors += counters.read_errors;
    runs_with_write_errors += counters.write_errors;
    if (HasFailure()) return;
  }
  EXPECT_GT(runs_with_read_errors * pagoda::testing::effort_stride(), 10U);
  EXPECT_GT(runs_with_write_errors * pagoda::testing::effort_stride(), 10U);
}

TEST(MmInjection, AFailedReadOfOnePageRaisesAnInPageErrorOnce) {
  TestMachineConfig config = small_config();
  config.tunables.read_cluster = 1;
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  t.push_out();
  ASSERT_EQ(t.kind(base), PteKind::kPageFile);
  const RawPte before = t.pte(base);

  t.injection().fail_operation = t.injection().operations() + 1;
  const auto failed = t.get(base, 0);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error(), Status::kInPageError);
  EXPECT_EQ(t.pte(base), before);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.get(base, 0), 1U);
  EXPECT_EQ(t.faults(FaultKind::kInPageError), 1U);
  EXPECT_EQ(t.manager().counters().read_errors, 1U);
  EXPECT_EQ(t.check(), "");
}

TEST(MmInjection, AFailedClusterIsReadAgainForThePageAlone) {
  TestMachine t(small_config());
  const VirtualAddress base = t.commit(PageCount(8));
  t.fill(base, PageCount(8));
  t.push_out();
  t.injection().fail_operation = t.injection().operations() + 1;
  EXPECT_EQ(t.get(base, 3), 4U);
  EXPECT_EQ(t.faults(FaultKind::kInPageError), 0U);
  EXPECT_EQ(t.manager().counters().read_errors, 1U);
  EXPECT_EQ(t.manager().counters().page_file_pages_read, 1U);
  EXPECT_EQ(t.kind(TestMachine::page(base, 2)), PteKind::kPageFile);
  EXPECT_EQ(t.kind(TestMachine::page(base, 4)), PteKind::kPageFile);
  EXPECT_EQ(t.check(), "");
}

TEST(MmInjection, AFailedClusterWriteIsRetriedPageByPage) {
  TestMachine t(small_config());
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  t.space().empty_working_set(t.cpu());
  t.injection().fail_operation = t.injection().operations() + 1;
  EXPECT_TRUE(t.manager().flush_modified(t.cpu()));
  const Counters counters = t.manager().counters();
  EXPECT_EQ(counters.write_errors, 1U);
  EXPECT_EQ(counters.page_file_writes, 5U);  // The cluster, and then each page.
  EXPECT_EQ(counters.page_file_pages_written, 4U);
  EXPECT_EQ(t.core().paging_files[0].retired(), 0_pages);
  EXPECT_EQ(t.slots_used(), 4_pages);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(t.differences(base, PageCount(4)), 0U);
}

TEST(MmInjection, ASlotThatCannotBeWrittenIsRetired) {
  TestMachineConfig config = small_config();
  config.tunables.write_cluster = 1;
  TestMachine t(config);
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  t.space().empty_working_set(t.cpu());
  const PageCount limit = t.manager().commit().limit;
  t.injection().fail_operation = t.injection().operations() + 2;
  EXPECT_TRUE(t.manager().flush_modified(t.cpu()));
  EXPECT_EQ(t.core().paging_files[0].retired(), 1_pages);
  EXPECT_EQ(t.manager().commit().limit, limit - 1_pages);
  EXPECT_EQ(t.slots_used(), 4_pages);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(t.differences(base, PageCount(4)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST(MmInjection, APageDirtiedDuringAWriteThatFailsKeepsItsNewContents) {
  TestMachine t(small_config());
  const VirtualAddress base = t.commit(PageCount(2));
  t.fill(base, PageCount(2));
  t.space().empty_working_set(t.cpu());
  t.injection().fail_operation = t.injection().operations() + 1;
  ASSERT_TRUE(t.manager().modified_writer().write_cluster(t.cpu()));
  ASSERT_EQ(t.put(base, 0, 77), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
  t.finish_io();
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(t.get(base, 0), 77U);
  EXPECT_EQ(t.get(base, 1), 2U);
  EXPECT_EQ(t.check(), "");
}

TEST(MmInjection, ReadsThatOftenFailLoseNothing) {
  TestMachine t(small_config());
  t.injection().read_error_rate = 0.3;
  const ScenarioResult result = run_scenario(t, std::nullopt);
  EXPECT_EQ(result.wrong, 0U);
  EXPECT_EQ(result.findings, "");
  EXPECT_GT(result.in_page_errors, 5U);
  EXPECT_EQ(t.faults(FaultKind::kInPageError), result.in_page_errors);
}

TEST(MmInjection, WritesThatOftenFailLoseNothing) {
  TestMachine t(small_config());
  t.injection().write_error_rate = 0.3;
  const ScenarioResult result = run_scenario(t, std::nullopt);
  EXPECT_EQ(result.wrong, 0U);
  EXPECT_EQ(result.in_page_errors, 0U);
  EXPECT_EQ(result.findings, "");
  EXPECT_GT(t.manager().counters().write_errors, 5U);
}

TEST(MmInjection, ADiskThatReadsNothingLeavesThePageInItsSlot) {
  TestMachine t(small_config());
  const VirtualAddress base = t.commit(PageCount(4));
  t.fill(base, PageCount(4));
  t.push_out();
  t.injection().read_error_rate = 1;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(t.get(base, 1).error(), Status::kInPageError);
  EXPECT_EQ(t.check(), "");
  t.injection().read_error_rate = 0;
  EXPECT_EQ(t.differences(base, PageCount(4)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST(MmInjection, ADiskThatWritesNothingFailsFaultsInTheEndAndKeepsWhatMemoryHolds) {
  TestMachine t(small_config());
  const VirtualAddress base = t.commit(kPages);
  t.injection().write_error_rate = 1;
  std::uint64_t stored = 0;
  Status status = Status::kSuccess;
  for (; stored < kPages.value() && status == Status::kSuccess; ++stored) status = t.put(base, stored, stored + 1);
  EXPECT_EQ(status, Status::kNoMemory);
  EXPECT_EQ(t.check(), "");
  t.injection().write_error_rate = 0;
  EXPECT_EQ(t.differences(base, PageCount(stored - 1)), 0U);
  EXPECT_EQ(t.check(), "");
}

// The file may grow, its disk may not let it: what was promised is kept, nothing more is promised.
TEST(MmInjection, AFullDiskRefusesCommitAndKeepsPromises) {
  TestMachineConfig config = small_config();
  config.disks = {{.capacity = 1_MiB + 64_KiB}};
  config.paging_files = {{.name = "p", .disk = 0, .minimum = 1_MiB, .maximum = 64_MiB}};
  TestMachine t(config);
  const PageCount grown{16};  // 64 KB.
  const PageCount limit = t.manager().commit().limit;
  const VirtualAddress base = t.reserve(PageCount(1024));
  const PageCount room = limit + grown - t.manager().commit().charged;

  const auto refused = t.space().commit(t.cpu(), base, bytes_of(room + 1_pages), Protection::kReadWrite);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), Status::kCommitmentLimit);
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(t.space().commit(t.cpu(), base, bytes_of(room), Protection::kReadWrite));
  EXPECT_EQ(t.manager().commit().charged, t.manager().commit().limit);
  EXPECT_EQ(t.manager().commit().limit, limit + grown);

  t.fill(base, room);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(base, room), 0U);
  EXPECT_FALSE(t.space().commit(t.cpu(), base + bytes_of(room), kPageSize, Protection::kReadWrite));
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm::testing
