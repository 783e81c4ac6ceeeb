// Images as users have them: in archives, compressed, several with one name, too large.
#include "pagoda/sim/image/image_files.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/sim/testing/hex_sample.h"
#include "pagoda/sim/testing/image_directory.h"
#include "pagoda/sim/testing/read_image.h"
#include "pagoda/sim/testing/vpm_file.h"

namespace pagoda::sim {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Bytes = std::vector<std::byte>;

Bytes page_of(char letter) { return Bytes(kPageBytes, static_cast<std::byte>(letter)); }

std::vector<std::string> names_of(const ImageRead& read) {
  std::vector<std::string> names;
  for (const PageMap::Image& image : read.map.images()) names.push_back(image.name);
  return names;
}

Bytes text_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// What libarchive writes: an archive of the members, or one compressed stream.
struct Written {
  int (*format)(archive*);
  int (*filter)(archive*);
};
Bytes written(const Written& as, const std::vector<TarMember>& members) {
  Bytes file(1 << 20);
  std::size_t used = 0;
  const std::unique_ptr<archive, int (*)(archive*)> writer(archive_write_new(), archive_write_free);
  as.filter(writer.get());
  as.format(writer.get());
  EXPECT_EQ(archive_write_open_memory(writer.get(), file.data(), file.size(), &used), ARCHIVE_OK);
  for (const TarMember& member : members) {
    const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(), archive_entry_free);
    archive_entry_set_pathname(entry.get(), member.name.c_str());
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(member.bytes.size()));
    EXPECT_EQ(archive_write_header(writer.get(), entry.get()), ARCHIVE_OK);
    archive_write_data(writer.get(), member.bytes.data(), member.bytes.size());
  }
  EXPECT_EQ(archive_write_close(writer.get()), ARCHIVE_OK);
  file.resize(used);
  return file;
}

TEST(ImageFiles, ArchivesAndCompressionAroundAnyFormatAreOpened) {
  const Bytes a = page_of('a');
  const Bytes elf = hex_sample(samples::kElf64);
  const std::vector<TarMember> members{{"one/a.mem", a}, {"two/dump.elf", elf}};
  for (const auto& format :
       {archive_write_set_format_ustar, archive_write_set_format_pax, archive_write_set_format_gnutar,
        archive_write_set_format_v7tar, archive_write_set_format_zip}) {
    for (const auto& filter :
         {archive_write_add_filter_none, archive_write_add_filter_gzip, archive_write_add_filter_xz,
          archive_write_add_filter_bzip2, archive_write_add_filter_lz4, archive_write_add_filter_zstd}) {
      const ImageRead read = read_image(written({format, filter}, members));
      EXPECT_EQ(read.error, "");
      EXPECT_THAT(names_of(read), ElementsAre("one/a.mem", "two/dump.elf"));
      EXPECT_EQ(read.first_bytes(), "aA");
    }
  }
  for (const auto& filter : {archive_write_add_filter_gzip, archive_write_add_filter_xz, archive_write_add_filter_bzip2,
                             archive_write_add_filter_lz4, archive_write_add_filter_zstd}) {
    EXPECT_EQ(read_image(written({archive_write_set_format_raw, filter}, {{"f", a}})).first_bytes(), "a");
    EXPECT_EQ(read_image(written({archive_write_set_format_raw, filter}, {{"f", elf}})).first_bytes(), "A");
    // A compressed file in an archive, and a compressed archive around that.
    const Bytes packed = written({archive_write_set_format_raw, filter}, {{"f", elf}});
    EXPECT_EQ(read_image(tar_of({{"x.elf.gz", packed}})).first_bytes(), "A");
    EXPECT_EQ(read_image(written({archive_write_set_format_pax, filter}, {{"x.elf.gz", packed}})).first_bytes(), "A");
  }
}

TEST(ImageFiles, PartsOfAStreamFollowOneAnother) {
  for (const auto& filter : {archive_write_add_filter_gzip, archive_write_add_filter_xz, archive_write_add_filter_bzip2,
                             archive_write_add_filter_lz4, archive_write_add_filter_zstd}) {
    Bytes both = written({archive_write_set_format_raw, filter}, {{"f", page_of('a')}});
    const Bytes second = written({archive_write_set_format_raw, filter}, {{"f", page_of('b')}});
    both.insert(both.end(), second.begin(), second.end());
    EXPECT_EQ(read_image(both).first_bytes(), "ab");
  }
}

