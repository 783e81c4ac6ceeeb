#include "pagoda/mm/pfn/freed_frames.h"

#include <gtest/gtest.h>

#include "pagoda/mm/memory_manager.h"
#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using testing::TestMachine;

constexpr PageCount kPages = pages_of(16_MiB);

// Frames on huge pages, where this computer has them.
testing::TestMachineConfig machine_of_32_mib() { return {.frames = pages_of(32_MiB)}; }

// The zero-page thread until it finds nothing more to do.
void zero_all(TestMachine& t) {
  while (!t.count(PageState::kFree).is_zero()) t.manager().zero_page_thread().run(t.cpu());
}

TEST(FreedFrames, WhatIsDiscardedGoesBackToTheComputer) {
  TestMachine t(machine_of_32_mib());
  const VirtualAddress base = t.commit(kPages);
  t.fill(base, kPages);
  const ByteCount before = t.machine().memory().resident();
  ASSERT_GE(before, bytes_of(kPages));

  // By pieces, as hints come.
  for (Vpn page = base.vpn(); page < base.vpn() + kPages; page += PageCount(64))
    ASSERT_TRUE(t.space().discard(t.cpu(), {page, PageCount(64)}));
  // But for the large pages at both ends, which are shared with other pages.
  EXPECT_LE(t.machine().memory().resident() + bytes_of(kPages), before + 4_MiB);
  EXPECT_EQ(t.check(), "");

  zero_all(t);
  EXPECT_LE(t.machine().memory().resident() + bytes_of(kPages), before + 4_MiB) << "zeroing brought it back";
  for (std::uint64_t page = 0; page < kPages.value(); page += 7) EXPECT_EQ(t.get(base, page), 0U);
  t.fill(base, kPages, 100);
  EXPECT_EQ(t.differences(base, kPages, 100), 0U);
  EXPECT_EQ(t.check(), "");
}

TEST(FreedFrames, ALargePageStaysWhileMuchOfItIsInUse) {
  TestMachine t(machine_of_32_mib());
  const VirtualAddress base = t.commit(kPages);
  t.fill(base, kPages);
  const ByteCount before = t.machine().memory().resident();
  for (Vpn page = base.vpn(); page < base.vpn() + kPages; page += PageCount(8))
    ASSERT_TRUE(t.space().discard(t.cpu(), {page + PageCount(2), PageCount(6)}));
  // But for the last one, of which most was never used.
  EXPECT_GE(t.machine().memory().resident() + 2_MiB, before);
  for (std::uint64_t page = 0; page < kPages.value(); ++page)
    EXPECT_EQ(t.get(base, page), page % 8 < 2 ? page + 1 : 0U);
  EXPECT_EQ(t.check(), "");
}

// A device's frames lie behind the manager's, in one large page with them.
TEST(FreedFrames, WhatADeviceHasInALargePageStays) {
  testing::TestMachineConfig config = machine_of_32_mib();
  config.frames = pages_of(32_MiB) - PageCount(100);
  config.device_frames = PageCount(100);
  TestMachine t(config);
  const machine::PhysicalView view = t.machine().memory().view();
  const Pfn device = Pfn(0) + config.frames;
  view.store<std::uint64_t>(PhysicalAddress(device), 42);
  const PageCount pages = t.available() - PageCount(200);
  const VirtualAddress base = t.commit(pages);
  t.fill(base, pages);
  ASSERT_TRUE(t.space().discard(t.cpu(), {base.vpn(), pages}));
  EXPECT_EQ(view.load<std::uint64_t>(PhysicalAddress(device)), 42U);
  EXPECT_EQ(t.check(), "");
}

}  // namespace
}  // namespace pagoda::mm
