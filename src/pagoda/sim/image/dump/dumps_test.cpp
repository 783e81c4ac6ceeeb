// The dumps of other people's programs: the samples of reference formats.md 6 and what may be wrong in them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/sim/testing/hex_sample.h"
#include "pagoda/sim/testing/read_image.h"

namespace pagoda::sim {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

ImageRead read_sample(const std::string& notation, const std::string& changes = "") {
  return read_image(hex_sample(changes, hex_sample(notation)));
}

std::vector<std::byte> cut(std::vector<std::byte> file, std::size_t size) {
  file.resize(size);
  return file;
}

// Whatever is wrong is said in one line that begins with the file; or it is warned of.
void expect_told(const ImageRead& read, const ImageRead& whole) {
  if (read.error.empty()) {
    EXPECT_TRUE(read.pages == whole.pages || !read.warnings().empty());
    return;
  }
  EXPECT_THAT(read.error, StartsWith("f: "));
  EXPECT_THAT(read.error, HasSubstr("; "));
  EXPECT_EQ(std::ranges::count(read.error, '\n'), 0) << read.error;
}

void expect_each_cut_is_told(const std::vector<std::byte>& file) {
  const ImageRead whole = read_image(file);
  ASSERT_EQ(whole.error, "");
  for (std::size_t size = 8; size < file.size(); size += size < 0x200 ? 1 : 61) {
    SCOPED_TRACE(size);
    expect_told(read_image(cut(file, size)), whole);
  }
}

// --- ELF ---

TEST(ElfImage, HoldsThePagesOfItsLoadSegmentsInBothClasses) {
  for (const std::string& sample : {samples::kElf64, samples::kElf32}) {
    const ImageRead read = read_sample(sample);
    EXPECT_EQ(read.error, "");
    EXPECT_EQ(read.first_bytes(), "A");
    EXPECT_EQ(read.warnings(), "");
    EXPECT_EQ(read.facts.at(0).format, "ELF core of a machine");
  }
}

TEST(ElfImage, ReadsTheOtherByteOrder) {
  const ImageRead read = read_image(
      hex_sample("@0:7f454c46020201 @10:0004 @20:0000000000000040 @36:00380001 @40:00000001 @48:0000000000001000 "
                 "@58:0000000000100000 @60:0000000000001000 @68:0000000000001000 @1000:[4096x41] len 8192"));
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.first_bytes(), "A");
}

// More than 65,534 segments are counted in the first section header (PN_XNUM).
TEST(ElfImage, CountsManySegmentsWhereTheyAreCounted) {
  const ImageRead read = read_sample(samples::kElf64, "@28:0002 @38:ffff @3a:4000 @3c:0100 @22c:02");
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.first_bytes(), "A");
  EXPECT_THAT(read_sample(samples::kElf64, "@28:0002 @38:ffff @3a:4000 @3c:0100 @22c:[4xff]").error,
              HasSubstr("4294967295 segments"));
}

TEST(ElfImage, WhatIsNotStoredIsAbsentAndNotZero) {
  const ImageRead read = read_sample(samples::kElf64, "@a1:30");  // In memory 0x3000 bytes, in the file 0x1000.
  EXPECT_EQ(read.pages.size(), 1U);
  EXPECT_EQ(read.facts.at(0).absent, 2_pages);
  EXPECT_THAT(read.warnings(), HasSubstr("2 pages of its segments are not stored"));
}

TEST(ElfImage, ACutSegmentKeepsWhatIsWhole) {
  const auto file = hex_sample("@99:20 @a1:20", hex_sample(samples::kElf64));  // 0x2000 bytes of which half is there.
  const ImageRead read = read_image(file);
  EXPECT_EQ(read.first_bytes(), "A");
  EXPECT_EQ(read.facts.at(0).absent, 1_pages);
  EXPECT_THAT(read.warnings(), HasSubstr("the file is cut: 1 pages"));
}

