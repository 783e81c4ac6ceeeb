#include "pagoda/report/write_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

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

}  // namespace
}  // namespace pagoda::report
