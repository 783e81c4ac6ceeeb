#include "pagoda/sim/image/dump/lzo1x.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "pagoda/sim/testing/hex_sample.h"

namespace pagoda::sim {
namespace {

// What the block gives if it is one of so many bytes; "bad" if it is none.
std::string unpacked(std::string_view hex, std::size_t size) {
  std::vector<std::byte> plain(size);
  if (!unpack_lzo1x(sample_bytes(hex), plain)) return "bad";
  return {reinterpret_cast<const char*>(plain.data()), plain.size()};
}

// One of each instruction of Documentation/staging/lzo.rst, with its end mark "110000".
TEST(Lzo1x, UnpacksEachInstruction) {
  EXPECT_EQ(unpacked("14616263110000", 3), "abc");  // First literals: 0x14 - 17.
  EXPECT_EQ(unpacked("02"
                     "6162636465"
                     "110000",
                     5),
            "abcde");  // Literals: 3 + 2.
  EXPECT_EQ(unpacked("00"
                     "01" +
                         std::string(38, '6') + "110000",
                     19),
            std::string(19, 'f'));  // 3 + 15 + 1.
  EXPECT_EQ(unpacked("1561626364"
                     "48"
                     "00"
                     "110000",
                     7),
            "abcdbcd");  // 3 bytes from 3 before.
  EXPECT_EQ(unpacked("1561626364"
                     "6800"
                     "110000",
                     8),
            "abcdbcdb");  // 4 bytes, over themselves.
  EXPECT_EQ(unpacked("1561626364"
                     "8c00"
                     "110000",
                     9),
            "abcdabcda");  // 5 bytes from 4 before.
  EXPECT_EQ(unpacked("1561626364"
                     "230c00"
                     "110000",
                     9),
            "abcdabcda");  // 2 + 3 bytes, distance in two bytes.
  EXPECT_EQ(unpacked("1561626364"
                     "200a0c00"
                     "110000",
                     47)
                .size(),
            47U);  // 2 + 31 + 10.
  EXPECT_EQ(unpacked("1561626364"
                     "8e007879"
                     "110000",
                     11),
            "abcdabcdaxy");  // Two literals behind a match.
  EXPECT_EQ(unpacked("136162"
                     "0400"
                     "110000",
                     4),
            "abab");  // 2 bytes, behind few literals.
}

TEST(Lzo1x, MatchesFarAwayAreFound) {
  // 2,049 and 20,000 bytes back: literals that are long enough, and then a match behind them.
  std::string letters;
  for (std::size_t i = 0; i < 20'000; ++i) letters += static_cast<char>('a' + i % 23);
  std::string hex = "00";
  const std::size_t rest = letters.size() - 18;
  for (std::size_t i = 0; i < rest / 255; ++i) hex += "00";
  hex += fmt::format("{:02x}", rest % 255);
  for (const char c : letters) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  EXPECT_EQ(unpacked(hex + "0000" + "110000", letters.size() + 3), letters + letters.substr(20'000 - 2049, 3));
  const unsigned far = 20'000 - 16'384;
  const std::string place = fmt::format("{:02x}{:02x}", (far << 2) & 0xff, far << 2 >> 8);
  EXPECT_EQ(unpacked(hex + "11" + place + "110000", letters.size() + 3), letters + letters.substr(0, 3));
}

TEST(Lzo1x, WhatIsNoBlockOfThatSizeIsRefused) {
  const std::string good =
      "1561626364"
      "8e007879"
      "110000";
  ASSERT_EQ(unpacked(good, 11), "abcdabcdaxy");
  for (std::size_t size = 0; size < good.size(); size += 2) EXPECT_EQ(unpacked(good.substr(0, size), 11), "bad");
  EXPECT_EQ(unpacked(good, 10), "bad");
  EXPECT_EQ(unpacked(good, 12), "bad");
  EXPECT_EQ(unpacked(good + "00", 11), "bad");
  EXPECT_EQ(unpacked("1561626364"
                     "9c00"
                     "110000",
                     9),
            "bad");  // From before the beginning.
}

TEST(Lzo1x, AnyBytesAtAllEnd) {
  std::mt19937 random(1);
  std::vector<std::byte> plain(4096);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> packed(1 + random() % 40);
    for (std::byte& b : packed) b = static_cast<std::byte>(random());
    unpack_lzo1x(packed, plain);
  }
}

}  // namespace
}  // namespace pagoda::sim
