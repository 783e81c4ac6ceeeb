#include "pagoda/base/hash.h"

#include <gtest/gtest.h>

#include <array>
#include <string_view>

namespace pagoda {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

TEST(Hash, IsXxh3) {
  EXPECT_EQ(hash_bytes({}), 0x2D06800538D394C2U);  // XXH3_64bits of nothing, seed 0 (xxHash's specification).
}

TEST(Hash, DependsOnBytesAndSeed) {
  EXPECT_EQ(hash_bytes(bytes("pagoda")), hash_bytes(bytes("pagoda")));
  EXPECT_NE(hash_bytes(bytes("pagoda")), hash_bytes(bytes("pagodb")));
  EXPECT_NE(hash_bytes(bytes("pagoda")), hash_bytes(bytes("pagoda"), 1));
}

TEST(StateHash, IsTheHashOfWhatWasFed) {
  StateHash state;
  state.add(bytes("pag"));
  state.add(bytes("oda"));
  EXPECT_EQ(state.digest(), hash_bytes(bytes("pagoda")));
  EXPECT_EQ(state.digest(), hash_bytes(bytes("pagoda")));  // Asking changes nothing.
  const std::array<std::uint64_t, 2> words{1, 2};
  StateHash of_words;
  of_words.add(1);
  of_words.add(2);
  EXPECT_EQ(of_words.digest(), hash_bytes(std::as_bytes(std::span(words))));
}

TEST(StateHash, DependsOnOrder) {
  StateHash one;
  one.add(1);
  one.add(2);
  StateHash other;
  other.add(2);
  other.add(1);
  EXPECT_NE(one.digest(), other.digest());
}

}  // namespace
}  // namespace pagoda
