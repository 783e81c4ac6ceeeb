#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::Access;
using testing::TestMachine;
using testing::TestMachineConfig;

class Views : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  Views() : t(config()), other(t.add_space()) {}

  static TestMachineConfig config() {
    return {.frames = PageCount(512),
            .paging = GetParam(),
            .processors = 2,
            .disks = {machine::DiskModel{.capacity = 4_TiB}}};
  }

  Section& make(ByteCount size, Protection protection = Protection::kReadWrite, SectionFlags flags = {}) {
    return **t.manager().sections().create(t.cpu(), {.size = size, .protection = protection, .flags = flags});
  }
  std::shared_ptr<FileStream> file(std::uint64_t pages) {
    auto disk_file = *t.machine().sim_disk(0).create("data");
    PAGODA_CHECK(disk_file->resize(bytes_of(PageCount(pages))).has_value());
    auto stream = std::make_shared<FileStream>("data", std::move(disk_file));
    std::vector<std::byte> bytes(pages * kPageBytes);
    for (std::uint64_t page = 0; page < pages; ++page) std::memcpy(bytes.data() + page * kPageBytes, &page, 8);
    PAGODA_CHECK(t.manager().sections().write(t.cpu(), stream, FileOffset{}, bytes).has_value());
    PAGODA_CHECK(t.manager().sections().flush(t.cpu(), *stream, FileOffset{}, ByteCount{}).has_value());
    return stream;
  }
  Section& data(const std::shared_ptr<FileStream>& stream, Protection protection = Protection::kReadWrite) {
    return **t.manager().sections().create(t.cpu(),
                                           {.file = stream, .kind = SectionKind::kData, .protection = protection});
  }
  VirtualAddress map(ProcessSpace& space, Section& section, Protection protection = Protection::kReadWrite,
                     ByteCount offset = {}, ByteCount size = {}) {
    return VirtualAddress(
        space.map_view(t.cpu(), section, {.offset = offset, .size = size, .protection = protection})->first);
  }
  void close(Section& section) { t.manager().sections().dereference(t.cpu(), section); }
  void run_in_other(unsigned processor = 1) { t.manager().attach(t.cpu(processor), other); }

  TestMachine t;
  ProcessSpace& other;
};

TEST_P(Views, OfOneSectionShowTheSamePages) {
  Section& section = make(64_KiB);
  const VirtualAddress here = map(t.space(), section);
  const VirtualAddress there = map(other, section);
  run_in_other();
  t.must_put(here, 3, 33);
  EXPECT_EQ(*t.get(there, 3, 1), 33U);
  t.must_put(there, 3, 34, 1);
  EXPECT_EQ(*t.get(here, 3), 34U);
  EXPECT_EQ(t.entry(here + kPageSize * 3).share_count, 2U);
  EXPECT_EQ(t.faults(FaultKind::kShared), 1U);
  EXPECT_EQ(t.check(), "");
  close(section);
  EXPECT_EQ(t.check(), "");
  EXPECT_TRUE(t.space().unmap_view(t.cpu(), here + kPageSize * 5));
  EXPECT_EQ(*t.get(there, 3, 1), 34U);
  EXPECT_TRUE(other.unmap_view(t.cpu(1), there));
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
}

