// AWE: frames of a program's own, mapped in windows.
#include "pagoda/mm/region/user_pages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

template <class T>
Status status_of(const Result<T>& result) {
  return result ? Status::kSuccess : result.error();
}

class AweTest : public ::testing::TestWithParam<machine::PteFormat> {
 protected:
  AweTest() : t_({.frames = PageCount(512), .paging = GetParam(), .processors = 2}) { window_ = window(PageCount(16)); }

  VirtualAddress window(PageCount pages) {
    return VirtualAddress(t_.space().reserve({.size = bytes_of(pages), .type = VadType::kAwe})->first);
  }
  std::vector<Pfn> allocate(PageCount count) {
    auto frames = t_.space().user_pages().allocate(t_.cpu(), count);
    EXPECT_TRUE(frames);
    return frames.value_or(std::vector<Pfn>{});
  }
  Status map(VirtualAddress va, std::span<const Pfn> frames) {
    return status_of(t_.space().user_pages().map(t_.cpu(), va, frames));
  }
  Status unmap(VirtualAddress va, PageCount count) {
    return status_of(t_.space().user_pages().unmap(t_.cpu(), va, count));
  }
  Status scatter(std::span<const VirtualAddress> addresses, std::span<const Pfn> frames) {
    return status_of(t_.space().user_pages().map_scatter(t_.cpu(), addresses, frames));
  }
  [[nodiscard]] VirtualAddress at(std::uint64_t page) const { return TestMachine::page(window_, page); }
  [[nodiscard]] PageCount charged() { return t_.manager().commit().charged; }

  TestMachine t_;
  VirtualAddress window_;
};

INSTANTIATE_TEST_SUITE_P(AllModes, AweTest,
                         ::testing::Values(machine::PteFormat::kX86, machine::PteFormat::kPae,
                                           machine::PteFormat::kAmd64),
                         [](const ::testing::TestParamInfo<machine::PteFormat>& test) {
                           return std::string(machine::paging_mode(test.param).name);
                         });

