// Where a program's pages come to lie, and what is remembered about them.
#include "pagoda/sim/program_memory.h"

#include <gtest/gtest.h>

#include <set>
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
  ASSERT_TRUE(memory.reserve(t_.space(), mode()));
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
  ASSERT_TRUE(memory.reserve(t_.space(), mode()));
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
  ASSERT_TRUE(low.reserve(t_.space(), mode()));
  ASSERT_EQ(low.size(), 21U);
  EXPECT_EQ(low.address(0), VirtualAddress(0x10000));
  EXPECT_EQ(low.address(19), VirtualAddress(0x23000));
  EXPECT_EQ(low.address(20), VirtualAddress(0x30000));  // Its unit follows at once.

  // A stack at the very top of a 48-bit space: above every mode's user range.
  ProgramMemory high({{Vpn(0x400), 1_pages}, {Vpn(0x7FFFFFFFD), 2_pages}});
  ASSERT_TRUE(high.reserve(t_.space(), mode()));
  EXPECT_EQ(high.address(0), VirtualAddress(0x40000));
  EXPECT_EQ(high.address(1), VirtualAddress(0x5D000));  // The place inside the unit stays.
  EXPECT_EQ(high.address(2), VirtualAddress(0x5E000));
}

TEST_P(ProgramMemoryLayout, OwnAddressesReachUpToTheHighestUnit) {
  const Vpn highest = (mode().highest_user - ByteCount(kAllocationGranularity)).vpn();
  ProgramMemory fits({{highest, 1_pages}});
  ASSERT_TRUE(fits.reserve(t_.space(), mode()));
  EXPECT_EQ(fits.address(0), VirtualAddress(highest));
  ProgramMemory above({{highest + 1_pages, 1_pages}});
  ASSERT_TRUE(above.reserve(t_.space(), mode()));
  EXPECT_LT(above.address(0), VirtualAddress(highest));
}

TEST_P(ProgramMemoryLayout, WhatTheManagerRefusesIsPassedOn) {
  ProgramMemory first({{Vpn(0x400), 3_pages}});
  ASSERT_TRUE(first.reserve(t_.space(), mode()));
  ProgramMemory same({{Vpn(0x400), 3_pages}});
  EXPECT_EQ(same.reserve(t_.space(), mode()).error(), Status::kConflictingAddresses);
  ProgramMemory huge({{Vpn(0), pages_of(64_MiB)}});
  EXPECT_EQ(huge.reserve(t_.space(), mode()).error(), Status::kCommitmentLimit);
}

TEST_P(ProgramMemoryLayout, EveryPageHasAnAddressOfItsOwnAndWorks) {
  std::vector<VpnRange> runs;
  for (std::uint64_t i = 0; i < 8; ++i) runs.push_back({Vpn(0x400 + i * 37), PageCount(1 + i)});
  ProgramMemory memory(runs);
  ASSERT_TRUE(memory.reserve(t_.space(), mode()));
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
  ProgramMemory memory({{Vpn(0x10), 4_pages}});
  EXPECT_TRUE(memory.touch(0, 1));
  EXPECT_FALSE(memory.touch(0, 1));
  EXPECT_TRUE(memory.touch(3, 1));
  EXPECT_EQ(memory.take_touched(), 2_pages);
  EXPECT_EQ(memory.take_touched(), 0_pages);
  EXPECT_FALSE(memory.touch(0, 2));  // Touched in this interval, but not for the first time.
  EXPECT_FALSE(memory.touch(0, 2));
  EXPECT_TRUE(memory.touch(1, 2));
  EXPECT_EQ(memory.take_touched(), 2_pages);
}

TEST(ProgramMemory, TheModelBeginsAsZerosAndRemembers) {
  TestMachine t;
  ProgramMemory memory({{Vpn(0x10), 2_pages}});
  ASSERT_TRUE(memory.reserve(t.space(), t.machine().paging()));
  EXPECT_EQ(memory.model(1)[511], 0U);
  memory.model(1)[511] = 42;
  EXPECT_EQ(memory.model(1)[511], 42U);
  EXPECT_EQ(memory.model(0)[511], 0U);
}

TEST(ProgramMemory, NoPagesNeedNothing) {
  ProgramMemory memory({});
  TestMachine t;
  EXPECT_TRUE(memory.reserve(t.space(), t.machine().paging()));
  EXPECT_EQ(memory.committed(), 0_pages);
  EXPECT_EQ(memory.size(), 0U);
}

}  // namespace
}  // namespace pagoda::sim
