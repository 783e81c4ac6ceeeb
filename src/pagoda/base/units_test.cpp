#include "pagoda/base/units.h"

#include <gtest/gtest.h>

#include <concepts>
#include <type_traits>
#include <unordered_set>

namespace pagoda {
namespace {

template <class A, class B>
concept Adds = requires(A a, B b) { a + b; };
template <class A, class B>
concept Subtracts = requires(A a, B b) { a - b; };
template <class A, class B>
concept Compares = requires(A a, B b) { a < b; };

TEST(Units, PlaceMinusPlaceIsTheirDistance) {
  static_assert(std::same_as<decltype(Pfn() - Pfn()), PageCount>);
  static_assert(std::same_as<decltype(Vpn() - Vpn()), PageCount>);
  static_assert(std::same_as<decltype(VirtualAddress() - VirtualAddress()), ByteCount>);
  static_assert(std::same_as<decltype(FileOffset() - FileOffset()), ByteCount>);
  static_assert(std::same_as<decltype(Time() - Time()), Duration>);
  EXPECT_EQ(Pfn(7) - Pfn(3), 4_pages);
  EXPECT_EQ(VirtualAddress(0x12345) - VirtualAddress(0x10000), ByteCount(0x2345));
  EXPECT_EQ(Time(1500) - Time(500), 1_us);
}

TEST(Units, PlaceMovesByADistance) {
  EXPECT_EQ(Pfn(7) + 3_pages, Pfn(10));
  EXPECT_EQ(Pfn(7) - 3_pages, Pfn(4));
  const VirtualAddress moved = VirtualAddress(0x1000) + 64_KiB;
  EXPECT_EQ(moved, VirtualAddress(0x11000));
  VirtualAddress walking(0x1000);
  walking += kPageSize;
  EXPECT_EQ(walking.vpn(), Vpn(2));
  Time time(5);
  time += 2_us;
  EXPECT_EQ(time, Time(2005));
  Pfn frame(4);
  EXPECT_EQ(++frame, Pfn(5));
}

TEST(Units, KindsDoNotMix) {
  static_assert(!Adds<ByteCount, PageCount> && !Subtracts<ByteCount, PageCount> && !Compares<ByteCount, PageCount>);
  static_assert(!Subtracts<Pfn, Vpn> && !Compares<Pfn, Vpn>);
  static_assert(!Subtracts<VirtualAddress, PhysicalAddress> && !Compares<VirtualAddress, PhysicalAddress>);
  static_assert(!Subtracts<GuestPhysicalAddress, PhysicalAddress>);
  static_assert(!Adds<Pfn, ByteCount> && !Adds<VirtualAddress, PageCount> && !Adds<Pfn, Pfn>);
  static_assert(!Adds<Cycles, Duration> && !Adds<Time, Cycles>);
  static_assert(!std::is_convertible_v<std::uint64_t, ByteCount> && !std::is_convertible_v<ByteCount, std::uint64_t>);
  static_assert(!std::is_convertible_v<std::uint32_t, Pfn> && !std::is_convertible_v<Pfn, PhysicalAddress>);
}

TEST(Units, CountsAddScaleAndCompare) {
  EXPECT_EQ(2_KiB + 2_KiB, 4096_B);
  EXPECT_EQ(4_KiB - 1_KiB, 3_KiB);
  EXPECT_EQ(4_KiB * 3, 12_KiB);
  EXPECT_EQ(12_KiB / 3, 4_KiB);
  EXPECT_EQ(13_KiB / 4_KiB, 3U);
  EXPECT_LT(1_MiB, 1_GiB);
  EXPECT_EQ(1_TiB, 1024_GiB);
  EXPECT_EQ(1_s, 1'000'000'000_ns);
  PageCount pages = 3_pages;
  ++pages;
  --pages;
  pages += 2_pages;
  pages -= 1_pages;
  EXPECT_EQ(pages, 4_pages);
  EXPECT_TRUE(PageCount().is_zero());
}

TEST(Units, PagesOfRoundsUp) {
  EXPECT_EQ(pages_of(0_B), 0_pages);
  EXPECT_EQ(pages_of(1_B), 1_pages);
  EXPECT_EQ(pages_of(4095_B), 1_pages);
  EXPECT_EQ(pages_of(4096_B), 1_pages);
  EXPECT_EQ(pages_of(4097_B), 2_pages);
  EXPECT_EQ(pages_of(ByteCount(~std::uint64_t{0})), PageCount(std::uint64_t{1} << 52));
  EXPECT_EQ(bytes_of(3_pages), 12_KiB);
}

TEST(Units, AddressesSplitIntoPageAndOffset) {
  const VirtualAddress va(0xFFFFF6FB7DBEDF68);
  EXPECT_EQ(va.vpn(), Vpn(0xFFFFF6FB7DBED));
  EXPECT_EQ(va.page_offset(), 0xF68U);
  EXPECT_EQ(va.page_base(), VirtualAddress(0xFFFFF6FB7DBED000));
  EXPECT_EQ(VirtualAddress(va.vpn()), va.page_base());
  EXPECT_FALSE(va.is_page_aligned());
  EXPECT_TRUE(va.page_base().is_page_aligned());
  EXPECT_EQ(PhysicalAddress(Pfn(0xFFFFFFFE)), PhysicalAddress(0xFFFFFFFE000));
  EXPECT_EQ(PhysicalAddress(0xFFFFFFFEFFF).pfn(), Pfn(0xFFFFFFFE));
}

TEST(Units, PlacesHash) {
  std::unordered_set<Pfn> frames{Pfn(1), Pfn(2), Pfn(1)};
  EXPECT_EQ(frames.size(), 2U);
  EXPECT_TRUE(frames.contains(Pfn(2)));
}

TEST(Units, PrintWithPrefixOrUnit) {
  EXPECT_EQ(to_string(VirtualAddress(0x7FF0000)), "va:0x7ff0000");
  EXPECT_EQ(to_string(PhysicalAddress(0x1000)), "pa:0x1000");
  EXPECT_EQ(to_string(GuestPhysicalAddress(0x2000)), "gpa:0x2000");
  EXPECT_EQ(to_string(Vpn(0x10)), "vpn:0x10");
  EXPECT_EQ(to_string(Pfn(0x1A2)), "pfn:0x1a2");
  EXPECT_EQ(to_string(Gfn(0x1A2)), "gfn:0x1a2");
  EXPECT_EQ(to_string(PageFileSlot(0x123)), "slot:0x123");
  EXPECT_EQ(to_string(FileOffset(0x200)), "offset:0x200");
  EXPECT_EQ(to_string(1_pages), "1 page");
  EXPECT_EQ(to_string(17_pages), "17 pages");
  EXPECT_EQ(to_string(Cycles(350)), "350 cycles");
}

TEST(Units, BytesPrintExactlyWhileThatIsShort) {
  EXPECT_EQ(to_string(0_B), "0 B");
  EXPECT_EQ(to_string(1023_B), "1023 B");
  EXPECT_EQ(to_string(1025_B), "1025 B");
  EXPECT_EQ(to_string(64_KiB), "64 KiB");
  EXPECT_EQ(to_string(1536_KiB), "1536 KiB");
  EXPECT_EQ(to_string(1_TiB), "1 TiB");
  EXPECT_EQ(to_string(12'345_B), "12.1 KiB");
  EXPECT_EQ(to_string(1_GiB + 1_B), "1.0 GiB");
}

TEST(Units, TimesPrintInTheUnitThatFits) {
  EXPECT_EQ(to_string(999_ns), "999 ns");
  EXPECT_EQ(to_string(1250_ns), "1.250 us");
  EXPECT_EQ(to_string(1250_us), "1.250 ms");
  EXPECT_EQ(to_string(2_s), "2.000 s");
  EXPECT_EQ(to_string(Time(65'000)), "t=65.000 us");
  EXPECT_EQ(to_string(kNever), "never");
}

#if PAGODA_DCHECKS
TEST(UnitsDeathTest, SubtractionBelowZeroDies) {
  EXPECT_DEATH(static_cast<void>(1_KiB - 2_KiB), "check failed.*1024 .*against 2048");
  EXPECT_DEATH(static_cast<void>(Pfn(1) - Pfn(2)), "check failed.*1 .*against 2");
  EXPECT_DEATH(static_cast<void>(Pfn(1) - 2_pages), "check failed");
  EXPECT_DEATH(static_cast<void>(VirtualAddress(0xFFF) - kPageSize), "check failed");
  EXPECT_DEATH(static_cast<void>(Time(1) - Time(2)), "check failed");
  EXPECT_DEATH(
      {
        PageCount none;
        --none;
      },
      "check failed");
}
#endif

}  // namespace
}  // namespace pagoda
