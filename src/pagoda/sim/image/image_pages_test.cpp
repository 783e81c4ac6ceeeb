#include "pagoda/sim/image/image_pages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace pagoda::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Ranges whose bytes are all their `place`.
class MadeImage : public MemoryImage {
 public:
  explicit MadeImage(const std::vector<StoredRange>& ranges) {
    for (const StoredRange& range : ranges) add_range(range);
  }
  Input<> read(const StoredRange& range, std::uint64_t at, std::span<std::byte> bytes) override {
    EXPECT_LE(at + bytes.size(), range.bytes);
    std::ranges::fill(bytes, static_cast<std::byte>(range.place));
    return {};
  }
};

using Pages = std::map<std::uint64_t, std::array<std::byte, kPageBytes>>;

Pages read_all_pages(ImagePages& pages) {
  Pages all;
  std::array<std::byte, kPageBytes> page{};
  for (;;) {
    const auto number = pages.next_page(page);
    EXPECT_TRUE(number);
    if (!*number) break;
    EXPECT_TRUE(all.empty() || all.rbegin()->first < **number);
    all.emplace(**number, page);
  }
  EXPECT_EQ(pages.pages().value(), all.size());
  return all;
}

TEST(ImagePages, ComeInOrderWhateverOrderRangesHave) {
  MadeImage image({{.first = 0x9000, .bytes = 0x2000, .place = 1}, {.first = 0x1000, .bytes = 0x1000, .place = 2}});
  auto pages = ImagePages::of(image, "f");
  ASSERT_TRUE(pages);
  const Pages all = read_all_pages(*pages);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all.at(1)[0], std::byte{2});
  EXPECT_EQ(all.at(9)[0], std::byte{1});
  EXPECT_THAT(pages->warnings(), IsEmpty());
}

TEST(ImagePages, RangesThatMeetInsideAPageMakeOneWholePage) {
  MadeImage image({{.first = 0x1000, .bytes = 0x400, .place = 1}, {.first = 0x1400, .bytes = 0xc00, .place = 2}});
  auto pages = ImagePages::of(image, "f");
  ASSERT_TRUE(pages);
  const Pages all = read_all_pages(*pages);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all.at(1)[0x3ff], std::byte{1});
  EXPECT_EQ(all.at(1)[0x400], std::byte{2});
  EXPECT_THAT(pages->warnings(), IsEmpty());
}

TEST(ImagePages, ARangeThatEndsPastTheHighestAddressIsRefused) {
  for (const StoredRange& range : {StoredRange{.first = ~std::uint64_t{0} - 4095, .bytes = 8192},
                                   StoredRange{.first = std::uint64_t{1} << 52, .bytes = 1}}) {
    MadeImage image({range});
    const auto pages = ImagePages::of(image, "f");
    ASSERT_FALSE(pages);
    EXPECT_THAT(pages.error().message, HasSubstr("f: "));
    EXPECT_THAT(pages.error().message, HasSubstr("the highest physical address"));
  }
  MadeImage highest({{.first = (std::uint64_t{1} << 52) - 4096, .bytes = 4096, .place = 3}});
  auto pages = ImagePages::of(highest, "f");
  ASSERT_TRUE(pages);
  EXPECT_EQ(read_all_pages(*pages).size(), 1U);
}

// Against a map of bytes: the first range that has a byte gives it, the rest of a page is zero.
TEST(ImagePages, AreWhatAModelOfBytesSays) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::vector<StoredRange> ranges;
    for (std::uint64_t i = 1 + random() % 8; i != 0; --i)
      ranges.push_back({.first = random() % 40 * 0x300, .bytes = random() % 30 * 0x300, .place = i});
    std::vector<std::byte> model(0x10000);
    std::uint64_t twice = 0;
    for (const StoredRange& range : ranges)
      for (std::uint64_t at = range.first; at < range.first + range.bytes; ++at) {
        twice += model[at] != std::byte{0} ? 1 : 0;
        if (model[at] == std::byte{0}) model[at] = static_cast<std::byte>(range.place);
      }
    MadeImage image(ranges);
    auto pages = ImagePages::of(image, "f");
    ASSERT_TRUE(pages);
    const Pages all = read_all_pages(*pages);
    std::uint64_t partly = 0;
    for (std::uint64_t page = 0; page < model.size() / kPageBytes; ++page) {
      const auto bytes = std::span(model).subspan(page * kPageBytes, kPageBytes);
      const auto zeros = std::ranges::count(bytes, std::byte{0});
      ASSERT_EQ(all.contains(page), zeros != kPageBytes) << page;
      if (!all.contains(page)) continue;
      ASSERT_TRUE(std::ranges::equal(all.at(page), bytes)) << page;
      partly += zeros != 0 ? 1 : 0;
    }
    std::string warnings;
    for (const std::string& warning : pages->warnings()) warnings += warning + "\n";
    EXPECT_EQ(warnings.find("twice") != std::string::npos, twice != 0);
    EXPECT_EQ(warnings.find("of " + std::to_string(partly) + " pages the file holds a part") != std::string::npos,
              partly != 0);
  }
}

}  // namespace
}  // namespace pagoda::sim