TEST(ElfImage, OneThatLostAllItsPagesSaysWhy) {
  EXPECT_THAT(read_image(cut(hex_sample(samples::kElf64), 0x800)).error,
              HasSubstr("it is empty: the file is cut: 1 pages that its headers name are not in it; "));
}

TEST(ElfImage, TellsCoresOfProcessesAndOfXenAndProgramsApart) {
  // Notes of a process: program information, auxiliary vector, mapped files.
  for (const char* const type : {"03000000", "06000000", "454c4946"})
    EXPECT_THAT(read_sample(samples::kElf64, std::string("@b0:05000000 @b8:") + type + " @bc:434f5245").error,
                HasSubstr("the core of a process"));
  // Two segments without a physical address, and no note that says more.
  EXPECT_THAT(read_sample(samples::kElf64, "@40:01 @92:00").error, HasSubstr("the core of a process"));
  EXPECT_THAT(read_sample(samples::kElf64, "@10:02").error, HasSubstr("no core"));
  EXPECT_THAT(read_sample(samples::kElf64, "@78:06").error, HasSubstr("without memory"));
  // No segments; the second of two sections is called ".xen_pages", and the names are in the first.
  EXPECT_THAT(read_image(hex_sample("@0:7f454c46020101 @10:04003e0001 @28:40 @3a:4000 @3c:0200 @58:c0 @60:10 @80:01 "
                                    "@c1:2e78656e5f7061676573 len 208"))
                  .error,
              HasSubstr("Xen core"));
}

TEST(ElfImage, ASegmentThatGivesAPageAgainIsWarnedOf) {
  // Two segments over the same page: the first one's bytes count.
  const ImageRead read = read_image(hex_sample(
      "@0:7f454c46020101 @10:04003e0001 @20:40 @34:4000380002 @40:01 @49:10 @5a:10 @61:10 @69:10 @78:01 @81:20 @92:10 "
      "@99:10 @a1:10 @1000:[4096x41] @2000:[4096x42] len 12288"));
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.first_bytes(), "A");
  EXPECT_THAT(read.warnings(), HasSubstr("1 pages are in it twice"));
}

// --- LiME, AVML ---

TEST(LimeImage, HoldsItsRangesWithPartsOfPages) {
  const ImageRead read = read_sample(samples::kLime);
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.first_bytes(), "AB");
  EXPECT_EQ(read.pages[0][63], std::byte{0x41});
  EXPECT_EQ(read.pages[0][64], std::byte{0});
  EXPECT_THAT(read.warnings(), HasSubstr("of 2 pages the file holds a part only"));
}

TEST(LimeImage, ASecondHeaderThatIsWrongIsRefused) {
  EXPECT_THAT(read_sample(samples::kLime, "@60:00").error, HasSubstr("at 0x60 the header of a range should stand"));
  EXPECT_THAT(read_sample(samples::kLime, "@60:41564d4c02").error, HasSubstr("header of a range"));  // AVML's.
  EXPECT_THAT(read_sample(samples::kLime, "@72:00").error, HasSubstr("ends before it begins"));
  EXPECT_THAT(read_sample(samples::kLime, "@70:[8xff] @68:[8x00]").error, HasSubstr("ends before it begins"));
  EXPECT_THAT(read_sample(samples::kLime, "@4:02").error, HasSubstr("LiME of another version"));
}

TEST(AvmlImage, UnpacksItsStreams) {
  const ImageRead read = read_sample(samples::kAvml);
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.first_bytes(), "A");
  EXPECT_EQ(read.pages[0][63], std::byte{0x41});
}

