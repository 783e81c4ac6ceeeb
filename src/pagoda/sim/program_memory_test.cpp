// Where a program's pages come to lie, and what is remembered about them.
#include "pagoda/sim/program_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <span>
#include <vector>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::sim {
namespace {

using machine::PteFormat;
using mm::testing::TestMachine;

class ProgramMemoryLayout : public testing::TestWithParam<PteFormat> {
 protected:
  TestMachine t_{{.frames = PageCount(1024), .paging = GetParam()}};
  const machine::PagingMode& mode() { return t_.machine().paging(); }
  std::uint64_t own_commit() { return t_.space().statistics().commit.value(); }
};

INSTANTIATE_TEST_SUITE_P(Modes, ProgramMemoryLayout,
                         testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         [](const auto& tested) { return std::string(machine::paging_mode(tested.param).name); });

TEST_P(ProgramMemoryLayout, KeepsTheProgramsOwnAddresses) {
  ProgramMemory memory({{Vpn(0x400), 3_pages}, {Vpn(0x412), 2_pages}, {Vpn(0x7F3), 1_pages}});
  ASSERT_TRUE(memory.make(t_.manager(), t_.cpu(), t_.space()));
  ASSERT_EQ(memory.size(), 6U);
  const std::uint64_t expected[] = {0x400000, 0x401000, 0x402000, 0x412000, 0x413000, 0x7F3000};
  for (std::uint32_t page = 0; page < 6; ++page)
    EXPECT_EQ(memory.address(page), VirtualAddress(expected[page])) << page;
}

TEST_P(ProgramMemoryLayout, CommitsWholeUnitsAndJoinsNeighbours) {
  const std::uint64_t before = own_commit();
  // The first two runs lie in neighbouring units of 16 pages, the third in one of its own.
  ProgramMemory memory({{Vpn(0x400), 3_pages}, {Vpn(0x412), 2_pages}, {Vpn(0x7F3), 1_pages}});
  EXPECT_EQ(memory.committed(), 48_pages);
  ASSERT_TRUE(memory.make(t_.manager(), t_.cpu(), t_.space()));
  EXPECT_EQ(own_commit() - before, 48U);
  const auto joined = t_.space().query(t_.cpu(), VirtualAddress(0x400000));
  ASSERT_TRUE(joined);
  EXPECT_EQ(joined->size, bytes_of(32_pages));
  EXPECT_EQ(joined->state, mm::MemoryState::kCommitted);
  EXPECT_EQ(joined->protection, mm::Protection::kExecuteReadWrite);
  EXPECT_EQ(t_.space().query(t_.cpu(), VirtualAddress(0x420000))->state, mm::MemoryState::kFree);
}

TEST_P(ProgramMemoryLayout, PacksWhatDoesNotFit) {
  // Page 0 lies below the first 64 KB, which no program may have.
  ProgramMemory low({{Vpn(0), 20_pages}, {Vpn(0x100), 1_pages}});
  ASSERT_TRUE(low.make(t_.manager(), t_.cpu(), t_.space()));
  ASSERT_EQ(low.size(), 21U);
  EXPECT_EQ(low.address(0), VirtualAddress(0x10000));
  EXPECT_EQ(low.address(19), VirtualAddress(0x23000));
  EXPECT_EQ(low.address(20), VirtualAddress(0x30000));  // Its unit follows at once.

  // A stack at the very top of a 48-bit space: above every mode's user range.
  ProgramMemory high({{Vpn(0x400), 1_pages}, {Vpn(0x7FFFFFFFD), 2_pages}});
  ASSERT_TRUE(high.make(t_.manager(), t_.cpu(), t_.space()));
  EXPECT_EQ(high.address(0), VirtualAddress(0x40000));
  EXPECT_EQ(high.address(1), VirtualAddress(0x5D000));  // The place inside the unit stays.
  EXPECT_EQ(high.address(2), VirtualAddress(0x5E000));
}

TEST_P(ProgramMemoryLayout, OwnAddressesReachUpToTheHighestUnit) {
  const Vpn highest = (mode().highest_user - ByteCount(kAllocationGranularity)).vpn();
  ProgramMemory fits({{highest, 1_pages}});
  ASSERT_TRUE(fits.make(t_.manager(), t_.cpu(), t_.space()));
  EXPECT_EQ(fits.address(0), VirtualAddress(highest));
  ProgramMemory above({{highest + 1_pages, 1_pages}});
  ASSERT_TRUE(above.make(t_.manager(), t_.cpu(), t_.space()));
  EXPECT_LT(above.address(0), VirtualAddress(highest));
}

TEST_P(ProgramMemoryLayout, WhatTheManagerRefusesIsPassedOn) {
  ProgramMemory first({{Vpn(0x400), 3_pages}});
  ASSERT_TRUE(first.make(t_.manager(), t_.cpu(), t_.space()));
  ProgramMemory same({{Vpn(0x400), 3_pages}});
  EXPECT_EQ(same.make(t_.manager(), t_.cpu(), t_.space()).error(), Status::kConflictingAddresses);
  ProgramMemory huge({{Vpn(0), pages_of(64_MiB)}});
  EXPECT_EQ(huge.make(t_.manager(), t_.cpu(), t_.space()).error(), Status::kCommitmentLimit);
}

TEST_P(ProgramMemoryLayout, EveryPageHasAnAddressOfItsOwnAndWorks) {
  std::vector<VpnRange> runs;
  for (std::uint64_t i = 0; i < 8; ++i) runs.push_back({Vpn(0x400 + i * 37), PageCount(1 + i)});
  ProgramMemory memory(runs);
  ASSERT_TRUE(memory.make(t_.manager(), t_.cpu(), t_.space()));
  ASSERT_EQ(memory.size(), 36U);
  std::set<VirtualAddress> addresses;
  for (std::uint32_t page = 0; page < memory.size(); ++page) {
    EXPECT_TRUE(addresses.insert(memory.address(page)).second);
    EXPECT_EQ(t_.put(memory.address(page), 0, page), Status::kSuccess);
  }
  for (std::uint32_t page = 0; page < memory.size(); ++page) EXPECT_EQ(t_.get(memory.address(page), 0), page);
  EXPECT_EQ(t_.check(), "");
}

TEST(ProgramMemory, TouchIsTheFirstOnlyOnceAndCountsDistinctPages) {
  TestMachine t;
  ProgramMemory memory({{Vpn(0x10), 4_pages}});
  ASSERT_TRUE(memory.make(t.manager(), t.cpu(), t.space()));
  using enum ProgramMemory::Touch;
  EXPECT_EQ(memory.touch(0, 1), kFirstOfAll);
  EXPECT_EQ(memory.touch(0, 1), kAgain);
  EXPECT_EQ(memory.touch(3, 1), kFirstOfAll);
  EXPECT_EQ(memory.take_touched(), 2_pages);
  EXPECT_EQ(memory.take_touched(), 0_pages);
  EXPECT_EQ(memory.touch(0, 2), kAgain);  // Touched in this interval, but not for the first time.
  EXPECT_EQ(memory.touch(0, 2), kAgain);
  EXPECT_EQ(memory.touch(1, 2), kFirstOfAll);
  EXPECT_EQ(memory.take_touched(), 2_pages);
}

TEST(ProgramMemory, TheModelBeginsAsZerosAndRemembers) {
  TestMachine t;
  ProgramMemory memory({{Vpn(0x10), 2_pages}});
  ASSERT_TRUE(memory.make(t.manager(), t.cpu(), t.space()));
  EXPECT_EQ(memory.model(1)[511], 0U);
  memory.model_to_change(1)[511] = 42;
  EXPECT_EQ(memory.model(1)[511], 42U);
  EXPECT_EQ(memory.model(0)[511], 0U);
}

// --- Views of files ---

class FileViews : public testing::Test {
 protected:
  static constexpr std::uint64_t kPages = 3;  // And some bytes, which are not mapped.

