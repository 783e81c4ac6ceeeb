#include "pagoda/machine/sim/physical_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <fstream>
#include <string>

#include "pagoda/base/random.h"
#include "pagoda/machine/sim/sim_machine.h"

namespace pagoda::machine {
namespace {

constexpr std::uint32_t kFrames = 64;
constexpr PageCount kPerHugePage = pages_of(2_MiB);

ByteCount resident_of_process() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  statm >> size >> resident;
  return bytes_of(PageCount(resident));
}

class PhysicalMemoryKinds : public ::testing::TestWithParam<FrameMemory> {};
INSTANTIATE_TEST_SUITE_P(Kinds, PhysicalMemoryKinds, ::testing::Values(FrameMemory::kPrivate, FrameMemory::kShareable),
                         [](const auto& kind) {
                           return kind.param == FrameMemory::kPrivate ? "Private" : "Shareable";
                         });

TEST_P(PhysicalMemoryKinds, OneTebibyteCostsWhatIsTouched) {
  auto memory = PhysicalMemory::create(pages_of(1_TiB), GetParam());
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->frames(), pages_of(1_TiB));
  EXPECT_EQ(memory->resident(), 0_B);
  const PhysicalView view = memory->view();
  const Pfn last = Pfn(0) + (memory->frames() - 1_pages);
  view.store<std::uint64_t>(PhysicalAddress(last), 7);
  view.store<std::uint64_t>(PhysicalAddress(Pfn(12345)), 8);
  EXPECT_EQ(view.load<std::uint64_t>(PhysicalAddress(last)), 7U);
  EXPECT_EQ(view.load<std::uint64_t>(PhysicalAddress(Pfn(12345))), 8U);
  EXPECT_EQ(view.load<std::uint64_t>(PhysicalAddress(Pfn(54321))), 0U);  // Never written.
  EXPECT_LE(memory->resident(), 8_MiB);
  EXPECT_GE(memory->resident(), 8_KiB);
}

TEST_P(PhysicalMemoryKinds, MovesItsFrames) {
  auto memory = PhysicalMemory::create(PageCount(kFrames), GetParam());
  ASSERT_TRUE(memory);
  const PhysicalView view = memory->view();
  view.store<std::uint64_t>(PhysicalAddress(Pfn(1)), 7);
  const PhysicalMemory moved(std::move(*memory));
  EXPECT_EQ(view.load<std::uint64_t>(PhysicalAddress(Pfn(1))), 7U);
  EXPECT_EQ(moved.frames(), PageCount(kFrames));
}

TEST(PhysicalMemory, MoreThanTheHostHasAddressesForIsRefused) {
  const auto memory = PhysicalMemory::create(PageCount(std::uint64_t{1} << 50));
  ASSERT_FALSE(memory);
  EXPECT_EQ(memory.error(), Status::kInsufficientResources);
}

TEST(PhysicalMemory, TenThousandRandomFramesOfATebibyteCostTheirSize) {
  auto machine = *SimMachine::create({.frames = pages_of(1_TiB)});
  const PhysicalView view = machine->memory().view();
  const ByteCount before = resident_of_process();
  Random random(1);
  for (int i = 0; i < 10'000; ++i) {
    const auto frame = static_cast<std::uint32_t>(random.below(machine->frame_count().value()));
    view.store<std::uint64_t>(PhysicalAddress(Pfn(frame)), frame);
  }
  EXPECT_LT(resident_of_process(), before + 100_MiB);
  EXPECT_GE(machine->memory().resident(), bytes_of(PageCount(9'900)));
}

TEST_P(PhysicalMemoryKinds, GivesBackFrames) {
  // Above the size from which on it lies on huge pages, and not a multiple of them.
  auto memory = *PhysicalMemory::create(pages_of(32_MiB) + PageCount(3), GetParam());
  const PhysicalView view = memory.view();
  for (std::uint32_t frame = 0; frame < memory.frames().value(); ++frame)
    view.store<std::uint64_t>(PhysicalAddress(Pfn(frame)), frame + 1);
  EXPECT_GE(memory.resident(), 32_MiB);

  const PfnRange some{Pfn(0) + kPerHugePage * 2, kPerHugePage * 4};
  memory.give_back(some);
  EXPECT_LE(memory.resident(), 26_MiB);
  for (std::uint32_t frame = 0; frame < memory.frames().value(); frame += 64)
    EXPECT_EQ(view.load<std::uint64_t>(PhysicalAddress(Pfn(frame))), some.contains(Pfn(frame)) ? 0U : frame + 1);
  memory.give_back({});
  // Part of a huge page.
  memory.give_back({Pfn(3), PageCount(5)});
  for (std::uint32_t frame = 0; frame < 16; ++frame)
    EXPECT_EQ(view.load<std::uint64_t>(PhysicalAddress(Pfn(frame))), frame >= 3 && frame < 8 ? 0U : frame + 1);
}

TEST(PhysicalMemory, ZeroingInTheBackgroundLeavesWhatIsZeroAlone) {
  auto memory = *PhysicalMemory::create(pages_of(32_MiB));
  const PhysicalView view = memory.view();
  for (std::uint32_t frame = 0; frame < memory.frames().value(); ++frame) view.zero_in_background(Pfn(frame));
  EXPECT_EQ(memory.resident(), 0_B);
  view.store<std::uint64_t>(PhysicalAddress(Pfn(7)) + ByteCount(4088), 1);
  view.zero_in_background(Pfn(7));
  EXPECT_EQ(view.load<std::uint64_t>(PhysicalAddress(Pfn(7)) + ByteCount(4088)), 0U);
}

TEST(PhysicalMemory, IsMappedASecondTimeWhereThatWasAsked) {
  auto memory = *PhysicalMemory::create(PageCount(kFrames), FrameMemory::kShareable);
  void* const second = mmap(nullptr, bytes_of(memory.frames()).value(), PROT_READ, MAP_SHARED, memory.memfd(), 0);
  ASSERT_NE(second, MAP_FAILED);
  memory.view().store<std::uint64_t>(PhysicalAddress(Pfn(5)), 42);
  std::uint64_t seen = 0;
  std::memcpy(&seen, static_cast<const std::byte*>(second) + 5 * kPageBytes, sizeof seen);
  EXPECT_EQ(seen, 42U);
  munmap(second, bytes_of(memory.frames()).value());
}

TEST(PhysicalMemoryDeathTest, MisuseDies) {
  auto memory = *PhysicalMemory::create(pages_of(32_MiB));
  EXPECT_DEATH(static_cast<void>(memory.memfd()), "check failed");
  EXPECT_DEATH(memory.give_back({Pfn(0), pages_of(34_MiB)}), "check failed");
}

}  // namespace
}  // namespace pagoda::machine
