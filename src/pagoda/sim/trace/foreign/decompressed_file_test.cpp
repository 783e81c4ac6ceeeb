#include "pagoda/sim/trace/foreign/decompressed_file.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "pagoda/base/random.h"

namespace pagoda::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// `text` as `filter` of libarchive's compresses it ("gzip").
std::vector<char> compressed(const std::string& text, const std::string& filter) {
  const std::unique_ptr<archive, int (*)(archive*)> writer(archive_write_new(), archive_write_free);
  EXPECT_EQ(archive_write_add_filter_by_name(writer.get(), filter.c_str()), ARCHIVE_OK) << filter;
  archive_write_set_format_raw(writer.get());
  archive_write_set_bytes_in_last_block(writer.get(), 1);
  std::vector<char> bytes(text.size() * 2 + 4096);
  std::size_t used = 0;
  archive_write_open_memory(writer.get(), bytes.data(), bytes.size(), &used);
  const std::unique_ptr<archive_entry, void (*)(archive_entry*)> entry(archive_entry_new(), archive_entry_free);
  archive_entry_set_filetype(entry.get(), AE_IFREG);
  archive_write_header(writer.get(), entry.get());
  archive_write_data(writer.get(), text.data(), text.size());
  EXPECT_EQ(archive_write_close(writer.get()), ARCHIVE_OK);
  bytes.resize(used);
  return bytes;
}

// All that is read, or the message.
std::string read_all(Input<DecompressedFile> file, std::size_t step) {
  if (!file) return file.error().message;
  std::string text;
  std::vector<char> buffer(step);
  for (;;) {
    const auto count = file->read(buffer);
    if (!count) return count.error().message;
    if (*count == 0) return text;
    text.append(buffer.data(), *count);
  }
}

std::string random_text(std::size_t bytes) {
  Random random(1);
  std::string text;
  while (text.size() < bytes) text += std::to_string(random.next()) + "\n";
  text.resize(bytes);
  return text;
}

class DecompressedFileFilters : public testing::TestWithParam<const char*> {};

TEST_P(DecompressedFileFilters, AreReadAsWhatTheyHold) {
  for (const std::size_t bytes :
       {std::size_t{1}, std::size_t{64 << 10}, std::size_t{(64 << 10) + 1}, std::size_t{300'000}}) {
    const std::string text = random_text(bytes);
    const std::vector<char> file = compressed(text, GetParam());
    EXPECT_EQ(read_all(DecompressedFile::from_bytes("f", file), 5000), text);
    // One behind the other is one file.
    std::vector<char> twice = file;
    twice.insert(twice.end(), file.begin(), file.end());
    EXPECT_EQ(read_all(DecompressedFile::from_bytes("f", twice), 5000), text + text);
  }
}

TEST_P(DecompressedFileFilters, AreRefusedInOneLineWhenTheyAreCut) {
  std::vector<char> file = compressed(random_text(300'000), GetParam());
  file.resize(file.size() / 2);
  EXPECT_THAT(read_all(DecompressedFile::from_bytes("f", file), 5000),
              AllOf(StartsWith("f: cannot be read: "), HasSubstr("; "), Not(HasSubstr("\n"))));
}

INSTANTIATE_TEST_SUITE_P(DecompressedFile, DecompressedFileFilters,
                         testing::Values("gzip", "xz", "zstd", "bzip2", "lz4"),
                         [](const auto& param_info) { return std::string(param_info.param); });

TEST(DecompressedFile, TextIsReadAsItIs) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{64 << 10}, std::size_t{300'000}}) {
    const std::string text = random_text(bytes);
    EXPECT_EQ(read_all(DecompressedFile::from_bytes("f", {text.begin(), text.end()}), 4096), text);
  }
  // An archive is not looked into.
  const std::string zip = "PK\x03\x04 and so on";
  EXPECT_EQ(read_all(DecompressedFile::from_bytes("f", {zip.begin(), zip.end()}), 4096), zip);
}

TEST(DecompressedFile, LayersAreAllPeeled) {
  const std::string text = random_text(1000);
  const std::vector<char> inner = compressed(text, "gzip");
  EXPECT_EQ(read_all(DecompressedFile::from_bytes("f", compressed({inner.begin(), inner.end()}, "xz")), 100), text);
}

TEST(DecompressedFile, LooksAtTheFrontWithoutTakingIt) {
  const std::string text = random_text(100'000);
  auto file = DecompressedFile::from_bytes("f", compressed(text, "zstd"));
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(file->front(), text.substr(0, 64 << 10));
  EXPECT_FALSE(file->front_is_all());
  EXPECT_EQ(read_all(std::move(file), 1000), text);
  EXPECT_TRUE(DecompressedFile::from_bytes("f", {'a'})->front_is_all());
  EXPECT_TRUE(DecompressedFile::from_bytes("f", {})->front_is_all());
}

TEST(DecompressedFile, OpensFiles) {
  const std::string path =
      (std::filesystem::temp_directory_path() / fmt::format("pagoda-decompressed-file-{}.gz", getpid())).string();
  const std::string text = random_text(100'000);
  const std::vector<char> file = compressed(text, "gzip");
  std::ofstream(path, std::ios::binary).write(file.data(), static_cast<std::streamsize>(file.size()));
  EXPECT_EQ(read_all(DecompressedFile::open(path), 1 << 16), text);
  std::filesystem::remove(path);
  EXPECT_THAT(read_all(DecompressedFile::open(path), 1), AllOf(HasSubstr(path), HasSubstr("No such file")));
  const std::string folder = std::filesystem::temp_directory_path().string();
  EXPECT_THAT(read_all(DecompressedFile::open(folder), 1), AllOf(HasSubstr(folder), HasSubstr("cannot be read")));
}

}  // namespace
}  // namespace pagoda::sim
