#include "pagoda/mm/process/placement.h"

#include <gtest/gtest.h>

#include "pagoda/mm/testing/test_machine.h"

namespace pagoda::mm {
namespace {

using machine::PteFormat;
using testing::TestMachine;

class Placement : public ::testing::TestWithParam<PteFormat> {
 public:
  static std::string name_of(const ::testing::TestParamInfo<PteFormat>& info) {
    return std::string(machine::paging_mode(info.param).name);
  }

 protected:
  TestMachine t_{{.frames = PageCount(256), .paging = GetParam()}};

  [[nodiscard]] const machine::PagingMode& mode() { return t_.core().mode; }
  Result<VirtualAddress> place(const ReserveRequest& request) {
    const auto pages = t_.space().reserve(request);
    if (!pages) return std::unexpected(pages.error());
    return VirtualAddress(pages->first);
  }
};

constexpr auto kTopDown = Direction::kTopDown;

TEST_P(Placement, LowestAndHighestBoundTheSearchFromBothSides) {
  const PlacementWishes wishes{.lowest = VirtualAddress(0x400000), .highest = VirtualAddress(0x41FFFF)};
  EXPECT_EQ(place({.size = 64_KiB, .wishes = wishes}), VirtualAddress(0x400000));
  EXPECT_EQ(place({.size = 64_KiB, .direction = kTopDown, .wishes = wishes}), VirtualAddress(0x410000));
  EXPECT_EQ(place({.size = 4_KiB, .wishes = wishes}), fail(Status::kNoMemory));
  EXPECT_EQ(place({.size = 256_KiB, .wishes = wishes}), fail(Status::kNoMemory));
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Placement, HighestCountsWholePagesOnly) {
  EXPECT_EQ(place({.size = 64_KiB, .wishes = {.highest = VirtualAddress(0x1FFFE)}}), fail(Status::kNoMemory));
  EXPECT_EQ(place({.size = 64_KiB, .wishes = {.highest = VirtualAddress(0x1FFFF)}}), VirtualAddress(0x10000));
  EXPECT_EQ(place({.size = 4_KiB, .wishes = {.highest = VirtualAddress(0x7FF)}}), fail(Status::kNoMemory));
}

TEST_P(Placement, AlignmentIsKeptInBothDirections) {
  const PlacementWishes wishes{.alignment = 1_MiB};
  EXPECT_EQ(place({.size = 64_KiB, .wishes = wishes}), VirtualAddress(0x100000));
  EXPECT_EQ(place({.size = 64_KiB, .wishes = wishes}), VirtualAddress(0x200000));
  const auto top = place({.size = 64_KiB, .direction = kTopDown, .wishes = wishes});
  ASSERT_TRUE(top);
  EXPECT_EQ(top->value() % (1_MiB).value(), 0U);
  EXPECT_GT(top->value() + (2_MiB).value(), mode().highest_user.value());
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Placement, WishesOfNoSenseAreRefused) {
  const auto with = [&](const PlacementWishes& wishes, std::optional<VirtualAddress> base = {}) {
    return place({.base = base, .size = 4_KiB, .wishes = wishes});
  };
  const auto refused = fail(Status::kInvalidParameter);
  EXPECT_EQ(with({.lowest = VirtualAddress(0x11000)}), refused);
  EXPECT_EQ(with({.alignment = 32_KiB}), refused);
  EXPECT_EQ(with({.alignment = 192_KiB}), refused);
  EXPECT_EQ(with({.alignment = 64_KiB}, VirtualAddress(0x20000)), refused);
  EXPECT_EQ(t_.check(), "");
}

TEST_P(Placement, ZeroBitsLowerTheCeiling) {
  EXPECT_EQ(zero_bits_ceiling(mode(), 1), VirtualAddress(0x7FFFFFFF));
  EXPECT_EQ(zero_bits_ceiling(mode(), 12), VirtualAddress(0xFFFFF));
  EXPECT_EQ(zero_bits_ceiling(mode(), 21), VirtualAddress(0x7FF));
  EXPECT_EQ(zero_bits_ceiling(mode(), 22), fail(Status::kInvalidParameter3));
  EXPECT_EQ(zero_bits_ceiling(mode(), 31), fail(Status::kInvalidParameter3));
  EXPECT_EQ(zero_bits_ceiling(mode(), 32), fail(Status::kInvalidParameter3));
  const bool is_64_bit = GetParam() == PteFormat::kAmd64;
  EXPECT_EQ(zero_bits_ceiling(mode(), 0), VirtualAddress(is_64_bit ? ~std::uint64_t{0} : 0xFFFFFFFF));
  const auto mask = zero_bits_ceiling(mode(), 0x1234567);
  EXPECT_EQ(mask, is_64_bit ? Result<VirtualAddress>(VirtualAddress(0x1FFFFFF)) : fail(Status::kInvalidParameter3));

  const auto below =
      place({.size = 64_KiB, .direction = kTopDown, .wishes = {.highest = *zero_bits_ceiling(mode(), 12)}});
  EXPECT_EQ(below, VirtualAddress(0xF0000));
}

TEST_P(Placement, ALargeUserRangeIsThreeGigabytesWhereAddressesHave32Bits) {
  ProcessSpace& space = **t_.manager().create_space(t_.cpu(), {.range = UserRange::kLarge});
  const bool is_64_bit = GetParam() == PteFormat::kAmd64;
  const VirtualAddress highest = is_64_bit ? mode().highest_user : VirtualAddress(0xBFFEFFFF);
  EXPECT_EQ(space.highest_user(), highest);
  const auto top = space.reserve({.size = 64_KiB, .commit = MemCommit::kYes, .direction = kTopDown});
  ASSERT_TRUE(top);
  EXPECT_EQ(top->last(), (highest - ByteCount(kAllocationGranularity)).vpn());
  t_.manager().attach(t_.cpu(), space);
  t_.must_put(VirtualAddress(top->first), 0, 42);
  EXPECT_EQ(t_.get(VirtualAddress(top->first), 0), 42U);
  EXPECT_EQ(t_.touch(VirtualAddress(highest.vpn() + 1_pages)), Status::kAccessViolation);
  EXPECT_TRUE(space.query(t_.cpu(), highest));
  EXPECT_EQ(space.query(t_.cpu(), highest + ByteCount(1)).error(), Status::kInvalidParameter);
  EXPECT_EQ(t_.check(), "");

  // Its neighbour, of the normal range, does not reach so far.
  if (!is_64_bit) {
    EXPECT_EQ(t_.space().reserve({.base = VirtualAddress(top->first), .size = 4_KiB}).error(),
              Status::kInvalidParameter2);
    t_.manager().attach(t_.cpu(), t_.space());
    EXPECT_EQ(t_.touch(VirtualAddress(top->first)), Status::kAccessViolation);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, Placement, ::testing::Values(PteFormat::kX86, PteFormat::kPae, PteFormat::kAmd64),
                         Placement::name_of);

}  // namespace
}  // namespace pagoda::mm