// "skip" in a frame without data, then "abc" (reference formats.md 6).
TEST(ImageFiles, ASkippableFrameMayComeFirst) {
  const Bytes frame = sample_bytes("502a4d1804000000736b6970");
  for (const auto& filter : {archive_write_add_filter_zstd, archive_write_add_filter_lz4}) {
    Bytes file = frame;
    const Bytes rest = written({archive_write_set_format_raw, filter}, {{"f", page_of('a')}});
    file.insert(file.end(), rest.begin(), rest.end());
    EXPECT_EQ(read_image(file).first_bytes(), "a");
  }
}

// What LiME's compress=1 writes.
TEST(ImageFiles, AZlibStreamIsOpened) {
  const Bytes lime = hex_sample(samples::kLime);
  Bytes packed(compressBound(lime.size()));
  uLongf size = packed.size();
  ASSERT_EQ(compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(lime.data()),
                     lime.size()),
            Z_OK);
  packed.resize(size);
  EXPECT_EQ(read_image(packed).first_bytes(), "AB");
  packed.pop_back();
  EXPECT_THAT(read_image(packed).error, HasSubstr("compressed, and cut"));
  // Memory that begins with the two bytes and goes on as no stream does.
  EXPECT_EQ(read_image(hex_sample("@0:789cff len 4096")).facts.at(0).format, "raw memory");
}

TEST(ImageFiles, CompressedMoreOftenThanIsSaneIsRefused) {
  Bytes file = page_of('a');
  for (int i = 0; i < 12; ++i) file = in_zstd_frame(file);
  EXPECT_THAT(read_image(file).error, HasSubstr("compressed more than"));
  Bytes archive = page_of('a');
  for (int i = 0; i < 6; ++i) archive = tar_of({{"x", archive}});
  EXPECT_THAT(read_image(archive).error, HasSubstr("archives in archives"));
}

// --- sparse members: four kinds (reference formats.md 4), each of 'a' at 1 MiB and 'b' at 3 MiB of 4 MiB ---

constexpr std::size_t kMiB = 1 << 20;

void expect_sparse_image(const Bytes& archive) {
  const ImageRead read = read_image(archive);
  ASSERT_EQ(read.error, "");
  ASSERT_EQ(read.pages.size(), 1024U);
  const std::string letters = read.first_bytes();
  EXPECT_EQ(letters.find('a'), kMiB / kPageBytes);
  EXPECT_EQ(letters.find('b'), 3 * kMiB / kPageBytes);
  EXPECT_EQ(std::ranges::count(letters, '0'), 1022);
}

// A member of a tar archive whose header has what `changes` writes into it.
Bytes tar_member(const TarMember& member, const std::string& changes) {
  Bytes archive = tar_of({member});
  archive.resize(archive.size() - 2 * 512);
  archive = hex_sample(changes, std::move(archive));
  std::ranges::fill(std::span(archive).subspan(148, 8), std::byte{' '});
  unsigned sum = 0;
  for (const std::byte b : std::span(archive).first(512)) sum += std::to_integer<unsigned>(b);
  put_bytes(archive, 148, text_bytes(fmt::format("{:06o}", sum)));
  archive[154] = std::byte{0};
  return archive;
}

Bytes joined(const std::vector<Bytes>& parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  all.resize(all.size() + 2 * 512);
  return all;
}