  FileViews() {
    std::ofstream file(config_.file, std::ios::binary);
    for (std::uint64_t word = 0; word < kPages * kPageWords + 5; ++word)
      file.write(reinterpret_cast<const char*>(&word), sizeof word);
    file.close();
    file_ = std::move(*SharedFile::open(config_, t_.machine().sim_disk(), {}));
  }
  ~FileViews() override { std::filesystem::remove(config_.file); }

  ProgramMemory memory(FileViewConfig::Kind kind) { return {{{Vpn(0), PageCount(kPages + 20)}}, *file_, kind}; }

  FileViewConfig config_{.file = testing::TempDir() + "pagoda_program_memory_test_" + std::to_string(getpid()),
                         .pages = PageCount(kPages)};
  TestMachine t_;
  std::unique_ptr<SharedFile> file_;  // On a disk of the machine.
};

TEST_F(FileViews, ShowTheFileAndCommitTheRest) {
  ProgramMemory memory = this->memory(FileViewConfig::Kind::kShared);
  ASSERT_TRUE(memory.make(t_.manager(), t_.cpu(), t_.space()));
  ASSERT_EQ(memory.size(), kPages + 20);
  EXPECT_EQ(memory.committed(), 32_pages);
  for (std::uint32_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(t_.get(memory.address(page), 0), page * kPageWords);
    EXPECT_EQ(memory.model(page)[1], page * kPageWords + 1);
    EXPECT_EQ(memory.touch(page, 1), ProgramMemory::Touch::kFirst);
  }
  EXPECT_EQ(memory.touch(kPages, 1), ProgramMemory::Touch::kFirstOfAll);
  EXPECT_EQ(t_.get(memory.address(kPages), 0), 0U);
  EXPECT_EQ(t_.space().statistics().shared, PageCount(kPages));
  EXPECT_EQ(t_.check(), "");
}

TEST_F(FileViews, StoresToSharedOnesAreSeenByAllAndToCopiesByNone) {
  ProgramMemory shared = memory(FileViewConfig::Kind::kShared);
  ProgramMemory copy = memory(FileViewConfig::Kind::kCopy);
  ASSERT_TRUE(shared.make(t_.manager(), t_.cpu(), t_.space()));
  ASSERT_TRUE(copy.make(t_.manager(), t_.cpu(), t_.space()));
  const auto store = [&](ProgramMemory& memory, std::uint32_t page, std::uint64_t value) {
    t_.must_put(memory.address(page), 0, value);
    memory.model_to_change(page)[0] = value;
  };
  const auto agrees = [&](ProgramMemory& memory) {
    for (std::uint32_t page = 0; page < kPages; ++page) {
      if (t_.get(memory.address(page), 0) != memory.model(page)[0]) return false;
    }
    return true;
  };
  store(shared, 0, 100);
  EXPECT_EQ(copy.model(0)[0], 100U);
  EXPECT_TRUE(agrees(shared) && agrees(copy));
  store(copy, 0, 200);
  store(copy, 1, 201);
  store(shared, 1, 101);
  EXPECT_EQ(shared.model(0)[0], 100U);
  EXPECT_EQ(copy.model(1)[0], 201U);
  EXPECT_EQ(copy.model(1)[1], kPageWords + 1);
  EXPECT_TRUE(agrees(shared) && agrees(copy));
  EXPECT_EQ(t_.check(), "");
}

TEST_F(FileViews, AForkHasWhatThereWasAndChangesAlone) {
  ProgramMemory parent = memory(FileViewConfig::Kind::kCopy);
  ASSERT_TRUE(parent.make(t_.manager(), t_.cpu(), t_.space()));
  const auto store = [&](ProgramMemory& memory, std::uint32_t page, std::uint64_t value) {
    t_.must_put(memory.address(page), 0, value);
    memory.model_to_change(page)[0] = value;
  };
  store(parent, 0, 100);
  store(parent, kPages, 300);
  EXPECT_EQ(parent.touch(kPages, 1), ProgramMemory::Touch::kFirstOfAll);
  const auto space = t_.manager().clone_space(t_.cpu(), t_.space());
  ASSERT_TRUE(space);
  ProgramMemory child = parent.fork();
  EXPECT_EQ(child.committed(), parent.committed());
  EXPECT_EQ(child.take_touched(), 0_pages);
  EXPECT_EQ(child.touch(kPages, 1), ProgramMemory::Touch::kFirst);
  EXPECT_EQ(child.touch(kPages + 1, 1), ProgramMemory::Touch::kFirstOfAll);
  store(parent, 0, 101);
  store(parent, 1, 201);
  const auto words = [](ProgramMemory& memory) {
    return std::array{memory.model(0)[0], memory.model(1)[0], memory.model(kPages)[0]};
  };
  EXPECT_EQ(words(parent), (std::array<std::uint64_t, 3>{101, 201, 300}));
  EXPECT_EQ(words(child), (std::array<std::uint64_t, 3>{100, kPageWords, 300}));
  t_.manager().attach(t_.cpu(), **space);
  for (const std::uint32_t page : {0U, 1U, static_cast<std::uint32_t>(kPages)})
    EXPECT_EQ(t_.get(child.address(page), 0), child.model(page)[0]) << page;
  EXPECT_EQ(t_.check(), "");
  t_.manager().attach(t_.cpu(), t_.space());
  t_.manager().destroy_space(t_.cpu(), **space);
  EXPECT_EQ(t_.check(), "");
}

TEST_F(FileViews, TheRealFileStaysAsItIs) {
  ProgramMemory memory = this->memory(FileViewConfig::Kind::kShared);
  ASSERT_TRUE(memory.make(t_.manager(), t_.cpu(), t_.space()));
  t_.must_put(memory.address(0), 0, ~std::uint64_t{0});
  t_.page_out();
  std::uint64_t first = 1;
  std::ifstream(config_.file, std::ios::binary).read(reinterpret_cast<char*>(&first), sizeof first);
  EXPECT_EQ(first, 0U);
  EXPECT_EQ(std::filesystem::file_size(config_.file), (kPages * kPageWords + 5) * sizeof first);
  std::array<std::uint64_t, 1> copied{};
  ASSERT_TRUE(file_->stream()->file().peek(FileOffset{}, std::as_writable_bytes(std::span(copied))));
  EXPECT_EQ(copied[0], ~std::uint64_t{0});
  EXPECT_EQ(t_.check(), "");
}

TEST_F(FileViews, AFileThatShrankOrWentIsRefused) {
  config_.pages = PageCount(kPages + 1);
  const auto shorter = SharedFile::open(config_, t_.machine().sim_disk(), {});
  ASSERT_FALSE(shorter);
  EXPECT_NE(shorter.error().message.find("shorter than it was"), std::string::npos);
  FileViewConfig gone = config_;
  gone.file += ".gone";
  EXPECT_FALSE(SharedFile::open(gone, t_.machine().sim_disk(), {}));
}

// Copied as far as it is data, and held nowhere: 100 GiB of nothing take no time and no memory.
TEST_F(FileViews, ASparseFileStaysSparse) {
  constexpr ByteCount kHuge = 100_GiB;
  {
    std::fstream file(config_.file, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(kHuge.value() - sizeof(std::uint64_t)));
    const std::uint64_t last = 42;
    file.write(reinterpret_cast<const char*>(&last), sizeof last);
  }
  config_.pages = pages_of(kHuge);
  const auto huge = SharedFile::open(config_, t_.machine().sim_disk(), {});
  ASSERT_TRUE(huge) << huge.error().message;
  EXPECT_EQ((*huge)->stream()->file().size(), kHuge);
  EXPECT_EQ((*huge)->model(1)[0], kPageWords);
  EXPECT_EQ((*huge)->model(static_cast<std::uint32_t>(config_.pages.value() - 1))[kPageWords - 1], 42U);
  EXPECT_EQ((*huge)->model(1000)[7], 0U);
}

TEST(ProgramMemory, NoPagesNeedNothing) {
  ProgramMemory memory({});
  TestMachine t;
  EXPECT_TRUE(memory.make(t.manager(), t.cpu(), t.space()));
  EXPECT_EQ(memory.committed(), 0_pages);
  EXPECT_EQ(memory.size(), 0U);
}

}  // namespace
}  // namespace pagoda::sim
