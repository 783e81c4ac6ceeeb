#include "pagoda/sim/image/page_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/image_statistics.h"
#include "pagoda/sim/testing/vpm_file.h"

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kShipped = std::string(PAGODA_SOURCE_DIR) + "/data/images/all14.vpm.zst";

Input<PageMap> read(std::vector<std::byte> file) {
  auto source = PAGODA_TRY(ByteSource::from_bytes("f", std::move(file), 27));
  return PageMap::read(source);
}

// One line that names the file and says what to do; empty if the file is right.
std::string error_of(std::vector<std::byte> file) {
  const auto map = read(std::move(file));
  if (map) return {};
  EXPECT_THAT(map.error().message, AllOf(StartsWith("f: "), HasSubstr("; ")));
  EXPECT_EQ(std::ranges::count(map.error().message, '\n'), 0) << map.error().message;
  return map.error().message;
}

TEST(PageMap, ReadsWhatWasWritten) {
  const VpmParts parts;
  for (const auto& file : {parts.plain(), parts.file()}) {
    const auto map = read(file);
    ASSERT_TRUE(map) << map.error().message;
    ASSERT_EQ(map->images().size(), 2U);
    EXPECT_EQ(map->names(), "a.mem, b");
    EXPECT_EQ(map->images()[0].pages, 4_pages);
    EXPECT_THAT(map->numbers(map->images()[0]), ElementsAre(0, 1, 2, 3));
    EXPECT_THAT(map->numbers(map->images()[1]), ElementsAre(3, 0));
    ASSERT_EQ(map->contents().size(), 4U);
    EXPECT_EQ(map->contents()[1].kind, ContentKind::kPattern);
    EXPECT_EQ(map->contents()[1].pattern, 0xcccccccccccccccc);
    EXPECT_EQ(map->contents()[2].lz4_size, 1000);
    EXPECT_EQ(map->contents()[2].zstd_size, 700);
  }
}

TEST(PageMap, FindsImagesWithAndWithoutTheirExtension) {
  const auto map = read(VpmParts().file());
  ASSERT_TRUE(map);
  EXPECT_EQ(map->find("a.mem"), map->images().data());
  EXPECT_EQ(map->find("a"), map->images().data());
  EXPECT_EQ(map->find("b"), &map->images()[1]);
  EXPECT_EQ(map->find("b.mem"), nullptr);
  EXPECT_EQ(map->find(""), nullptr);
}

TEST(PageMap, EveryTruncationIsRefused) {
  const VpmParts parts;
  for (const auto& file : {parts.plain(), parts.file()}) {
    for (std::size_t size = 0; size < file.size(); ++size) {
      SCOPED_TRACE(size);
      EXPECT_NE(error_of({file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size)}), "");
    }
  }
}

TEST(PageMap, BytesBehindItsEndAreRefused) {
  auto plain = VpmParts().plain();
  plain.push_back(std::byte{0});
  EXPECT_THAT(error_of(plain), HasSubstr("behind its end"));
  EXPECT_THAT(error_of(in_zstd_frame(plain)), HasSubstr("behind its end"));
  auto file = VpmParts().file();
  file.push_back(std::byte{0});
  EXPECT_NE(error_of(file), "");
}

