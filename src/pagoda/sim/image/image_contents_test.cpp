#include "pagoda/sim/image/image_contents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "pagoda/base/hash.h"
#include "pagoda/sim/image/image_statistics.h"
#include "pagoda/sim/image/tar_header.h"
#include "pagoda/sim/testing/hex_sample.h"
#include "pagoda/sim/testing/image_directory.h"
#include "pagoda/sim/testing/vpm_file.h"

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;
using Page = std::array<std::byte, kPageBytes>;

Page page_of(const ImageContents& image, std::uint64_t number) {
  Page page;
  page.fill(std::byte{0x5a});
  image.fill(number, page);
  return page;
}

std::string error_of(const std::string& file, const std::string& name = "") {
  const auto image = ImageOpener().open(file, name);
  if (image) return {};
  EXPECT_THAT(image.error().message, AllOf(StartsWith(file + ": "), HasSubstr("; ")));
  EXPECT_EQ(std::ranges::count(image.error().message, '\n'), 0) << image.error().message;
  return image.error().message;
}

TEST(ContentTable, EqualPagesHaveOneNumberAndComeBack) {
  ContentTable table;
  std::mt19937_64 random(1);
  std::vector<Page> pages;
  for (std::size_t i = 0; i < 600; ++i) {
    Page page{};
    // From zero over patterns and half-filled ones to incompressible.
    for (std::size_t at = 0; at < i / 5 * 35 && at + 8 <= page.size(); at += 8) {
      const std::uint64_t word = i % 5 == 0 ? 7 : random();
      std::memcpy(&page[at], &word, sizeof word);
    }
    pages.push_back(page);
  }
  std::vector<std::uint32_t> numbers;
  for (const Page& page : pages) numbers.push_back(table.add(page));
  for (std::size_t i = 0; i < pages.size(); ++i) {
    EXPECT_EQ(table.add(pages[i]), numbers[i]);
    Page page;
    table.fill(numbers[i], page);
    EXPECT_EQ(page, pages[i]) << i;
    for (std::size_t j = 0; j < i; ++j) EXPECT_EQ(numbers[i] == numbers[j], pages[i] == pages[j]) << i << ", " << j;
  }
  EXPECT_EQ(table.contents()[numbers[0]].kind, ContentKind::kZero);
  EXPECT_EQ(table.contents()[numbers.back()].lz4_size, kPageBytes);
}

TEST(ImageContents, OfAMapAreMadeByNumber) {
  const ImageDirectory directory;
  directory.write("m.vpm.zst", VpmParts().file());
  ImageOpener opener;
  const auto a = opener.open(directory.file("m.vpm.zst"), "a");
  const auto b = opener.open(directory.file("m.vpm.zst"), "b");
  ASSERT_TRUE(a) << a.error().message;
  ASSERT_TRUE(b) << b.error().message;
  EXPECT_EQ((*a)->pages(), 4_pages);
  EXPECT_EQ((*a)->describe(), "a.mem of " + directory.file("m.vpm.zst"));
  EXPECT_TRUE((*a)->is_zero(0));
  EXPECT_FALSE((*a)->is_zero(1));
  EXPECT_TRUE(is_zero_page(page_of(**a, 0)));
  EXPECT_EQ(page_of(**a, 3), page_of(**b, 0));
  EXPECT_NE(page_of(**a, 2), page_of(**a, 3));
  const auto again = opener.open(directory.file("m.vpm.zst"), "a");
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, *a);  // The same object.
}

TEST(ImageContents, OfRawFilesAndArchivesAreTheirBytes) {
  const ImageDirectory directory;
  std::vector<std::byte> raw(3 * kPageBytes);
  for (std::size_t i = kPageBytes; i < raw.size(); ++i) raw[i] = static_cast<std::byte>(i * i >> 7);
  const std::vector<std::byte> other(kPageBytes, std::byte{9});
  const auto archive = tar_of({{"x.mem", raw}, {"y.mem", other}});
  directory.write("raw.mem", raw);
  directory.write("raw.mem.zst", in_zstd_frame(raw));
  directory.write("two.tar", archive);
  directory.write("two.tar.zst", in_zstd_frame(archive));
  for (const auto& [file, name] : std::vector<std::pair<std::string, std::string>>{
           {"raw.mem", ""}, {"raw.mem", "raw"}, {"raw.mem.zst", ""}, {"two.tar", "x"}, {"two.tar.zst", "x.mem"}}) {
    SCOPED_TRACE(file);
    const auto image = ImageOpener().open(directory.file(file), name);
    ASSERT_TRUE(image) << image.error().message;
    ASSERT_EQ((*image)->pages(), 3_pages);
    EXPECT_TRUE((*image)->is_zero(0));
    for (std::size_t page = 0; page < 3; ++page)
      EXPECT_TRUE(std::ranges::equal(page_of(**image, page), std::span(raw).subspan(page * kPageBytes, kPageBytes)));
  }
}

TEST(ImageContents, OfDumpsSayWhatTheyLack) {
  const ImageDirectory directory;
  directory.write("guest.kdump", hex_sample(samples::kKdump));
  ImageOpener opener;
  const auto image = opener.open(directory.file("guest.kdump"), "");
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ((*image)->pages(), 2_pages);
  EXPECT_EQ((*image)->describe(), "guest.kdump of " + directory.file("guest.kdump") + ", which lacks 1 pages");
  EXPECT_THAT(opener.warnings(), testing::ElementsAre(HasSubstr("left out of the dump")));
}

