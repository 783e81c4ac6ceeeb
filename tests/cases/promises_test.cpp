// What was promised is kept: committed memory can be touched, and nothing that a caller can cause throws.
#include <gtest/gtest.h>

#include <span>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm::testing {
namespace {

// 16 MiB of memory, and a paging file with room for all that is promised here.
constexpr PageCount kFrames{4096};
constexpr std::uint64_t kPagesOfATable = 512;

TestMachineConfig large_paging_file() {
  return {.frames = kFrames,
          .paging_files = {{.name = "pagefile.sys", .disk = 0, .minimum = 256_MiB, .maximum = 256_MiB}}};
}

// Commits the first page of each 2 MB of a region, which needs a page table each, until that is refused or the region
// ends. Commit is refused for want of commit only, not for want of frames.
std::uint64_t commit_sparsely(TestMachine& t, VirtualAddress base, std::uint64_t most) {
  for (std::uint64_t i = 0; i < most; ++i) {
    const auto committed =
        t.space().commit(t.cpu(), TestMachine::page(base, i * kPagesOfATable), kPageSize, Protection::kReadWrite);
    if (committed) continue;
    EXPECT_EQ(committed.error(), Status::kCommitmentLimit) << "after " << i << " pages";
    return i;
  }
  return most;
}

void touch_sparsely(TestMachine& t, VirtualAddress base, std::uint64_t pages) {
  for (std::uint64_t i = 0; i < pages; ++i)
    ASSERT_EQ(t.put(base, i * kPagesOfATable, i + 1), Status::kSuccess) << "page " << i << " of " << pages;
  for (std::uint64_t i = 0; i < pages; ++i) ASSERT_EQ(t.get(base, i * kPagesOfATable), i + 1);
}

TEST(Promises, PrivatePagesWithAPageTableEachCanAllBeTouched) {
  constexpr std::uint64_t kMost = 8000;
  TestMachine t(large_paging_file());
  const VirtualAddress base = t.reserve(PageCount(kMost * kPagesOfATable));
  touch_sparsely(t, base, commit_sparsely(t, base, kMost));
  EXPECT_EQ(t.check(), "");
}

// The store knows a page by where its entry lies, so that the table stays with it: each of these tables would, for good.
TEST(Promises, PagesWithAPageTableEachCanAllBeTouchedWhileTheStoreHasThem) {
  constexpr std::uint64_t kMost = 8000;
  TestMachineConfig config = large_paging_file();
  config.tunables.compression_budget = kFrames / 2;
  TestMachine t(config);
  const VirtualAddress base = t.reserve(PageCount(kMost * kPagesOfATable));
  touch_sparsely(t, base, commit_sparsely(t, base, kMost));
  EXPECT_GT(t.manager().counters().pages_evicted, kMost / 2);
  EXPECT_EQ(t.check(), "");
}

// Pages that compress to three quarters, in a store as large as memory: what is in it has to go on.
TEST(Promises, PagesThatCompressBadlyCanAllBeTouchedHoweverLargeTheStoreMayBe) {
  constexpr PageCount kMemory{256};
  TestMachineConfig config{.frames = kMemory};
  config.tunables.compression_budget = kMemory;
  TestMachine t(config);
  const auto pages = t.manager().commit().limit - t.manager().commit().charged - PageCount(8);  // Page tables.
  const VirtualAddress base = t.commit(pages);
  std::vector<std::byte> bytes(kPageBytes * 7 / 10);
  Random random(1);
  for (std::uint64_t page = 0; page < pages.value(); ++page) {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.next());
    ASSERT_TRUE(t.cpu().store(TestMachine::page(base, page), std::span<const std::byte>(bytes))) << page;
  }
  for (std::uint64_t page = pages.value(); page-- > 0;) ASSERT_TRUE(t.get(base, page)) << page;
  EXPECT_EQ(t.check(), "");
}