// A plain chunk of 16 bytes, then one without a checksum (reference formats.md 3.5, 6).
TEST(AvmlImage, UnpacksPlainChunks) {
  const std::string plain = "01140000 6a9e5ab4 000102030405060708090a0b0c0d0e0f";
  std::string hex = "ff060000734e61507059";
  for (const char c : plain)
    if (c != ' ') hex += c;
  hex += "0310000041414141414141414141414141414141";
  const ImageRead read = read_image(hex_sample("@0:41564d4c02 @9:10 @10:1f10 @20:" + hex + " @56:36 len 94"));
  EXPECT_EQ(read.error, "");
  ASSERT_EQ(read.pages.size(), 1U);
  EXPECT_EQ(read.pages[0][15], std::byte{15});
  EXPECT_EQ(read.pages[0][16], std::byte{0x41});
}

TEST(AvmlImage, WhatIsDamagedIsRefused) {
  EXPECT_THAT(read_sample(samples::kAvml, "@2e:00").error, HasSubstr("does not match its checksum"));
  EXPECT_THAT(read_sample(samples::kAvml, "@38:19").error, HasSubstr("the length of the stream"));
  EXPECT_THAT(read_sample(samples::kAvml, "@20:00").error, HasSubstr("a snappy stream should begin"));
  EXPECT_THAT(read_sample(samples::kAvml, "@2a:05").error, HasSubstr("unknown type 5"));
  EXPECT_THAT(read_sample(samples::kAvml, "@10:1f").error, HasSubstr("holds more than its range"));
}

// --- Windows ---

TEST(WindowsDump, ACompleteOneHasItsRunsBackToBack) {
  EXPECT_EQ(read_sample(samples::kWindowsFull).first_bytes(), "ABC");
  EXPECT_EQ(read_sample(samples::kWindows32).first_bytes(), "A");
}

TEST(WindowsDump, ABitmapOneHasThePagesOfItsBits) {
  const ImageRead read = read_sample(samples::kWindowsBitmap);
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.first_bytes(), "AB");
  EXPECT_THAT(read.warnings(), HasSubstr("the kernel's pages"));
  EXPECT_EQ(read_sample(samples::kWindowsBitmap, "@2000:46").warnings(), "");  // FDMP: all of memory.
}

TEST(WindowsDump, OtherTypesAreNamed) {
  for (const auto& [type, name] : std::vector<std::pair<std::string, std::string>>{{"02", "kernel summary"},
                                                                                   {"04", "small dump"},
                                                                                   {"06", "live dump"},
                                                                                   {"08", ".dump /k"},
                                                                                   {"0a", ".dump /f"},
                                                                                   {"63", "type 99"}}) {
    const ImageRead read = read_sample(samples::kWindowsFull, "@f98:" + type);
    EXPECT_THAT(read.error, HasSubstr(name));
    EXPECT_THAT(read.error, HasSubstr("Complete memory dump"));
  }
}

TEST(WindowsDump, CountsThatCannotBeAreRefused) {
  EXPECT_THAT(read_sample(samples::kWindowsFull, "@88:50414745").error, HasSubstr("runs of memory"));  // "PAGE".
  EXPECT_THAT(read_sample(samples::kWindowsFull, "@88:ffffffff").error, HasSubstr("runs of memory"));
  EXPECT_THAT(read_sample(samples::kWindowsFull, "@a0:[8xff]").error, HasSubstr("no possible place"));
  EXPECT_THAT(read_sample(samples::kWindowsFull, "@90:04").error, HasSubstr("its header says 4 pages"));
  EXPECT_THAT(read_sample(samples::kWindowsBitmap, "@2028:03").error, HasSubstr("its bitmap has 2"));
  EXPECT_THAT(read_sample(samples::kWindowsBitmap, "@2030:[8xff]").error, HasSubstr("bitmap"));
  EXPECT_THAT(read_sample(samples::kWindowsBitmap, "@2000:41").error, HasSubstr("no bitmap"));
}

// --- kdump ---

TEST(KdumpImage, PagesThatWereLeftOutAreAbsent) {
  const ImageRead read = read_sample(samples::kKdump);
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.first_bytes(), "A0");
  EXPECT_EQ(read.facts.at(0).absent, 1_pages);
  EXPECT_THAT(read.warnings(), HasSubstr("1 pages were left out of the dump: zero pages"));
}