std::string hex_of(std::string_view text) {
  std::string hex;
  for (const char c : text) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

std::string pax_records(const std::vector<std::pair<std::string, std::string>>& keys) {
  std::string records;
  for (const auto& [key, value] : keys) {
    const std::string rest = " " + key + "=" + value + "\n";
    std::size_t length = rest.size() + 1;
    while (std::to_string(length).size() + rest.size() != length) ++length;
    records += std::to_string(length) + rest;
  }
  return records;
}

Bytes stored_pages() {
  Bytes stored = page_of('a');
  const Bytes b = page_of('b');
  stored.insert(stored.end(), b.begin(), b.end());
  return stored;
}

TEST(ImageFiles, OldGnuSparseMembersAreWhole) {
  const Bytes stored = stored_pages();
  const auto number = [](std::size_t value) { return hex_of(fmt::format("{:011o}", value)); };
  const std::string changes = "@101:" + hex_of("ustar  ") + " @182:" + number(kMiB) + " @18e:" + number(kPageBytes) +
                              " @19a:" + number(3 * kMiB) + " @1a6:" + number(kPageBytes) +
                              " @1b2:" + number(4 * kMiB) + " @1be:" + number(0) + " @1e3:" + number(4 * kMiB);
  expect_sparse_image(joined({tar_member({"x.mem", stored, 'S'}, changes)}));
}

TEST(ImageFiles, SparseMembersOfAllPaxKindsAreWhole) {
  const Bytes stored = stored_pages();
  const std::string size = std::to_string(4 * kMiB);
  const std::string first = std::to_string(kMiB), second = std::to_string(3 * kMiB), bytes = std::to_string(kPageBytes);
  const std::string v00 = pax_records({{"GNU.sparse.size", size},
                                       {"GNU.sparse.numblocks", "3"},
                                       {"GNU.sparse.offset", first},
                                       {"GNU.sparse.numbytes", bytes},
                                       {"GNU.sparse.offset", second},
                                       {"GNU.sparse.numbytes", bytes},
                                       {"GNU.sparse.offset", size},
                                       {"GNU.sparse.numbytes", "0"}});
  const std::string map = first + "," + bytes + "," + second + "," + bytes + "," + size + ",0";
  const std::string v01 = pax_records({{"GNU.sparse.size", size},
                                       {"GNU.sparse.numblocks", "3"},
                                       {"GNU.sparse.name", "x.mem"},
                                       {"GNU.sparse.map", map}});
  for (const std::string& records : {v00, v01})
    expect_sparse_image(
        joined({tar_member({"PaxHeaders/x", text_bytes(records), 'x'}, ""), tar_member({"x.mem", stored}, "")}));
  const std::string v10 = pax_records({{"GNU.sparse.major", "1"},
                                       {"GNU.sparse.minor", "0"},
                                       {"GNU.sparse.name", "x.mem"},
                                       {"GNU.sparse.realsize", size}});
  Bytes with_map = text_bytes("3\n" + first + "\n" + bytes + "\n" + second + "\n" + bytes + "\n" + size + "\n0\n");
  with_map.resize(512);
  with_map.insert(with_map.end(), stored.begin(), stored.end());
  expect_sparse_image(
      joined({tar_member({"PaxHeaders/x", text_bytes(v10), 'x'}, ""), tar_member({"GNUSparseFile/x", with_map}, "")}));
}

TEST(ImageFiles, PaxKeysOverrideTheHeader) {
  const std::string name(160, 'p');
  const std::string records = pax_records({{"mtime", "1.5"}, {"path", name}, {"size", "4096"}});
  Bytes member = tar_member({"short", page_of('a')}, "@7c:" + hex_of("00000000000"));
  const ImageRead read = read_image(joined({tar_member({"PaxHeaders/x", text_bytes(records), 'x'}, ""), member}));
  EXPECT_EQ(read.error, "");
  EXPECT_THAT(names_of(read), ElementsAre(name));
  EXPECT_EQ(read.first_bytes(), "a");
}

TEST(ImageFiles, SparseKindsThatAreNotKnownAreRefused) {
  const std::string records = pax_records({{"GNU.sparse.major", "2"}, {"GNU.sparse.minor", "0"}});
  EXPECT_NE(read_image(joined({tar_member({"PaxHeaders/x", text_bytes(records), 'x'}, ""),
                               tar_member({"x.mem", page_of('a')}, "")}))
                .error,
            "");
}

TEST(ImageFiles, MembersAreReadNamedOrRefusedByTheirType) {
  const Bytes a = page_of('a');
  const std::string gnu(150, 'g');
  const ImageRead read = read_image(tar_of({{"folder/", {}, '5'},
                                            {"././@LongLink", text_bytes(gnu + '\0'), 'L'},
                                            {"short", a},
                                            {"seven.mem", a, '7'},
                                            {"pointer", {}, '2'}}));
  EXPECT_EQ(read.error, "");
  EXPECT_THAT(names_of(read), ElementsAre(gnu, "seven.mem"));
  EXPECT_THAT(read.passed_over, ElementsAre(HasSubstr("\"pointer\" is a link or a device")));
  EXPECT_THAT(read_image(tar_of({{"x.mem", a, 'M'}})).error, HasSubstr("another volume"));
  EXPECT_THAT(read_image(tar_of({{"x.mem", a, 'Z'}})).error, HasSubstr("a type that Pagoda does not know (0x5a)"));
  EXPECT_THAT(read_image(tar_of({{"a.mem", a}, {"x.mem", a, 'Z'}})).error, HasSubstr("does not know"));
  EXPECT_THAT(read_image(tar_of({{"readme", text_bytes("x")}})).error, HasSubstr("f: readme: not a memory image"));
  EXPECT_THAT(read_image(tar_of({{"m.vpm", VpmParts().file()}})).error, HasSubstr("give it by itself"));
}

TEST(ImageFiles, AnEncryptedMemberIsRefused) {
  Bytes archive = written({archive_write_set_format_zip, archive_write_add_filter_none}, {{"x.mem", page_of('a')}});
  archive[6] |= std::byte{1};  // The flags of its header.
  EXPECT_THAT(read_image(archive).error, HasSubstr("f: \"x.mem\" is encrypted; "));
}

TEST(ImageFiles, AHardLinkIsTheSameImageAgain) {
  const Bytes a = page_of('a');
  Bytes link = tar_member({"y.mem", {}, '1'}, "@9d:" + hex_of("x.mem"));
  const ImageRead read = read_image(joined({tar_member({"x.mem", a}, ""), link}));
  EXPECT_EQ(read.error, "");
  EXPECT_THAT(names_of(read), ElementsAre("x.mem", "y.mem"));
  EXPECT_EQ(read.first_bytes(), "aa");
  EXPECT_THAT(read.warnings(), HasSubstr("a hard link"));
  EXPECT_THAT(read_image(joined({link})).error, HasSubstr("name that one"));
}

// --- names and sizes ---

TEST(ImageFiles, EqualNamesInDifferentFoldersAreToldApart) {
  const ImageDirectory directory;
  for (const char* const folder : {"vm1", "vm2"}) {
    std::filesystem::create_directory(directory.file(folder));
    directory.write(std::string(folder) + "/guest.mem", page_of('a'));
    directory.write(std::string(folder) + "/two.tar", tar_of({{"d/guest.mem", page_of('b')}}));
  }
  directory.write("other.mem", page_of('c'));
  ImageReader reader;
  for (const char* const name : {"vm1/guest.mem", "vm2/guest.mem", "vm1/two.tar", "vm2/two.tar", "other.mem"}) {
    auto file = ImageFile::open(directory.file(name));
    ASSERT_TRUE(file) << file.error().message;
    const auto read = reader.read(*file, [](const std::string&) { return true; });
    ASSERT_TRUE(read) << read.error().message;
  }
  auto again = ImageFile::open(directory.file("vm1/../vm1/guest.mem"));
  ASSERT_TRUE(again);
  const auto twice = reader.read(*again, [](const std::string&) { return true; });
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message, HasSubstr("there is an image \"guest.mem\" already"));
  std::vector<std::string> names;
  const PageMap map = reader.take_map();
  for (const PageMap::Image& image : map.images()) names.push_back(image.name);
  EXPECT_THAT(names, ElementsAre("vm1/guest.mem", "vm2/guest.mem", "vm1/two.tar/d/guest.mem", "vm2/two.tar/d/guest.mem",
                                 "other.mem"));
}