TEST(Promises, SectionPagesWithAPageOfPrototypesEachCanAllBeTouched) {
  constexpr std::uint64_t kMost = 6000;
  TestMachine t(large_paging_file());
  Section& section = **t.manager().sections().create(
      t.cpu(), {.size = bytes_of(PageCount(kMost * kPagesOfATable)), .flags = {.reserve = true}});
  const VirtualAddress base(t.space().map_view(t.cpu(), section, {})->first);
  touch_sparsely(t, base, commit_sparsely(t, base, kMost));
  EXPECT_EQ(t.check(), "");
}

// CR3 holds 32 bits where the mode is PAE.
TEST(Promises, APaeRootLiesBelow4GiB) {
  constexpr std::uint32_t kFramesBelow = 1U << 20;
  const auto machine = *machine::SimMachine::create(
      {.frames = PageCount(kFramesBelow + (1U << 16)), .paging = machine::PteFormat::kPae, .disks = {{}}});
  const auto manager = *MemoryManager::create(*machine, {});
  Processor& cpu = machine->processor();
  {
    // All but a few of the frames below are taken by others, the first in use by order.
    PfnDatabase& pfns = manager->core().pfns;
    const LockGuard guard(pfns.lock);
    std::vector<Pfn> spared;
    for (std::uint32_t i = 0; i < kFramesBelow + 5; ++i) {
      const Pfn frame = pfns.take(cpu, Contents::kAny)->frame;
      if (spared.size() < 64 && frame.value() > 1000 && frame.value() < kFramesBelow)
        spared.push_back(frame);
      else
        pfns.make_nonpaged(frame);
    }
    for (const Pfn frame : spared) pfns.give_back(frame, Contents::kAny);
  }
  const auto space = manager->create_space(cpu, {});
  ASSERT_TRUE(space) << to_string(space.error());
  EXPECT_LT((*space)->root().value(), kFramesBelow);
  // Until there is none: those above do not help.
  Status status = Status::kSuccess;
  for (int i = 0; i < 64 && status == Status::kSuccess; ++i) {
    const auto more = manager->create_space(cpu, {});
    status = more ? Status::kSuccess : more.error();
    if (more) {
      EXPECT_LT((*more)->root().value(), kFramesBelow);
    }
  }
  EXPECT_EQ(status, Status::kInsufficientResources);
}

// If each working set reserved address space for every frame of the machine, this process's 128 TiB would not do.
TEST(Promises, AHostOf1TiBHasRoomFor12000Processes) {
  constexpr PageCount kHost = pages_of(ByteCount(std::uint64_t{1} << 40));
  const auto machine = *machine::SimMachine::create({.frames = kHost, .disks = {{}}});
  const auto manager =
      *MemoryManager::create(*machine, {.paging_files = {{.disk = 0, .minimum = 1_GiB, .maximum = 1_GiB}}});
  for (int i = 0; i < 12000; ++i) {
    Result<ProcessSpace*> space = fail(Status::kPending);
    ASSERT_NO_THROW(space = manager->create_space(machine->processor(), {})) << "process " << i;
    ASSERT_TRUE(space) << "process " << i << ": " << to_string(space.error());
  }
}

// Counts are wide enough for what callers may do.
TEST(Promises, AFrameIsHeldByAsManyAsAsk) {
  constexpr std::uint32_t kHolds = 1U << 17;  // More than 16 bits count.
  TestMachine t;
  const auto file = t.add_file(PageCount(1));
  Section& section = **t.manager().sections().create(t.cpu(), {.file = file, .kind = SectionKind::kData});
  Pfn held = kNoPfn;
  for (std::uint32_t i = 0; i < kHolds; ++i) {
    const auto frame = t.manager().sections().hold(t.cpu(), section.control_area(), PageCount(0));
    ASSERT_TRUE(frame) << i;
    held = *frame;
  }
  ASSERT_EQ(t.core().pfns.entry(held).reference_count, kHolds);
  for (std::uint32_t i = 0; i < kHolds; ++i) t.manager().sections().let_go(held, PteCodec::Dirty::kNo);
  EXPECT_EQ(t.core().pfns.entry(held).reference_count, 0U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm::testing