TEST(KdumpImage, UnpacksPagesInAllCodecs) {
  std::string lzo = "02414141414120";
  for (int i = 0; i < 15; ++i) lzo += "00";
  lzo += "da10000c";
  for (int i = 0; i < 15; ++i) lzo += "41";
  lzo += "110000";
  std::string snappy = "80200041";
  for (int i = 0; i < 63; ++i) snappy += "fe0100";
  snappy += "fa0100";
  const std::string zstd = "28b52ffd60000f4d00001041410100fbf70116";
  // Zero page: moved behind what is longer than the sample's.
  const std::string second = " @4018:0050 len 24576";
  for (const auto& [flags, hex] :
       std::vector<std::pair<std::string, std::string>>{{"02", lzo}, {"04", snappy}, {"20", zstd}}) {
    SCOPED_TRACE(flags);
    const auto file = hex_sample("@4008:" +
                                     std::string(hex.size() / 2 == 196  ? "c4"
                                                 : hex.size() / 2 == 44 ? "2c"
                                                                        : "13") +
                                     " @400c:" + flags + " @4030:" + hex + second,
                                 cut(hex_sample(samples::kKdump), 0x4030));
    const ImageRead read = read_image(file);
    EXPECT_EQ(read.error, "");
    EXPECT_EQ(read.first_bytes(), "A0");
    EXPECT_TRUE(std::ranges::all_of(read.pages.at(0), [](std::byte b) { return b == std::byte{0x41}; }));
  }
}

TEST(KdumpImage, APageThatIsNotWholeIsRefused) {
  EXPECT_THAT(read_sample(samples::kKdump, "@4034:00").error, HasSubstr("what is packed at 0x4030 is no page"));
  EXPECT_THAT(read_sample(samples::kKdump, "@4020:ff0f").error, HasSubstr("page 0x2 has 4095 bytes"));
  EXPECT_THAT(read_sample(samples::kKdump, "@400c:08").error, HasSubstr("packed in an unknown way (0x8)"));
  EXPECT_THAT(read_sample(samples::kKdump, "@4008:ffffffff").error, HasSubstr("4294967295 bytes"));
}

TEST(KdumpImage, LostPagesAndThoseBehindTheEndAreAbsent) {
  const ImageRead lost = read_sample(samples::kKdump, "@4000:0000 @1a8:08");
  EXPECT_EQ(lost.first_bytes(), "0");
  EXPECT_EQ(lost.facts.at(0).absent, 2_pages);
  EXPECT_THAT(lost.warnings(), HasSubstr("1 pages were lost"));
  EXPECT_THAT(lost.warnings(), HasSubstr("ran out of space"));
  const ImageRead cut_off = read_sample(samples::kKdump, "@4018:0060");
  EXPECT_EQ(cut_off.first_bytes(), "A");
  EXPECT_THAT(cut_off.warnings(), HasSubstr("the file is cut: 1 pages"));
}

// What makedumpfile --split writes has the bitmaps of the whole, and descriptors of its own pages.
TEST(KdumpImage, OneOfASetHoldsItsOwnPages) {
  const ImageRead read = read_sample(samples::kKdump, "@100c:01 @1050:02 @1058:03 @4000:4c40 @4008:0010 @400c:00");
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.first_bytes(), "0");
  EXPECT_EQ(read.facts.at(0).absent, 0_pages);
  EXPECT_THAT(read.warnings(), HasSubstr("one file of a set"));
}

