// MEM_COMMIT inside views: reference/nt.md 7.1 (paging-file and file views), issue 10 section 1 (views that are committed
// already, extendable ones).
#include <gtest/gtest.h>

#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/testing/pe_images.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

using enum Protection;

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::kSuccess : result.error();
}

class ViewCommits : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  ViewCommits() : t({.frames = PageCount(512), .paging = GetParam(), .processors = 2}) {}

  Section& make(SectionFlags flags = {}, Protection protection = kReadWrite) {
    return **t.manager().sections().create(t.cpu(), {.size = 64_KiB, .protection = protection, .flags = flags});
  }
  Section& of_file(const std::shared_ptr<FileStream>& file, Protection protection = kReadWrite) {
    return **t.manager().sections().create(t.cpu(),
                                           {.file = file, .kind = SectionKind::kData, .protection = protection});
  }
  VirtualAddress map(Section& section, Protection protection, bool no_change = false) {
    return VirtualAddress(
        t.space().map_view(t.cpu(), section, {.protection = protection, .no_change = no_change})->first);
  }
  // A view of 64 KB, as far as its file reaches now.
  VirtualAddress map_extendable(Section& section, Protection protection = kReadWrite, ByteCount offset = {}) {
    return VirtualAddress(
        t.space()
            .map_view(t.cpu(), section,
                      {.offset = offset, .size = 64_KiB, .protection = protection, .extendable = true})
            ->first);
  }
  Status commit(VirtualAddress base, std::uint64_t page, PageCount count, Protection protection) {
    return status_of(t.space().commit(t.cpu(), TestMachine::page(base, page), bytes_of(count), protection));
  }
  RegionInfo query(VirtualAddress base, std::uint64_t page) {
    return *t.space().query(t.cpu(), TestMachine::page(base, page));
  }

  TestMachine t;
};

TEST_P(ViewCommits, OfCommittedMemoryGiveTheProtection) {
  const VirtualAddress base = map(make(), kReadWrite);
  t.must_put(base, 0, 7);
  const PageCount charged = t.manager().commit().charged;
  EXPECT_EQ(commit(base, 0, 2_pages, kReadWrite), Status::kSuccess);
  EXPECT_EQ(commit(base, 0, 3_pages, kReadOnly), Status::kSuccess);
  EXPECT_EQ(query(base, 0).protection, kReadOnly);
  EXPECT_EQ(query(base, 0).size, 12_KiB);
  EXPECT_EQ(query(base, 3).protection, kReadWrite);
  EXPECT_EQ(*t.get(base, 0), 7U);
  EXPECT_EQ(t.put(base, 1, 1), Status::kAccessViolation);
  EXPECT_EQ(t.manager().commit().charged, charged);
  // The whole of it, with a guard, and as copies, which are charged.
  EXPECT_EQ(commit(base, 0, 16_pages, with_modifier(kReadWrite, kProtectionGuard)), Status::kSuccess);
  EXPECT_EQ(t.put(base, 5, 1), Status::kGuardPageViolation);
  EXPECT_EQ(commit(base, 0, 16_pages, kWriteCopy), Status::kSuccess);
  EXPECT_EQ(t.manager().commit().charged, charged + 16_pages);
  EXPECT_EQ(commit(base, 0, 17_pages, kReadWrite), Status::kConflictingAddresses);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ViewCommits, AreLimitedByWhatTheViewWasMappedWith) {
  for (const bool reserve : {false, true}) {
    Section& section = make({.reserve = reserve}, kExecuteReadWrite);
    const VirtualAddress base = map(section, kReadOnly);
    EXPECT_EQ(commit(base, 0, 1_pages, kReadWrite), Status::kSectionProtection);
    EXPECT_EQ(commit(base, 0, 1_pages, kExecuteRead), Status::kSectionProtection);
    EXPECT_EQ(query(base, 0).state, reserve ? MemoryState::kReserved : MemoryState::kCommitted);
    EXPECT_EQ(commit(base, 0, 1_pages, kWriteCopy), Status::kSuccess);
    EXPECT_EQ(query(base, 0).protection, kWriteCopy);
    EXPECT_EQ(commit(map(section, kNoAccess), 0, 1_pages, kReadOnly), Status::kSectionProtection);
    EXPECT_EQ(commit(map(section, kWriteCopy), 0, 1_pages, kReadWrite), Status::kSectionProtection);
    EXPECT_EQ(commit(map(section, kReadWrite, true), 0, 1_pages, kReadWrite), Status::kInvalidPageProtection);
  }
  EXPECT_EQ(t.check(), "");
}

