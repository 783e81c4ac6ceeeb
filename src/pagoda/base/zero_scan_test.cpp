#include "pagoda/base/zero_scan.h"

#include <gtest/gtest.h>

#include <array>

namespace pagoda {
namespace {

TEST(ZeroScan, SeesEachByteOfAPage) {
  alignas(kPageBytes) std::array<std::byte, kPageBytes> page{};
  EXPECT_TRUE(is_zero(page));
  for (std::byte& byte : page) {
    byte = std::byte{0x80};
    EXPECT_FALSE(is_zero(page)) << &byte - page.data();
    byte = std::byte{0};
  }
  EXPECT_TRUE(is_zero(page));
}

TEST(ZeroScan, NeedsNoAlignmentAndReadsNothingElse) {
  std::array<std::byte, kPageBytes + 2> bytes{};
  bytes.front() = bytes.back() = std::byte{1};
  EXPECT_TRUE(is_zero(std::span(bytes).subspan<1, kPageBytes>()));
}

}  // namespace
}  // namespace pagoda