TEST(KdumpImage, HeadersOf32BitsAndOfOtherByteOrderAreFound) {
  // As the sample, one raw page 2 of 'B': the fields of 32 bits; then of 64 bits, highest byte first.
  const ImageRead narrow = read_image(hex_sample(
      "@0:4449534b44554d5003 @1a1:10000001 @1a8:02 @1ac:10 @2000:07 @3000:04 @4000:3040 @4009:10 @4030:[4096x42]"));
  EXPECT_EQ(narrow.error, "");
  EXPECT_EQ(narrow.first_bytes(), "B");
  const ImageRead big = read_image(hex_sample(
      "@0:4b44554d5020202000000003 @1ac:00001000 @1b0:00000001 @1b4:00000002 @1b8:00000010 @2000:07 @3000:04 "
      "@4006:4030 @400a:1000 @4030:[4096x42]"));
  EXPECT_EQ(big.error, "");
  EXPECT_EQ(big.first_bytes(), "B");
}

// A block of 64 KiB, as arm64 has them, is sixteen pages.
TEST(KdumpImage, LargeBlocksAreSeveralPages) {
  auto file = hex_sample(
      "@0:4b44554d5020202006 @1ae:01 @1b0:01 @1b4:02 @1b8:10 @20000:02 @30000:02 @40000:30000400 @4000a:01 "
      "@40030:[65536x43] @40030:[4096x41]");
  const ImageRead read = read_image(std::move(file));
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.first_bytes(), "A" + std::string(15, 'C'));
}

TEST(KdumpImage, SizesThatCannotBeAreRefused) {
  EXPECT_THAT(read_sample(samples::kKdump, "@1ac:01").error, HasSubstr("no possible sizes"));
  EXPECT_THAT(read_sample(samples::kKdump, "@1060:[8xff]").error, HasSubstr("no room for all"));
  // 2^34 + 1 pages of 256 KiB: more than can be addressed.
  EXPECT_THAT(read_sample(samples::kKdump, "@1ac:00000400 @1b4:00200000 @40060:0100000004 len 270336").error,
              HasSubstr("no room for all"));
  EXPECT_THAT(read_sample(samples::kKdump, "@1b4:[4xff]").error, HasSubstr("bitmap"));
}

TEST(Flattened, IsReadInAnyOrder) {
  const ImageRead read = read_image(samples::flat());
  EXPECT_EQ(read.error, "");
  EXPECT_EQ(read.first_bytes(), "A0");
  EXPECT_EQ(read.facts.at(0).absent, 1_pages);
}

TEST(Flattened, TheLaterRecordCounts) {
  auto file = samples::flat();
  file.resize(file.size() - 16);
  put_bytes(file, file.size(), sample_bytes("000000000000404c00000000000000015a"));  // A byte of the raw page.
  put_bytes(file, file.size(), sample_bytes("[16xff]"));
  EXPECT_EQ(read_image(file).first_bytes(), "AZ");
}

TEST(Flattened, WithoutItsEndOrWithDamageItIsRefused) {
  const auto file = samples::flat();
  EXPECT_THAT(read_image(cut(file, file.size() - 16)).error, HasSubstr("the mark of its end is not all in it"));
  EXPECT_THAT(read_image(cut(file, file.size() - 40)).error, HasSubstr("cut"));
  EXPECT_THAT(read_image(hex_sample("@1000:ff", file)).error, HasSubstr("no possible place"));
  EXPECT_THAT(read_image(hex_sample("@1008:ff", file)).error, HasSubstr("no possible place"));
  EXPECT_THAT(read_image(hex_sample("@1f:02", file)).error, HasSubstr("unknown type or version"));
}

TEST(Dumps, EachCutIsTold) {
  for (const std::string& sample : {samples::kElf64, samples::kElf32, samples::kKdump, samples::kLime, samples::kAvml,
                                    samples::kWindowsFull, samples::kWindowsBitmap, samples::kWindows32}) {
    SCOPED_TRACE(sample.substr(0, 20));
    expect_each_cut_is_told(hex_sample(sample));
  }
  expect_each_cut_is_told(samples::flat());
}

}  // namespace
}  // namespace pagoda::sim
