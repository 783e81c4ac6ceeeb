#include "pagoda/policy/guest_floor.h"

#include <gtest/gtest.h>

namespace pagoda::policy {
namespace {

// reference/virtualization.md 4.3: 128 MB -> 72, 512 -> 168, 2 GB -> 360, 8 GB -> 744, 32 GB -> 1512 MB.
TEST(GuestFloor, IsHvBalloonsCurve) {
  EXPECT_EQ(hv_balloon_floor(pages_of(128_MiB)), pages_of(72_MiB));
  EXPECT_EQ(hv_balloon_floor(pages_of(512_MiB)), pages_of(168_MiB));
  EXPECT_EQ(hv_balloon_floor(pages_of(2_GiB)), pages_of(360_MiB));
  EXPECT_EQ(hv_balloon_floor(pages_of(8_GiB)), pages_of(744_MiB));
  EXPECT_EQ(hv_balloon_floor(pages_of(32_GiB)), pages_of(1512_MiB));
  EXPECT_EQ(hv_balloon_floor(pages_of(320_MiB)), pages_of(120_MiB));  // Between two of them.
}

TEST(GuestFloor, GrowsWithTheGuestAndIsNeverMoreThanIt) {
  PageCount last;
  for (std::uint64_t pages = 0; pages < 200'000; pages += 7) {
    const PageCount floor = hv_balloon_floor(PageCount(pages));
    EXPECT_GE(floor, last);
    EXPECT_LE(floor, PageCount(pages));
    last = floor;
  }
}

TEST(GuestFloor, AMinimumThatIsSetGoesBeforeTheCurve) {
  VmMeasure vm{.maximum = pages_of(2_GiB)};
  EXPECT_EQ(floor_of(vm), pages_of(360_MiB));
  vm.minimum = pages_of(16_MiB);
  EXPECT_EQ(floor_of(vm), pages_of(16_MiB));
}

}  // namespace
}  // namespace pagoda::policy