TEST_P(Views, SharedPagesSurviveBeingTrimmedAndPagedOut) {
  Section& section = make(256_KiB);
  const VirtualAddress here = map(t.space(), section);
  const VirtualAddress there = map(other, section);
  run_in_other();
  t.fill(here, PageCount(64));
  for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(*t.get(there, i, 1), i + 1);
  EXPECT_EQ(t.check(), "");
  t.space().empty_working_set(t.cpu());
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.kind(here), PteKind::kPrototype);
  other.empty_working_set(t.cpu(1));
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(t.check(), "");
  EXPECT_GE(t.slots_used(), PageCount(64));
  for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(*t.get(there, i, 1), i + 1);
  EXPECT_GT(t.faults(FaultKind::kPageFile), 0U);
  EXPECT_EQ(t.differences(here, PageCount(64)), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, WriteCopyGivesAPrivatePageAndLeavesTheShared) {
  Section& section = make(64_KiB);
  const VirtualAddress here = map(t.space(), section);
  const VirtualAddress copy = map(t.space(), section, Protection::kWriteCopy);
  t.must_put(here, 0, 1);
  EXPECT_EQ(*t.get(copy, 0), 1U);
  const PageCount before = t.manager().commit().charged;
  t.must_put(copy, 0, 2);
  EXPECT_EQ(t.faults(FaultKind::kCopyOnWrite), 1U);
  EXPECT_EQ(*t.get(here, 0), 1U);
  EXPECT_EQ(*t.get(copy, 0), 2U);
  // A page that nobody touched: straight to a private page of zeros.
  t.must_put(copy, 1, 3);
  EXPECT_EQ(*t.get(here, 1), 0U);
  EXPECT_EQ(t.manager().commit().charged, before);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(*t.get(copy, 0), 2U);
  EXPECT_EQ(*t.get(copy, 1), 3U);
  EXPECT_EQ(*t.get(here, 0), 1U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, OfAFileReadItAndWriteItBack) {
  const auto stream = file(40);
  Section& section = data(stream);
  const VirtualAddress here = map(t.space(), section);
  const VirtualAddress there = map(other, section);
  run_in_other();
  for (unsigned i = 0; i < 40; ++i) EXPECT_EQ(*t.get(here, i), i);
  for (unsigned i = 0; i < 40; i += 3) t.must_put(here, i, 1000 + i);
  EXPECT_EQ(*t.get(there, 3, 1), 1003U);
  EXPECT_EQ(t.check(), "");
  EXPECT_TRUE(t.space().flush_view(t.cpu(), here, {}));
  std::uint64_t word = 0;
  ASSERT_TRUE(stream->file().peek(FileOffset(3 * kPageBytes), std::as_writable_bytes(std::span(&word, 1))));
  EXPECT_EQ(word, 1003U);
  EXPECT_EQ(t.check(), "");
  t.must_put(here, 3, 2003);
  t.space().empty_working_set(t.cpu());
  other.empty_working_set(t.cpu(1));
  EXPECT_EQ(t.check(), "");
  EXPECT_TRUE(t.manager().flush_modified(t.cpu()));
  ASSERT_TRUE(stream->file().peek(FileOffset(3 * kPageBytes), std::as_writable_bytes(std::span(&word, 1))));
  EXPECT_EQ(word, 2003U);
  t.push_out();
  EXPECT_EQ(t.manager().frame_counts().prototypes, 0_pages);
  EXPECT_EQ(*t.get(there, 3, 1), 2003U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, PagesOfAFileThatNobodyMapsStayOnStandby) {
  const auto stream = file(8);
  Section& section = data(stream);
  const VirtualAddress here = map(t.space(), section);
  EXPECT_EQ(*t.get(here, 1), 1U);
  EXPECT_TRUE(t.space().unmap_view(t.cpu(), here));
  close(section);
  EXPECT_EQ(t.check(), "");
  const std::uint64_t reads = t.manager().counters().mapped_file_reads;
  Section& again = data(stream);
  const VirtualAddress there = map(t.space(), again);
  EXPECT_EQ(*t.get(there, 1), 1U);
  EXPECT_EQ(t.manager().counters().mapped_file_reads, reads);
  EXPECT_TRUE(t.space().unmap_view(t.cpu(), there));
  close(again);
  t.push_out();
  t.manager().sections().reap(t.cpu());
  const LockGuard guard(t.manager().sections().lock);
  EXPECT_TRUE(t.manager().sections().areas().empty());
}

TEST_P(Views, OfReservedSectionsAreCommittedForAll) {
  Section& section = make(1_MiB, Protection::kReadWrite, {.reserve = true});
  const VirtualAddress here = map(t.space(), section);
  const VirtualAddress there = map(other, section);
  run_in_other();
  EXPECT_EQ(t.put(here, 20, 1), Status::kAccessViolation);
  EXPECT_EQ(t.space().query(t.cpu(), here)->state, MemoryState::kReserved);
  EXPECT_TRUE(t.space().commit(t.cpu(), here + kPageSize * 16, 64_KiB, Protection::kReadWrite));
  t.must_put(here, 20, 7);
  EXPECT_EQ(*t.get(there, 20, 1), 7U);
  const auto info = *other.query(t.cpu(1), there);
  EXPECT_EQ(info.state, MemoryState::kReserved);
  EXPECT_EQ(info.size, 64_KiB);
  const auto next = *other.query(t.cpu(1), there + 64_KiB);
  EXPECT_EQ(next.state, MemoryState::kCommitted);
  EXPECT_EQ(next.size, 64_KiB);
  EXPECT_EQ(next.type, MemoryType::kMapped);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, ProtectionsDifferByViewAndPage) {
  Section& section = make(64_KiB);
  const VirtualAddress here = map(t.space(), section);
  const VirtualAddress there = map(t.space(), section);
  t.fill(here, PageCount(16));
  EXPECT_EQ(t.space().protect(t.cpu(), there, kPageSize * 2, Protection::kReadOnly), Protection::kReadWrite);
  EXPECT_EQ(t.put(there, 0, 5), Status::kAccessViolation);
  EXPECT_EQ(*t.get(there, 0), 1U);
  t.must_put(here, 0, 5);
  EXPECT_EQ(*t.get(there, 0), 5U);
  EXPECT_EQ(t.space().protect(t.cpu(), here, kPageSize, Protection::kNoAccess), Protection::kReadWrite);
  EXPECT_EQ(t.get(here, 0).error(), Status::kAccessViolation);
  EXPECT_EQ(*t.get(there, 0), 5U);
  EXPECT_EQ(t.check(), "");
  t.push_out();
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(*t.get(there, 0), 5U);
  EXPECT_EQ(t.get(here, 0).error(), Status::kAccessViolation);
  EXPECT_EQ(t.space().protect(t.cpu(), here, kPageSize * 2, with_modifier(Protection::kReadWrite, kProtectionGuard)),
            Protection::kNoAccess);
  EXPECT_EQ(t.put(here, 1, 6), Status::kGuardPageViolation);
  t.must_put(here, 1, 6);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.space().protect(t.cpu(), here, kPageSize, Protection::kExecuteRead).error(), Status::kSectionProtection);
}

TEST_P(Views, ChangingToWriteCopyIsCharged) {
  Section& section = make(64_KiB);
  const VirtualAddress here = map(t.space(), section);
  t.must_put(here, 0, 1);
  const PageCount before = t.manager().commit().charged;
  EXPECT_TRUE(t.space().protect(t.cpu(), here, kPageSize * 4, Protection::kWriteCopy));
  EXPECT_EQ(t.manager().commit().charged, before + 4_pages);
  EXPECT_EQ(t.check(), "");
  t.must_put(here, 0, 2);
  EXPECT_EQ(t.check(), "");
  EXPECT_TRUE(t.space().protect(t.cpu(), here, kPageSize * 4, Protection::kReadOnly));
  EXPECT_EQ(t.manager().commit().charged, before + 1_pages);  // The copy stays private.
  EXPECT_EQ(*t.get(here, 0), 2U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, OfAHugeSparseFileCostWhatIsTouched) {
  if (GetParam() != machine::PteFormat::kAmd64) GTEST_SKIP() << "a view of 1 TiB needs 48 bits of address";
  auto disk_file = *t.machine().sim_disk(0).create("sparse");
  ASSERT_TRUE(disk_file->resize(1_TiB));
  const auto stream = std::make_shared<FileStream>("sparse", std::move(disk_file));
  Section& section = data(stream);
  const PageCount available = t.available();
  const PageCount charged = t.manager().commit().charged;
  const VirtualAddress base = map(t.space(), section);
  EXPECT_EQ(t.available(), available);
  EXPECT_EQ(t.manager().commit().charged, charged);
  const VirtualAddress middle = base + ByteCount((512_GiB).value());
  t.must_put(middle, 0, 42);
  EXPECT_EQ(t.check(), "");
  EXPECT_GE(t.available() + 16_pages, available);
  EXPECT_TRUE(t.space().flush_view(t.cpu(), middle, kPageSize));
  std::uint64_t word = 0;
  ASSERT_TRUE(stream->file().peek(FileOffset((512_GiB).value()), std::as_writable_bytes(std::span(&word, 1))));
  EXPECT_EQ(word, 42U);
}

// The table that the fault needs is the one whose last page it replaces.
TEST_P(Views, OfAHugeSparseFileKeepTheTableOfTheFaultThatReplaces) {
  if (GetParam() != machine::PteFormat::kAmd64) GTEST_SKIP() << "a view of 1 TiB needs 48 bits of address";
  auto disk_file = *t.machine().sim_disk(0).create("sparse");
  ASSERT_TRUE(disk_file->resize(2_GiB));
  Section& section = data(std::make_shared<FileStream>("sparse", std::move(disk_file)));
  const VirtualAddress base = map(t.space(), section);
  ASSERT_TRUE(t.space().set_limits(
      t.cpu(), {.minimum = 1_pages, .maximum = 1_pages, .kind = WorkingSet::Limits::Maximum::kHard}));
  for (std::uint64_t i = 0; i < 600; ++i) t.must_put(base, i, i + 1);
  EXPECT_EQ(t.resident(), 1_pages);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.differences(base, PageCount(600)), 0U);
}

// Each page of these needs a page table and a page of prototype PTEs to itself: more than the machine has.
TEST_P(Views, OfAHugeSparseFileGiveTheirPageTablesBack) {
  if (GetParam() != machine::PteFormat::kAmd64) GTEST_SKIP() << "a view of 1 TiB needs 48 bits of address";
  auto disk_file = *t.machine().sim_disk(0).create("sparse");
  ASSERT_TRUE(disk_file->resize(1_TiB));
  const auto stream = std::make_shared<FileStream>("sparse", std::move(disk_file));
  Section& section = data(stream);
  const VirtualAddress base = map(t.space(), section);
  for (std::uint64_t i = 0; i < 1000; ++i) t.must_put(base + 2_MiB * i, 0, i + 1);
  EXPECT_EQ(t.check(), "");
  for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(*t.get(base + 2_MiB * i, 0), i + 1);
  t.page_out();
  EXPECT_EQ(t.check(), "");
  EXPECT_LE(t.manager().frame_counts().page_tables, 2_pages) << "the roots of the two spaces";
}

TEST_P(Views, GrowWithTheirSection) {
  const auto stream = file(4);
  Section& section = data(stream);
  const auto view =
      t.space().map_view(t.cpu(), section, {.size = 64_KiB, .protection = Protection::kReadWrite, .extendable = true});
  ASSERT_TRUE(view);
  const VirtualAddress base(view->first);
  EXPECT_EQ(*t.get(base, 3), 3U);
  EXPECT_EQ(t.get(base, 8).error(), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.manager().sections().extend(t.cpu(), section, 64_KiB), 64_KiB);
  t.must_put(base, 8, 88);
  EXPECT_EQ(*t.get(base, 8), 88U);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.manager().sections().extend(t.cpu(), section, 8_MiB), 8_MiB);
  const VirtualAddress far = map(t.space(), section, Protection::kReadWrite, 7_MiB);
  t.must_put(far, 10, 10);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, RefuseInNtsOrder) {
  Section& section = make(1_MiB);
  const auto status = [&](const ViewRequest& request) {
    const auto result = t.space().map_view(t.cpu(), section, request);
    return result ? Status::kSuccess : result.error();
  };
  EXPECT_EQ(status({.base = VirtualAddress(~std::uint64_t{0xFFF})}), Status::kInvalidParameter3);
  EXPECT_EQ(status({.base = VirtualAddress(0x11000)}), Status::kMappedAlignment);
  EXPECT_EQ(status({.offset = 4_KiB}), Status::kMappedAlignment);
  EXPECT_EQ(status({.protection = Protection::kExecuteRead}), Status::kSectionProtection);
  EXPECT_EQ(status({.offset = 1_MiB}), Status::kInvalidViewSize);
  EXPECT_EQ(status({.size = 2_MiB}), Status::kInvalidViewSize);
  EXPECT_EQ(status({.size = 1_MiB + 1_B}), Status::kInvalidViewSize);
  EXPECT_EQ(status({.size = 64_KiB, .commit = 128_KiB}), Status::kInvalidParameter5);
  EXPECT_EQ(status({.size = 64_KiB + 1_B, .commit = 64_KiB + 2_B}), Status::kInvalidParameter5);
  EXPECT_EQ(status({.extendable = true}), Status::kInvalidParameter9);
  EXPECT_EQ(status({.protection = with_modifier(Protection::kReadWrite, kProtectionWriteCombine)}),
            Status::kInvalidParameter10);
  EXPECT_EQ(status({.wishes = {.highest = VirtualAddress(0x8FFFF)}}),
            Status::kNoMemory);  // At once: waiting makes no gap.
  EXPECT_EQ(status({.base = VirtualAddress(0x100000)}), Status::kSuccess);
  EXPECT_EQ(status({.base = VirtualAddress(0x1F0000)}), Status::kConflictingAddresses);
  EXPECT_EQ(t.space().unmap_view(t.cpu(), VirtualAddress(0x10000)).error(), Status::kNotMappedView);
  EXPECT_EQ(t.space().release(t.cpu(), VirtualAddress(0x100000), {}).error(), Status::kUnableToDeleteSection);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, ThatAreRefusedCommitNothing) {
  Section& section = make(4_MiB, Protection::kReadWrite, {.reserve = true});
  const VirtualAddress base = map(t.space(), section);
  const PageCount charged = t.manager().commit().charged;
  // Enough for the pages or for their copies, but not for both.
  const auto refused = t.space().map_view(t.cpu(), section, {.commit = 4_MiB, .protection = Protection::kWriteCopy});
  EXPECT_EQ(refused.error(), Status::kCommitmentLimit);
  EXPECT_EQ(t.space().query(t.cpu(), base)->state, MemoryState::kReserved);
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, WithoutAGapAreRefusedAtOnce) {
  Section& section = make(1_MiB);
  const auto result = t.space().map_view(t.cpu(), section, {.wishes = {.highest = VirtualAddress(0x8FFFF)}});
  EXPECT_EQ(result.error(), Status::kNoMemory);
  EXPECT_EQ(t.manager().counters().shortages, 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, FaultsThatMapNothingLeaveNoPageTable) {
  Section& reserved = make(64_KiB, Protection::kReadWrite, {.reserve = true});
  const VirtualAddress here = map(t.space(), reserved);
  EXPECT_EQ(t.get(here, 0).error(), Status::kAccessViolation);
  EXPECT_EQ(t.check(), "");
  const auto stream = file(2);
  const VirtualAddress there = map(other, data(stream));
  run_in_other();
  t.push_out();
  t.injection().read_error_rate = 1;
  EXPECT_EQ(t.get(there, 0, 1).error(), Status::kInPageError);
  EXPECT_EQ(t.check(), "");
  t.injection().read_error_rate = 0;
  EXPECT_EQ(*t.get(there, 0, 1), 0U);
  EXPECT_EQ(*t.get(there, 1, 1), 1U);  // Read though its page failed before.
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, BehindTheEndOfAFileAreNotWhatItGrowsBy) {
  const auto stream = file(2);
  Sections& sections = t.manager().sections();
  ASSERT_TRUE(sections.set_file_size(t.cpu(), *stream, kPageSize + 100_B));
  Section& section = data(stream);
  const VirtualAddress base = map(t.space(), section);
  const VirtualAddress behind = base + kPageSize + 200_B;
  ASSERT_TRUE(t.cpu().store<std::uint64_t>(behind, 5));
  ASSERT_TRUE(sections.flush(t.cpu(), *stream, FileOffset{}, ByteCount{}));
  EXPECT_EQ(t.check(), "");
  ASSERT_TRUE(sections.set_file_size(t.cpu(), *stream, kPageSize * 2));
  EXPECT_EQ(*t.cpu().load<std::uint64_t>(behind), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, FileIsCutOnlyWhenTheLastPageIsThere) {
  const auto stream = file(40);
  const std::uint64_t word = 77;
  Sections& sections = t.manager().sections();
  t.push_out();
  ASSERT_TRUE(sections.write(t.cpu(), stream, FileOffset(30 * kPageBytes), std::as_bytes(std::span(&word, 1))));
  t.injection().read_error_rate = 1;
  EXPECT_EQ(sections.set_file_size(t.cpu(), *stream, kPageSize + 8_B).error(), Status::kInPageError);
  t.injection().read_error_rate = 0;
  EXPECT_EQ(stream->size(), kPageSize * 40);
  std::uint64_t read = 0;
  ASSERT_TRUE(sections.read(t.cpu(), stream, FileOffset(30 * kPageBytes), std::as_writable_bytes(std::span(&read, 1))));
  EXPECT_EQ(read, 77U);  // It was modified, and is still there.
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, ThatCannotBeMadeCommitNothing) {
  Section& section = make(1_MiB, Protection::kReadWrite, {.reserve = true});
  for (ByteCount size = 1_MiB; size >= kPageSize; size = size / 2)
    while (t.space().reserve({.size = size, .commit = MemCommit::kYes})) {
    }
  const auto charged = t.manager().commit().charged;
  // Not the commit of 64 KB, nor the copies that the view may need.
  EXPECT_EQ(t.space().map_view(t.cpu(), section, {.commit = 1_MiB}).error(), Status::kCommitmentLimit);
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.check(), "");
}

TEST_P(Views, OfFilesThatCannotBeReadLeaveNothing) {
  const auto stream = file(4);
  t.manager().sections().drop_unused(t.cpu());
  t.injection().read_error_rate = 1;
  std::array<std::byte, 8> bytes{};
  EXPECT_EQ(t.manager().sections().read(t.cpu(), stream, FileOffset{}, bytes).error(), Status::kInPageError);
  EXPECT_EQ(t.check(), "");
  const LockGuard guard(t.manager().sections().lock);
  EXPECT_TRUE(t.manager().sections().areas().empty());
}

TEST_P(Views, EverythingComesBack) {
  const PageCount charged = t.manager().commit().charged;
  const PageCount available = t.available();
  ProcessSpace& mortal = t.add_space();
  t.manager().attach(t.cpu(1), mortal);
  Section& section = make(1_MiB);
  Section& reserved = make(1_MiB, Protection::kReadWrite, {.reserve = true});
  for (Section* const mapped : {&section, &reserved}) {
    const VirtualAddress base = map(mortal, *mapped);
    if (mapped == &reserved) {
      ASSERT_TRUE(mortal.commit(t.cpu(1), base, 512_KiB, Protection::kReadWrite));
    }
    for (unsigned i = 0; i < 100; ++i) t.must_put(base, i, i, 1);
    const VirtualAddress copy = map(mortal, *mapped, Protection::kWriteCopy);
    for (unsigned i = 0; i < 50; ++i) t.must_put(copy, i, i, 1);
    close(*mapped);
  }
  mortal.empty_working_set(t.cpu(1));
  EXPECT_EQ(t.check(), "");
  t.manager().attach(t.cpu(1), t.space());
  t.manager().destroy_space(t.cpu(), mortal);
  t.finish_io();
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.manager().commit().charged, charged);
  EXPECT_EQ(t.available(), available);
  EXPECT_EQ(t.slots_used(), 0_pages);
}

INSTANTIATE_TEST_SUITE_P(Modes, Views,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& mode) { return std::string(machine::paging_mode(mode.param).name); });

}  // namespace
}  // namespace pagoda::mm