TEST(PageMap, WrongPartsAreRefusedOneByOne) {
  const std::vector<std::pair<std::function<void(VpmParts&)>, std::string>> cases{
      {[](VpmParts& p) { p.header = "VPM2\nimage a 6\ndistinct 4\n\n"; }, "not a page map"},
      {[](VpmParts& p) { p.header = "VPM1\nimage a 6\n\n"; }, "says no \"distinct\""},
      {[](VpmParts& p) { p.header = "VPM1\ndistinct 4\n\n"; }, "line 2 says no number from 1 to the 0 pages"},
      {[](VpmParts& p) { p.header = "VPM1\nimage a 6\ndistinct 7\n\n"; }, "line 3 says no number from 1 to the 6"},
      {[](VpmParts& p) { p.header = "VPM1\nimage a 6\ndistinct 0\n\n"; }, "line 3 says no number"},
      {[](VpmParts& p) { p.header = "VPM1\nimage a 6\ndistinct 4\nimage b 1\n\n"; }, "line 4 stands behind"},
      {[](VpmParts& p) { p.header = "VPM1\nimage a 0\ndistinct 4\n\n"; }, "line 2 names no image"},
      {[](VpmParts& p) { p.header = "VPM1\nimage a -1\ndistinct 4\n\n"; }, "line 2 names no image"},
      {[](VpmParts& p) { p.header = "VPM1\nimage 6\ndistinct 4\n\n"; }, "line 2 names no image"},
      {[](VpmParts& p) { p.header = "VPM1\nimage a 99999999999999999999\ndistinct 4\n\n"; }, "line 2 names no image"},
      {[](VpmParts& p) { p.header = "VPM1\nimage a\tb 6\ndistinct 4\n\n"; }, "line 2 names no image"},
      {[](VpmParts& p) { p.header = "VPM1\nimage " + std::string(300, 'a') + " 6\ndistinct 4\n\n"; },
       "line 2 names no image"},
      {[](VpmParts& p) { p.header = "VPM1\nimage a 16777216\nimage b 1\ndistinct 4\n\n"; }, "line 3 names no image"},
      {[](VpmParts& p) { p.header = "VPM1\nimage a 4\nimage a 2\ndistinct 4\n\n"; }, "the same name"},
      {[](VpmParts& p) { p.header = "VPM1\nimages a 6\ndistinct 4\n\n"; }, "line 2 is neither"},
      {[](VpmParts& p) { p.header = "VPM1\n" + std::string(100'000, 'x'); }, "the header has no end"},
      {[](VpmParts& p) { p.kinds[2] = 3; }, "content 2 is of no known kind"},
      {[](VpmParts& p) { p.kinds[2] = 0; }, "two contents are zero"},
      {[](VpmParts& p) { p.patterns[1] = 0; }, "content 1 is zero and called a pattern"},
      {[](VpmParts& p) { p.kinds[2] = 1, p.patterns[2] = p.patterns[1]; }, "the same pattern"},
      {[](VpmParts& p) { p.lz4_sizes[3] = 4097; }, "content 3 has no size"},
      {[](VpmParts& p) { p.lz4_sizes[0] = 0; }, "content 0 has no size"},
      {[](VpmParts& p) { p.zstd_sizes[2] = 0; }, "content 2 has no size"},
      {[](VpmParts& p) { p.numbers[5] = 4; }, "page 5 has no known content"},
      {[](VpmParts& p) { p.numbers[0] = 0xffffffff; }, "page 0 has no known content"},
  };
  for (const auto& [damage, what] : cases) {
    VpmParts parts;
    damage(parts);
    EXPECT_THAT(error_of(parts.file()), HasSubstr(what));
  }
}

TEST(PageMap, WildCountsCostNoMemory) {
  VpmParts parts;
  parts.header = "VPM1\nimage a 16777216\ndistinct 16777216\n\n";
  EXPECT_THAT(error_of(parts.file()), HasSubstr("truncated in the kinds"));
}

TEST(PageMap, WhatCannotBeOpenedIsOneLine) {
  for (const char* path : {"/nowhere/x.vpm.zst", PAGODA_SOURCE_DIR, PAGODA_SOURCE_DIR "/CMakeLists.txt"}) {
    const auto map = PageMap::open(path);
    ASSERT_FALSE(map) << path;
    EXPECT_THAT(map.error().message, StartsWith(std::string(path) + ": "));
    EXPECT_EQ(std::ranges::count(map.error().message, '\n'), 0);
  }
}

// Four real guests together, without KASLR: the table in docs/images.md.
TEST(ImageFigures, OfTheShippedMap) {
  const auto map = PageMap::open(kShipped);
  ASSERT_TRUE(map) << map.error().message;
  EXPECT_EQ(map->images().size(), 14U);
  EXPECT_EQ(map->contents().size(), 199'080U);
  std::vector<PageMap::Image> guests;
  for (const char* name : {"nk_idle", "nk_file", "nk_compute", "nk_py"}) {
    const PageMap::Image* const image = map->find(name);
    ASSERT_NE(image, nullptr) << name;
    guests.push_back(*image);
  }
  const std::vector<ImageRow> rows = image_figures(*map, guests);
  struct Expected {
    std::uint64_t pages, zero, not_zero, distinct;
    double saved;  // Percent, to one place.
  };
  const std::vector<Expected> expected{{32'768, 13'938, 18'830, 14'720, 55.1},
                                       {73'728, 26'569, 47'159, 26'960, 63.4},
                                       {114'688, 44'095, 70'593, 36'987, 67.7},
                                       {155'648, 56'964, 98'684, 51'854, 66.7}};
  ASSERT_EQ(rows.size(), expected.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    SCOPED_TRACE(rows[i].name);
    const ImageFigures& figures = rows[i].together;
    EXPECT_EQ(figures.pages.value(), expected[i].pages);
    EXPECT_EQ(figures.zero.value(), expected[i].zero);
    EXPECT_EQ(figures.not_zero().value(), expected[i].not_zero);
    EXPECT_EQ(figures.distinct.value(), expected[i].distinct);
    EXPECT_NEAR(100 * figures.saved_by_sharing(), expected[i].saved, 0.05);
  }
  EXPECT_EQ(rows[0].alone.distinct, rows[0].together.distinct);
  EXPECT_EQ(rows[1].alone.pages, 40'960_pages);
  EXPECT_NEAR(rows[0].alone.lz4_ratio(), 2.099, 0.001);
}

}  // namespace
}  // namespace pagoda::sim