// A secured range keeps its rights, whatever call asks.
TEST_P(ViewCommits, DoNotWeakenWhatIsSecured) {
  const VirtualAddress base = map(make(), kReadWrite);
  ASSERT_TRUE(t.space().secure(t.cpu(), base, kPageSize, kReadWrite));
  EXPECT_EQ(commit(base, 0, 2_pages, kReadOnly), Status::kInvalidPageProtection);
  EXPECT_EQ(commit(base, 0, 2_pages, kReadWrite), Status::kSuccess);
  EXPECT_EQ(commit(base, 1, 2_pages, kReadOnly), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ViewCommits, OfFilesAndImagesAreCommittedAlready) {
  const VirtualAddress base = map(of_file(t.add_file(4_pages)), kReadOnly);
  auto image_file = std::make_shared<FileStream>("image", *t.machine().sim_disk(0).create("image"));
  ASSERT_TRUE(t.manager().sections().write(t.cpu(), image_file, {}, testing::small_image(PeFormat::kPe32).build()));
  const VirtualAddress image =
      map(**t.manager().sections().create(t.cpu(), {.file = image_file, .kind = SectionKind::kImage}), kReadOnly);
  for (const Protection protection : {kNoAccess, kReadOnly, kWriteCopy, kReadWrite, kExecuteWriteCopy}) {
    SCOPED_TRACE(to_string(protection));
    EXPECT_EQ(commit(base, 0, 1_pages, protection), Status::kAlreadyCommitted);
    EXPECT_EQ(commit(image, 0, 1_pages, protection), Status::kAlreadyCommitted);
  }
  // That a page may not be copied is said once it is known to be private.
  const VirtualAddress own = t.commit(1_pages);
  EXPECT_EQ(commit(own, 0, 1_pages, kWriteCopy), Status::kInvalidPageProtection);
  EXPECT_EQ(commit(own, 0, 32_pages, kWriteCopy), Status::kConflictingAddresses);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ViewCommits, OfExtendableViewsMakeTheFileAsLong) {
  const auto file = t.add_file(2_pages);
  Section& section = of_file(file);
  const VirtualAddress base = map_extendable(section);
  const VirtualAddress there = map_extendable(section, kReadOnly);
  t.manager().sections().dereference(t.cpu(), section);  // The view does without.
  EXPECT_EQ(query(base, 2).state, MemoryState::kReserved);
  EXPECT_EQ(t.get(base, 2).error(), Status::kAccessViolation);
  EXPECT_EQ(commit(base, 2, 2_pages, kReadWrite), Status::kSuccess);
  EXPECT_EQ(file->size(), 16_KiB);
  EXPECT_EQ(query(base, 0).size, 16_KiB);
  EXPECT_EQ(query(base, 4).state, MemoryState::kReserved);
  t.must_put(base, 3, 33);
  EXPECT_EQ(*t.get(there, 3), 33U);
  EXPECT_EQ(t.check(), "");
  // What is there already takes the protection, and the file no other size.
  EXPECT_EQ(commit(base, 0, 2_pages, kReadOnly), Status::kSuccess);
  EXPECT_EQ(query(base, 1).protection, kReadOnly);
  EXPECT_EQ(query(base, 2).protection, kReadWrite);
  EXPECT_EQ(file->size(), 16_KiB);
  // Everything up to the last page that is asked for is there; none but the file says how far that is.
  EXPECT_EQ(commit(there, 8, 1_pages, kReadOnly), Status::kSuccess);
  EXPECT_EQ(file->size(), 36_KiB);
  EXPECT_EQ(*t.get(base, 7), 0U);
  EXPECT_EQ(commit(there, 9, 1_pages, kReadWrite), Status::kSectionProtection);
  EXPECT_EQ(commit(base, 15, 2_pages, kReadWrite), Status::kConflictingAddresses);
  EXPECT_EQ(file->size(), 36_KiB);
  EXPECT_EQ(t.check(), "");
  EXPECT_TRUE(t.space().flush_view(t.cpu(), base, {}));
  std::uint64_t word = 0;
  ASSERT_TRUE(file->file().peek(FileOffset(3 * kPageBytes), std::as_writable_bytes(std::span(&word, 1))));
  EXPECT_EQ(word, 33U);
}

TEST_P(ViewCommits, OfExtendableViewsCountFromTheirPlaceInTheFile) {
  const auto file = t.add_file(17_pages);
  ASSERT_TRUE(t.manager().sections().set_file_size(t.cpu(), *file, 64_KiB + 100_B));
  const VirtualAddress base = map_extendable(of_file(file), kReadWrite, 64_KiB);
  EXPECT_EQ(commit(base, 0, 1_pages, kReadWrite), Status::kSuccess);
  EXPECT_EQ(file->size(), 68_KiB);  // Its last page was begun only.
  EXPECT_EQ(commit(base, 4, 2_pages, kReadWrite), Status::kSuccess);
  EXPECT_EQ(file->size(), 64_KiB + 24_KiB);
  t.must_put(base, 5, 5);
  EXPECT_EQ(t.check(), "");
}

TEST_P(ViewCommits, OfExtendableViewsTellWhenTheDiskIsFull) {
  const auto file = t.add_file(2_pages);
  const VirtualAddress base = map_extendable(of_file(file));
  const auto others = *t.machine().sim_disk(0).create("others");
  for (ByteCount more = 1_TiB; more >= kPageSize; more = more / 2)
    while (others->resize(others->size() + more)) {
    }
  EXPECT_EQ(commit(base, 2, 1_pages, kReadWrite), Status::kDiskFull);
  EXPECT_EQ(file->size(), 8_KiB);
  EXPECT_EQ(query(base, 2).state, MemoryState::kReserved);
  ASSERT_TRUE(others->resize({}));
  EXPECT_EQ(commit(base, 2, 1_pages, kReadWrite), Status::kSuccess);
  EXPECT_EQ(t.check(), "");
}

INSTANTIATE_TEST_SUITE_P(Modes, ViewCommits,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const auto& mode) { return std::string(machine::paging_mode(mode.param).name); });

}  // namespace
}  // namespace pagoda::mm