// The same file in both ways, by one opener.
TEST(ImageContents, AreWhatTheFileIsTakenFor) {
  const ImageDirectory directory;
  directory.write("guest.lime", hex_sample("@0:454d694c01 @10:ff0f @20:[4096x41] len 4128"));
  ImageOpener opener;
  const auto lime = opener.open(directory.file("guest.lime"), "");
  const auto raw = opener.open(directory.file("guest.lime"), "", TakeAs::kRaw);
  ASSERT_TRUE(lime) << lime.error().message;
  ASSERT_TRUE(raw) << raw.error().message;
  EXPECT_EQ((*lime)->pages(), 1_pages);
  EXPECT_EQ((*raw)->pages(), 2_pages);
  EXPECT_EQ(page_of(**raw, 0)[0], std::byte{'E'});
}

TEST(ImageContents, WhatIsNotThereIsRefusedInOneLine) {
  const ImageDirectory directory;
  const std::vector<std::byte> raw(2 * kPageBytes);
  directory.write("m.vpm.zst", VpmParts().file());
  directory.write("odd.mem", std::span(raw).first(5000));
  directory.write("empty.mem", {});
  directory.write("two.tar", tar_of({{"x.mem", raw}, {"y.mem", raw}}));
  directory.write("odd.tar", tar_of({{"odd", std::span(raw).first(5000)}}));
  directory.write("twice.tar", tar_of({{"x", raw}, {"x", raw}}));
  EXPECT_THAT(error_of(directory.file("none")), HasSubstr("cannot be read"));
  EXPECT_THAT(error_of(directory.file("m.vpm.zst")), HasSubstr("holds 2 images; name one of a.mem, b"));
  EXPECT_THAT(error_of(directory.file("m.vpm.zst"), "c"), HasSubstr("no image \"c\"; there are a.mem, b"));
  EXPECT_THAT(error_of(directory.file("odd.mem")), HasSubstr("not a multiple of 4096"));
  EXPECT_THAT(error_of(directory.file("empty.mem")), HasSubstr("is empty"));
  EXPECT_THAT(error_of(directory.file("two.tar")), HasSubstr("holds 2 images; name one of x.mem, y.mem"));
  EXPECT_THAT(error_of(directory.file("two.tar"), "z"), HasSubstr("no image \"z\"; there are x.mem, y.mem"));
  EXPECT_THAT(error_of(directory.file("odd.tar"), "odd"), HasSubstr("not a multiple of 4096"));
  EXPECT_THAT(error_of(directory.file("twice.tar"), "x"), HasSubstr("there is an image \"x\" already"));
}

TEST(ImageFiles, EveryTruncationInsideAMemberIsRefused) {
  const ImageDirectory directory;
  const std::vector<std::byte> raw(kPageBytes, std::byte{1});
  const auto archive = tar_of({{"x.mem", raw}, {"y.mem", raw}});
  const auto packed = in_zstd_frame(archive);
  const std::size_t contents = 2 * (kTarBlockBytes + kPageBytes);
  for (std::size_t size = 1; size < contents; size += 97) {
    if (size == kTarBlockBytes + kPageBytes) continue;
    directory.write("cut.tar", std::span(archive).first(size));
    EXPECT_NE(error_of(directory.file("cut.tar"), "y"), "") << size;
  }
  for (std::size_t size = 0; size < packed.size(); ++size) {
    directory.write("cut.tar.zst", std::span(packed).first(size));
    EXPECT_NE(error_of(directory.file("cut.tar.zst"), "y"), "") << size;
  }
}

// The whole images that the shipped map was made from, if they are present.
TEST(ImageContents, RealImagesAreWhatTheMapSaysAboutThem) {
  if (!std::filesystem::exists(kRealImages))
    GTEST_SKIP() << kRealImages << " is not there: it holds pages of other people's programs";
  auto opened = ImageFile::open(kRealImages);
  ASSERT_TRUE(opened) << opened.error().message;
  ImageReader reader;
  const auto read = reader.read(*opened, [](const std::string&) { return true; });
  ASSERT_TRUE(read) << read.error().message;
  const PageMap real = reader.take_map();
  const auto shipped = PageMap::open(std::string(PAGODA_SOURCE_DIR) + "/data/images/all14.vpm.zst");
  ASSERT_TRUE(shipped) << shipped.error().message;
  std::unordered_map<std::uint32_t, std::uint32_t> shipped_number;  // By the number in `real`.
  ASSERT_EQ(real.images().size(), 4U);
  for (const PageMap::Image& image : real.images()) {
    SCOPED_TRACE(image.name);
    const PageMap::Image* const same = shipped->find(image.name);
    ASSERT_NE(same, nullptr);
    ASSERT_EQ(same->pages, image.pages);
    for (std::size_t page = 0; page < image.pages.value(); ++page) {
      const std::uint32_t ours = real.numbers(image)[page];
      const std::uint32_t theirs = shipped->numbers(*same)[page];
      ASSERT_EQ(shipped_number.emplace(ours, theirs).first->second, theirs) << page;
      const PageContent& content = real.contents()[ours];
      ASSERT_EQ(content.kind, shipped->contents()[theirs].kind) << page;
      ASSERT_EQ(content.pattern, shipped->contents()[theirs].pattern) << page;
      ASSERT_EQ(content.lz4_size, shipped->contents()[theirs].lz4_size) << page;
    }
  }
  EXPECT_EQ(image_figures(real, real.images()).back().together.distinct, 51'854_pages);
}

}  // namespace
}  // namespace pagoda::sim
