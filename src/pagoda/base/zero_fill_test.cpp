#include "pagoda/base/zero_fill.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "pagoda/base/zero_scan.h"

namespace pagoda {
namespace {

struct alignas(kPageBytes) Pages {
  std::array<std::byte, 3 * kPageBytes> bytes;
};

TEST(ZeroFill, ClearsOnePageAndNothingAround) {
  static Pages pages;
  pages.bytes.fill(std::byte{0xA5});
  const std::span all(pages.bytes);
  const auto page = all.subspan<kPageBytes, kPageBytes>();
  zero_past_caches(page);
  EXPECT_TRUE(is_zero(page));
  const auto untouched = [](std::byte byte) { return byte == std::byte{0xA5}; };
  EXPECT_TRUE(std::ranges::all_of(all.first<kPageBytes>(), untouched));
  EXPECT_TRUE(std::ranges::all_of(all.last<kPageBytes>(), untouched));
}

}  // namespace
}  // namespace pagoda
