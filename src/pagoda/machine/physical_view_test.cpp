#include "pagoda/machine/physical_view.h"

#include <gtest/gtest.h>

#include "pagoda/machine/sim/physical_memory.h"
#include "pagoda/machine/testing/page_tables.h"

namespace pagoda::machine {
namespace {

using testing::ScatteredFrames;

constexpr std::uint32_t kFrames = 16;

// Every way to reach frames does the same.
void expect_memory(const PhysicalView& memory) {
  const PhysicalAddress word = PhysicalAddress(Pfn(3)) + ByteCount(0xFF8);
  memory.store<std::uint64_t>(word, 0x1122334455667788);
  EXPECT_EQ(memory.load<std::uint64_t>(word), 0x1122334455667788U);
  EXPECT_EQ(memory.load<std::uint32_t>(word + ByteCount(4)), 0x11223344U);
  EXPECT_EQ(memory.fetch_or<std::uint64_t>(word, 0x7F), 0x1122334455667788U);
  EXPECT_EQ(memory.load<std::uint64_t>(word), 0x11223344556677FFU);
  std::uint64_t expected = 1;
  EXPECT_FALSE(memory.compare_exchange<std::uint64_t>(word, expected, 2));
  EXPECT_EQ(expected, 0x11223344556677FFU);
  EXPECT_TRUE(memory.compare_exchange<std::uint64_t>(word, expected, 2));
  EXPECT_EQ(memory.load<std::uint64_t>(word), 2U);

  memory.copy(Pfn(3), Pfn(4));
  EXPECT_TRUE(memory.equal(Pfn(3), Pfn(4)));
  EXPECT_EQ(memory.hash(Pfn(3)), memory.hash(Pfn(4)));
  EXPECT_EQ(memory.bytes(Pfn(4), Access::kRead).bytes()[0xFF8], std::byte{2});
  memory.zero(Pfn(3));
  EXPECT_FALSE(memory.equal(Pfn(3), Pfn(4)));
  EXPECT_NE(memory.hash(Pfn(3)), memory.hash(Pfn(4)));
  EXPECT_EQ(memory.load<std::uint64_t>(word), 0U);
  EXPECT_TRUE(memory.equal(Pfn(3), Pfn(5)));
}

TEST(PhysicalView, OfAHost) {
  auto memory = PhysicalMemory::create(PageCount(kFrames));
  ASSERT_TRUE(memory);
  EXPECT_TRUE(memory->view().is_contiguous());
  expect_memory(memory->view());
}

TEST(PhysicalView, OfAGuest) {
  ScatteredFrames reach(kFrames);
  EXPECT_FALSE(PhysicalView(reach).is_contiguous());
  expect_memory(PhysicalView(reach));
  EXPECT_GT(reach.holds(), 0U);
  EXPECT_TRUE(reach.balanced());
}

TEST(PhysicalView, HoldsAFrameForAScope) {
  ScatteredFrames reach(kFrames);
  const PhysicalView memory(reach);
  {
    FrameView view = memory.bytes(Pfn(7), Access::kWrite);
    EXPECT_FALSE(reach.balanced());
    const FrameView moved = std::move(view);  // Lets go once.
    EXPECT_EQ(moved.data(), reach.place(Pfn(7)));
  }
  EXPECT_TRUE(reach.balanced());
  EXPECT_EQ(reach.write_holds(Pfn(7)), 1U);
}

#if PAGODA_DCHECKS
TEST(PhysicalViewDeathTest, FramesThatDoNotExistDie) {
  auto memory = PhysicalMemory::create(PageCount(kFrames));
  const PhysicalView view = memory->view();
  EXPECT_DEATH(view.zero(Pfn(kFrames)), "check failed");
  EXPECT_DEATH(static_cast<void>(view.load<std::uint64_t>(PhysicalAddress(4))), "check failed");  // Not aligned.
}
#endif

}  // namespace
}  // namespace pagoda::machine
