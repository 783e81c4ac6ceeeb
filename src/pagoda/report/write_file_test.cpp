#include "pagoda/report/write_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "pagoda/base/testing/file_size_limit.h"

namespace pagoda::report {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

class WriteFile : public ::testing::Test {
 protected:
  WriteFile() { fs::create_directories(folder_); }
  ~WriteFile() override { fs::remove_all(folder_); }

  [[nodiscard]] std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  const fs::path folder_ = fs::path(::testing::TempDir()) / ("pagoda_write_file_test." + std::to_string(::getpid()));
};

TEST_F(WriteFile, CreatesAndReplacesAndLeavesNothingBeside) {
  const fs::path path = folder_ / "out.html";
  ASSERT_TRUE(write_file(path, "first, and longer"));
  EXPECT_EQ(read_file(path), "first, and longer");
  ASSERT_TRUE(write_file(path, "second"));
  EXPECT_EQ(read_file(path), "second");
  EXPECT_EQ(files(), 1U);
}

TEST_F(WriteFile, AMissingFolderIsOneLineThatNamesThePath) {
  const fs::path path = folder_ / "missing" / "out.html";
  for (const Input<>& outcome : {write_file(path, "x"), check_writable(path)}) {
    ASSERT_FALSE(outcome);
    EXPECT_THAT(outcome.error().message, StartsWith(path.string() + ": cannot write: "));
    EXPECT_EQ(outcome.error().message.find('\n'), std::string::npos);
  }
}

TEST_F(WriteFile, AFolderIsNotAFile) {
  EXPECT_FALSE(write_file(folder_, "x"));
  EXPECT_FALSE(check_writable(folder_));
  EXPECT_FALSE(write_file(folder_ / "", "x"));
  EXPECT_FALSE(check_writable(folder_ / ""));
  EXPECT_EQ(files(), 0U);
}

TEST_F(WriteFile, AFailureLeavesTheOldFile) {
  // A folder in the place of the temporary file makes creating it fail, for root as well.
  const fs::path path = folder_ / "out.html";
  ASSERT_TRUE(write_file(path, "old"));
  fs::create_directory(folder_ / (".out.html." + std::to_string(::getpid()) + ".tmp"));
  EXPECT_FALSE(write_file(path, "new"));
  EXPECT_EQ(read_file(path), "old");
}

TEST_F(WriteFile, FollowsASymbolicLink) {
  const fs::path target = folder_ / "target";
  const fs::path link = folder_ / "link";
  ASSERT_TRUE(write_file(target, "old"));
  fs::create_symlink("target", link);
  ASSERT_TRUE(write_file(link, "new"));
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(read_file(target), "new");
}

TEST_F(WriteFile, WritesDirectlyToWhatIsNoRegularFile) {
  EXPECT_TRUE(check_writable("/dev/null"));
  EXPECT_TRUE(write_file("/dev/null", "x"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  const Input<> full = write_file("/dev/full", "x");
  ASSERT_FALSE(full);
  EXPECT_THAT(full.error().message, HasSubstr("No space left"));
}

TEST_F(WriteFile, AskingWhetherItIsWritableChangesNothing) {
  EXPECT_TRUE(check_writable(folder_ / "out.html"));
  EXPECT_EQ(files(), 0U);
}

TEST_F(WriteFile, ADashIsStandardOutput) {
  EXPECT_TRUE(is_standard_output("-"));
  EXPECT_TRUE(is_standard_output("/dev/stdout"));
  EXPECT_FALSE(is_standard_output(folder_ / "-"));
  EXPECT_TRUE(check_writable("-"));
  ::testing::internal::CaptureStdout();
  std::printf("before ");
  EXPECT_TRUE(write_file("-", "content"));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "before content");
  EXPECT_EQ(files(), 0U);
}

TEST_F(WriteFile, NamesOfOneFileAreKnownAsSuch) {
  const fs::path one = folder_ / "one";
  std::ofstream(one) << "x";
  fs::create_symlink("one", folder_ / "link");
  fs::create_hard_link(one, folder_ / "hard");
  fs::create_directory_symlink(folder_, folder_ / "same");
  for (const char* other : {"one", "link", "hard", "same/one", "./one", "same/link"})
    EXPECT_TRUE(is_same_file(one, folder_ / other)) << other;
  EXPECT_FALSE(is_same_file(one, folder_ / "two"));
  // None of them is there yet.
  EXPECT_TRUE(is_same_file(folder_ / "new", folder_ / "same" / "new"));
  EXPECT_TRUE(is_same_file(folder_ / "a" / "new", folder_ / "a" / "b" / ".." / "new"));
  EXPECT_FALSE(is_same_file(folder_ / "new", folder_ / "other"));
  EXPECT_TRUE(is_same_file("-", "/dev/stdout"));
  EXPECT_FALSE(is_same_file("-", one));
}

TEST_F(WriteFile, SeveralFilesAreThereTogetherOrNotAtAll) {
  const fs::path one = folder_ / "one";
  ASSERT_TRUE(write_file(one, "old"));
  const NamedContent first{one, "new"};
  for (const fs::path& bad : {folder_ / "missing" / "two", fs::path("/dev/full")}) {
    for (const auto& order : {std::vector{first, NamedContent{bad, "x"}}, std::vector{NamedContent{bad, "x"}, first}}) {
      const Input<> written = write_files(order);
      ASSERT_FALSE(written);
      EXPECT_THAT(written.error().message, StartsWith(bad.string() + ": cannot write: "));
      EXPECT_EQ(read_file(one), "old");
      EXPECT_EQ(files(), 1U);
    }
  }
  ASSERT_TRUE(write_files(std::vector{first, NamedContent{folder_ / "two", "too"}}));
  EXPECT_EQ(read_file(one), "new");
  EXPECT_EQ(read_file(folder_ / "two"), "too");
  EXPECT_EQ(files(), 2U);
}

// The file system gets full in the middle of it.
TEST_F(WriteFile, AFileThatDoesNotFitIsNotThereAtAll) {
  const fs::path path = folder_ / "out.json";
  ASSERT_TRUE(write_file(path, "old"));
  const pagoda::testing::FileSizeLimit limit(4_KiB);
  const Input<> written = write_file(path, std::string(10'000, 'x'));
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("File too large"));
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(files(), 1U);
}

}  // namespace
}  // namespace pagoda::report