// Nothing of it is read: it has no bytes on the disk, and reading 64 GiB of zeros would take minutes.
TEST(ImageFiles, WhatIsTooLargeIsRefusedBeforeItIsRead) {
  const ImageDirectory directory;
  const auto limit = bytes_of(PageCount(PageMap::kPagesMost)).value();
  directory.write("huge.mem", {});
  ASSERT_EQ(truncate(directory.file("huge.mem").c_str(), static_cast<off_t>(limit + kPageBytes)), 0);
  EXPECT_THAT(read_image(ImageFile::open(directory.file("huge.mem"))).error,
              HasSubstr("no more than 16777216 (64 GiB)"));
  // A dump whose headers name as much: a kernel's LiME, and segments of an ELF core.
  directory.write("huge.lime", hex_sample("@0:454d694c01 @10:ffffffff1f000000 len 32"));
  ASSERT_EQ(truncate(directory.file("huge.lime").c_str(), static_cast<off_t>(2 * limit + 32)), 0);
  EXPECT_THAT(read_image(ImageFile::open(directory.file("huge.lime"))).error, HasSubstr("64 GiB"));
  Bytes elf = hex_sample("@9c:20 @99:00 @a4:20 @a1:00", hex_sample(samples::kElf64));
  directory.write("huge.elf", elf);
  ASSERT_EQ(truncate(directory.file("huge.elf").c_str(), static_cast<off_t>(3 * limit)), 0);
  EXPECT_THAT(read_image(ImageFile::open(directory.file("huge.elf"))).error, HasSubstr("64 GiB"));
}

TEST(ImageFiles, WhatComesOutOfAnArchiveNeedsRoomForTemporaryFiles) {
  const ImageDirectory directory;
  const char* const before = getenv("TMPDIR");
  const std::string kept = before == nullptr ? "" : before;
  setenv("TMPDIR", directory.file("missing").c_str(), 1);
  const std::string error = read_image(tar_of({{"x.elf", hex_sample(samples::kElf64)}})).error;
  before == nullptr ? unsetenv("TMPDIR") : setenv("TMPDIR", kept.c_str(), 1);
  EXPECT_THAT(error, HasSubstr("set TMPDIR"));
}

}  // namespace
}  // namespace pagoda::sim
