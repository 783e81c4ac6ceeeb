// What a file is taken for.
#include "pagoda/sim/image/image_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/sim/testing/hex_sample.h"
#include "pagoda/sim/testing/image_directory.h"
#include "pagoda/sim/testing/read_image.h"
#include "pagoda/sim/testing/vpm_file.h"

namespace pagoda::sim {
namespace {

using testing::HasSubstr;

std::vector<std::byte> with_magic(const Magic& magic) {
  std::vector<std::byte> file(0x20000);
  put_bytes(file, magic.at, std::as_bytes(std::span(magic.bytes)));
  return file;
}

TEST(ImageFormat, EveryRowIsFoundByEachOfItsMagics) {
  for (const ImageFormat& format : image_formats()) {
    for (const Magic& magic : format.magics) {
      const auto file = with_magic(magic);
      EXPECT_EQ(&find_format({.first = file, .last = {}}), &format) << format.name << " at " << magic.at;
    }
    EXPECT_TRUE(format.use == FormatUse::kRaw || !format.magics.empty() || format.also != nullptr) << format.name;
    EXPECT_EQ(format.open != nullptr, format.use == FormatUse::kMemory) << format.name;
    EXPECT_EQ(!format.advice.empty(), format.use == FormatUse::kRefused) << format.name;
  }
}

TEST(ImageFormat, WhatIsRefusedSaysWhatItIsAndWhatToDo) {
  for (const ImageFormat& format : image_formats()) {
    if (format.use != FormatUse::kRefused) continue;
    for (const Magic& magic : format.magics) {
      const std::string error = read_image(with_magic(magic)).error;
      EXPECT_THAT(error, HasSubstr(std::string("f: ").append(format.name).append("; ").append(format.advice)));
    }
  }
  EXPECT_THAT(read_image(hex_sample(samples::kMinidump)).error, HasSubstr("minidump"));
}

TEST(ImageFormat, RawIsWhatTheUserSaysItIs) {
  for (const ImageFormat& format : image_formats()) {
    if (format.use == FormatUse::kArchive || format.use == FormatUse::kCompressed) continue;
    for (const Magic& magic : format.magics) {
      const ImageRead read = read_image(with_magic(magic), TakeAs::kRaw);
      EXPECT_EQ(read.error, "") << format.name;
      EXPECT_EQ(read.pages.size(), 32U);
      EXPECT_EQ(read.facts.at(0).format, "raw memory");
    }
  }
}

TEST(ImageFormat, RawWithoutAKnownBeginningHasWholePages) {
  std::vector<std::byte> file(2 * kPageBytes, std::byte{7});
  EXPECT_EQ(read_image(file).pages.size(), 2U);
  file.push_back(std::byte{8});
  EXPECT_THAT(read_image(file).error, HasSubstr("say --raw"));
  const ImageRead read = read_image(file, TakeAs::kRaw);
  ASSERT_EQ(read.pages.size(), 3U);
  EXPECT_EQ(read.pages[2][0], std::byte{8});
  EXPECT_EQ(read.pages[2][1], std::byte{0});
  EXPECT_THAT(read.warnings(), HasSubstr("not a multiple of 4096"));
}

// Its mark is in its last sector, which only a plain file shows.
TEST(ImageFormat, AFixedVirtualDiskIsKnownByItsEnd) {
  const ImageDirectory directory;
  directory.write("disk.vhd", hex_sample("@1000:636f6e6563746978 len 4608"));
  EXPECT_THAT(read_image(ImageFile::open(directory.file("disk.vhd"))).error, HasSubstr("VHD"));
}

TEST(ImageFormat, TarOfVersion7IsKnownByItsChecksum) {
  auto archive = tar_of({{"a.mem", std::vector<std::byte>(kPageBytes)}});
  EXPECT_EQ(find_format({.first = archive, .last = {}}).use, FormatUse::kArchive);
  for (std::size_t at = 257; at < 265; ++at) archive[at] = std::byte{0};
  EXPECT_EQ(find_format({.first = archive, .last = {}}).use, FormatUse::kRaw);  // The checksum was of other bytes.
  std::ranges::fill(std::span(archive).subspan(148, 8), std::byte{' '});
  unsigned sum = 0;
  for (const std::byte b : std::span(archive).first(512)) sum += std::to_integer<unsigned>(b);
  const std::string checksum = fmt::format("{:06o}", sum);
  put_bytes(archive, 148, std::as_bytes(std::span(checksum)));
  archive[154] = std::byte{0};
  EXPECT_EQ(find_format({.first = archive, .last = {}}).use, FormatUse::kArchive);
}

TEST(ImageFormat, TheDocumentHasEveryRow) {
  std::ifstream file(std::string(PAGODA_SOURCE_DIR) + "/docs/images.md");
  const std::string document(std::istreambuf_iterator<char>(file), {});
  for (const ImageFormat& format : image_formats())
    EXPECT_NE(document.find(std::string("| ").append(format.name).append(" |")), std::string::npos) << format.name;
}

}  // namespace
}  // namespace pagoda::sim