TEST_P(AweTest, WindowsAreReadWriteAndNotCommitted) {
  const auto reserve = [&](Protection protection, MemCommit commit) {
    return status_of(
        t_.space().reserve({.size = 64_KiB, .protection = protection, .commit = commit, .type = VadType::kAwe}));
  };
  EXPECT_EQ(reserve(Protection::kWriteCopy, MemCommit::kYes), Status::kInvalidParameter5);
  EXPECT_EQ(reserve(Protection::kWriteCopy, MemCommit::kNo), Status::kInvalidPageProtection);
  EXPECT_EQ(reserve(Protection::kReadOnly, MemCommit::kNo), Status::kInvalidParameter6);
  ProcessSpace& space = t_.space();
  EXPECT_EQ(t_.touch(window_), Status::kAccessViolation);
  EXPECT_EQ(status_of(space.commit(t_.cpu(), window_, 4_KiB, Protection::kReadWrite)), Status::kConflictingAddresses);
  EXPECT_EQ(status_of(space.decommit(t_.cpu(), window_, 0_B)), Status::kMemoryNotAllocated);
  EXPECT_EQ(status_of(space.release(t_.cpu(), window_, 4_KiB)), Status::kFreeVmNotAtBase);
  EXPECT_EQ(status_of(space.protect(t_.cpu(), window_, 4_KiB, Protection::kReadOnly)), Status::kInvalidPageProtection);
  EXPECT_EQ(space.protect(t_.cpu(), window_, 4_KiB, Protection::kReadWrite), Protection::kReadWrite);
  ASSERT_EQ(map(window_, allocate(PageCount(1))), Status::kSuccess);
  for (const VirtualAddress va : {at(0), at(1)}) {
    EXPECT_EQ(status_of(space.lock_pages(t_.cpu(), va, 4_KiB, LockKind::kInMemory)), Status::kIncompatibleFileMap);
    EXPECT_EQ(status_of(space.unlock_pages(t_.cpu(), va, 4_KiB, LockKind::kInMemory)), Status::kNotLocked);
  }
  EXPECT_EQ(status_of(space.secure(t_.cpu(), at(0), 4_KiB, Protection::kReadOnly)), Status::kAccessViolation);
  EXPECT_EQ(status_of(space.reset(t_.cpu(), at(0), 4_KiB)), Status::kConflictingAddresses);
  EXPECT_EQ(space.query(t_.cpu(), at(0))->state, MemoryState::kCommitted);
  EXPECT_EQ(space.query(t_.cpu(), at(1))->state, MemoryState::kReserved);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(AweTest, FramesAreZeroedChargedAndNonpageable) {
  const VirtualAddress old = t_.commit(PageCount(300));
  t_.fill(old, PageCount(300));
  ASSERT_TRUE(t_.space().release(t_.cpu(), old, 0_B));
  const PageCount before = charged();
  const std::vector<Pfn> frames = allocate(PageCount(400));
  ASSERT_EQ(frames.size(), 400U);
  EXPECT_EQ(charged(), before + PageCount(400));
  EXPECT_EQ(t_.check(), "");
  for (std::size_t first = 0; first + 16 <= frames.size(); first += 16) {
    ASSERT_EQ(map(window_, std::span(frames).subspan(first, 16)), Status::kSuccess);
    EXPECT_EQ(t_.get(window_, 3), 0U);
    t_.must_put(window_, 3, first);
  }
  EXPECT_EQ(t_.resident(), 0_pages);
  t_.page_out();
  EXPECT_EQ(t_.get(window_, 3), 384U);
  EXPECT_EQ(t_.faults(FaultKind::kDemandZero), 300U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(AweTest, MapReplacesAndKeepsContents) {
  const std::vector<Pfn> frames = allocate(PageCount(32));
  const std::span<const Pfn> all(frames);
  ASSERT_EQ(map(window_, all.first(16)), Status::kSuccess);
  t_.fill(window_, PageCount(16), 100);
  EXPECT_EQ(t_.get(window_, 5, 1), 105U) << "in the other processor's TLB";
  ASSERT_EQ(map(window_, all.last(16)), Status::kSuccess);
  EXPECT_EQ(t_.get(window_, 5, 1), 0U);
  t_.fill(window_, PageCount(16), 200);
  // Reversed, by permuting what the call itself replaces.
  std::vector<Pfn> reversed(all.rbegin(), all.rbegin() + 16);
  ASSERT_EQ(map(window_, reversed), Status::kSuccess);
  for (std::uint64_t i = 0; i < 16; ++i) EXPECT_EQ(t_.get(window_, i), 215 - i);
  EXPECT_EQ(t_.check(), "");
  ASSERT_EQ(map(at(4), all.first(2)), Status::kSuccess);
  EXPECT_EQ(t_.get(window_, 4), 100U);
  ASSERT_EQ(unmap(at(5), PageCount(11)), Status::kSuccess);
  EXPECT_EQ(t_.get(window_, 5).error(), Status::kAccessViolation);
  EXPECT_EQ(t_.get(window_, 5, 1).error(), Status::kAccessViolation);
  EXPECT_EQ(t_.get(window_, 4), 100U);
  EXPECT_EQ(t_.check(), "");
  ASSERT_EQ(unmap(window_, PageCount(16)), Status::kSuccess);
  EXPECT_EQ(t_.manager().frame_counts().page_tables, 1_pages) << "the root alone";
  EXPECT_EQ(t_.check(), "");
}

TEST_P(AweTest, MapIsAllOrNothing) {
  const std::vector<Pfn> frames = allocate(PageCount(8));
  ProcessSpace& other = t_.add_space();
  const std::vector<Pfn> foreign = *other.user_pages().allocate(t_.cpu(), PageCount(1));
  ASSERT_EQ(map(at(8), std::span(frames).first(1)), Status::kSuccess);
  t_.must_put(at(8), 0, 7);
  const VirtualAddress memory = t_.commit(PageCount(16));
  t_.must_put(memory, 0, 1);
  struct Row {
    const char* mistake;
    VirtualAddress base;
    std::vector<Pfn> frames;
    Status status;
  };
  const std::vector<Row> rows{
      {"leaves the window", at(15), {frames[1], frames[2]}, Status::kInvalidParameter1},
      {"no window", memory, {frames[1]}, Status::kInvalidParameter1},
      {"nothing there", window_ + 64_MiB, {frames[1]}, Status::kInvalidParameter1},
      {"another space's frame", at(0), {frames[1], foreign[0]}, Status::kInvalidParameter3},
      {"a frame of a page", at(0), {frames[1], t_.frame(memory)}, Status::kInvalidParameter3},
      {"a frame never used", at(0), {frames[1], Pfn(500)}, Status::kInvalidParameter3},
      {"no frame", at(0), {frames[1], Pfn(0xFFFFFFF0)}, Status::kInvalidParameter3},
      {"frame 0", at(0), {frames[1], Pfn(0)}, Status::kInvalidParameter3},
      {"repeated", at(0), {frames[1], frames[1]}, Status::kConflictingAddresses},
      {"in use elsewhere", at(0), {frames[1], frames[0]}, Status::kConflictingAddresses},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(map(row.base, row.frames), row.status) << row.mistake;
    EXPECT_EQ(t_.touch(at(0)), Status::kAccessViolation) << row.mistake;
  }
  EXPECT_EQ(unmap(window_, PageCount(std::uint64_t{1} << 52)), Status::kInvalidParameter2);
  EXPECT_EQ(unmap(window_, PageCount(17)), Status::kInvalidParameter1);
  EXPECT_EQ(map(at(0), {}), Status::kSuccess) << "none is none";
  EXPECT_EQ(t_.get(at(8), 0), 7U);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(AweTest, ScatterTakesAnAddressForEachFrame) {
  const std::vector<Pfn> frames = allocate(PageCount(4));
  const VirtualAddress second = window(PageCount(16));
  const std::array addresses{TestMachine::page(second, 9), at(3), at(1)};
  ASSERT_EQ(scatter(addresses, std::span(frames).first(3)), Status::kSuccess);
  t_.must_put(second, 9, 10);
  t_.must_put(window_, 3, 11);
  t_.must_put(window_, 1, 12);
  // Exchanged, and one unmapped.
  ASSERT_EQ(scatter(addresses, std::array{frames[1], frames[0], Pfn(0)}), Status::kSuccess);
  EXPECT_EQ(t_.get(second, 9), 11U);
  EXPECT_EQ(t_.get(window_, 3), 10U);
  EXPECT_EQ(t_.touch(at(1)), Status::kAccessViolation);
  const std::array twice{at(3), at(4), at(3)};
  EXPECT_EQ(scatter(twice, std::span(frames).first(3)), Status::kInvalidParameter1);
  EXPECT_EQ(scatter(std::array{at(3), at(64)}, std::span(frames).first(2)), Status::kInvalidParameter1);
  EXPECT_EQ(scatter(addresses, std::span(frames).first(2)), Status::kInvalidParameter2);
  EXPECT_EQ(scatter(std::array{at(0), at(3)}, std::array{frames[1], frames[2]}), Status::kConflictingAddresses)
      << "mapped in the other window";
  EXPECT_EQ(t_.get(window_, 3), 10U);
  EXPECT_EQ(t_.check(), "");
  ASSERT_EQ(scatter(addresses, {}), Status::kSuccess);
  EXPECT_EQ(t_.touch(second), Status::kAccessViolation);
  EXPECT_EQ(t_.touch(at(3)), Status::kAccessViolation);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(AweTest, FreeUnmapsAndStopsAtTheFirstForeignFrame) {
  const PageCount before = charged();
  const PageCount available = t_.available();
  const std::vector<Pfn> frames = allocate(PageCount(20));
  ASSERT_EQ(map(window_, std::span(frames).first(16)), Status::kSuccess);
  t_.fill(window_, PageCount(16));
  EXPECT_EQ(t_.get(window_, 1, 1), 2U);
  const std::vector<Pfn> some{frames[18], frames[1], frames[2], frames[1], frames[3]};
  const auto freed = t_.space().user_pages().free(t_.cpu(), some);
  EXPECT_EQ(freed.count, PageCount(3)) << "named twice";
  EXPECT_EQ(freed.status, Status::kConflictingAddresses);
  EXPECT_EQ(t_.touch(at(1)), Status::kAccessViolation);
  EXPECT_EQ(t_.touch(at(1), machine::Access::kRead, 1), Status::kAccessViolation);
  EXPECT_EQ(t_.get(window_, 3), 4U);
  EXPECT_EQ(charged(), before + PageCount(17));
  EXPECT_EQ(map(at(1), std::span(some).first(1)), Status::kInvalidParameter3);
  EXPECT_EQ(t_.check(), "");
  std::vector<Pfn> rest(frames);
  std::erase_if(rest, [&](Pfn frame) { return frame == frames[18] || frame == frames[1] || frame == frames[2]; });
  EXPECT_EQ(t_.space().user_pages().free(t_.cpu(), rest).status, Status::kSuccess);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t_.available(), available);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(AweTest, AWindowGoesWithoutItsFramesAndASpaceWithThem) {
  const PageCount before = charged();
  ProcessSpace& other = t_.add_space();
  const std::vector<Pfn> frames = *other.user_pages().allocate(t_.cpu(), PageCount(20));
  const auto first = other.reserve({.size = 64_KiB, .type = VadType::kAwe});
  const auto second = other.reserve({.size = 64_KiB, .type = VadType::kAwe});
  const std::span<const Pfn> some = std::span(frames).first(16);
  ASSERT_TRUE(other.user_pages().map(t_.cpu(), VirtualAddress(first->first), some));
  EXPECT_EQ(status_of(other.user_pages().map(t_.cpu(), VirtualAddress(second->first), some)),
            Status::kConflictingAddresses);
  ASSERT_TRUE(other.release(t_.cpu(), VirtualAddress(first->first), 0_B));
  EXPECT_EQ(t_.check(), "");
  ASSERT_TRUE(other.user_pages().map(t_.cpu(), VirtualAddress(second->first), some)) << "one address for each frame";
  EXPECT_EQ(t_.check(), "");
  t_.manager().destroy_space(t_.cpu(), other);
  EXPECT_EQ(charged(), before);
  EXPECT_EQ(t_.manager().frame_counts().active, t_.manager().frame_counts().page_tables);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(AweTest, GivesFewerThanAskedForAndThenNone) {
  const std::vector<Pfn> frames = allocate(PageCount(100000));
  EXPECT_GT(frames.size(), 400U);
  EXPECT_LT(frames.size(), 512U);
  EXPECT_EQ(status_of(t_.space().user_pages().allocate(t_.cpu(), PageCount(10))), Status::kInsufficientResources);
  // Faults still find their frames.
  const VirtualAddress memory = t_.commit(PageCount(32));
  t_.fill(memory, PageCount(32));
  EXPECT_EQ(t_.differences(memory, PageCount(32)), 0U);
  t_.finish_io();
  EXPECT_EQ(t_.check(), "");
}

TEST(Awe, NoMoreThanMayBePromised) {
  TestMachine t({.frames = PageCount(512), .paging_files = {}});
  const auto room = [&] { return t.manager().commit().limit - t.manager().commit().charged; };
  const auto memory = t.space().reserve({.size = bytes_of(room() - PageCount(30)), .commit = MemCommit::kYes});
  ASSERT_TRUE(memory);
  const PageCount left = room();
  EXPECT_EQ(t.space().user_pages().allocate(t.cpu(), PageCount(100))->size(), left.value());
  EXPECT_EQ(status_of(t.space().user_pages().allocate(t.cpu(), PageCount(1))), Status::kInsufficientResources);
  EXPECT_EQ(t.check(), "");
}

// A 32-bit process on a machine of 64 GB: more memory than it has addresses, and above 4 GB, through 64 KB of them.
TEST(Awe, A32BitProcessUsesMemoryAboveFourGigabytes) {
  constexpr std::uint64_t kFourGigabytes = std::uint64_t{4} << 30;
  Tunables tunables = testing::small_tunables();
  TestMachine t({.frames = pages_of(64_GiB), .paging = machine::PteFormat::kPae, .tunables = tunables});
  const auto frames = t.space().user_pages().allocate(t.cpu(), pages_of(5_GiB));
  ASSERT_TRUE(frames);
  ASSERT_EQ(bytes_of(PageCount(frames->size())), 5_GiB);
  EXPECT_GT(5_GiB, ByteCount(t.core().mode.highest_user.value()));
  const VirtualAddress window(t.space().reserve({.size = 64_KiB, .type = VadType::kAwe})->first);
  const auto high =
      std::ranges::count_if(*frames, [](Pfn frame) { return PhysicalAddress(frame).value() >= kFourGigabytes; });
  EXPECT_GE(static_cast<std::uint64_t>(high), pages_of(1_GiB).value() - 64);
  // Sixteen pages now and then, through all of it; later read again.
  constexpr std::size_t kStep = 16 * 401;
  for (std::size_t first = 0; first + 16 <= frames->size(); first += kStep) {
    ASSERT_TRUE(t.space().user_pages().map(t.cpu(), window, std::span(*frames).subspan(first, 16)));
    t.fill(window, PageCount(16), first);
  }
  for (std::size_t first = 0; first + 16 <= frames->size(); first += kStep) {
    ASSERT_TRUE(t.space().user_pages().map(t.cpu(), window, std::span(*frames).subspan(first, 16)));
    EXPECT_EQ(t.differences(window, PageCount(16), first), 0U);
  }
  ASSERT_TRUE(t.space().user_pages().map(t.cpu(), window, std::span(*frames).last(1)));
  EXPECT_GE(PhysicalAddress(t.frame(window)).value(), kFourGigabytes);
  EXPECT_EQ(t.check(), "");
  EXPECT_EQ(t.space().user_pages().free(t.cpu(), *frames).count, PageCount(frames->size()));
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
