// Disks over files of the host that keep their bytes and sizes.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/machine/sim/sim_disk.h"
#include "pagoda/machine/testing/disk_rig.h"

namespace pagoda::machine {
namespace {

using testing::host;
using testing::kStart;
using testing::Rig;
using testing::round_model;

// A directory of its own that goes with the test.
class HostFiles {
 public:
  HostFiles()
      : path_(std::filesystem::path(::testing::TempDir()) /
              ("pagoda-host-files-" + std::to_string(getpid()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name())) {
    std::filesystem::create_directories(path_);
  }
  HostFiles(const HostFiles&) = delete;
  HostFiles& operator=(const HostFiles&) = delete;
  ~HostFiles() { std::filesystem::remove_all(path_); }

  [[nodiscard]] std::filesystem::path operator/(const char* name) const { return path_ / name; }
  // A file of so many bytes, of which none is zero.
  [[nodiscard]] std::filesystem::path make(const char* name, std::size_t size) const {
    std::ofstream out(path_ / name, std::ios::binary);
    for (std::size_t i = 0; i < size; ++i) out.put(byte_at(i));
    return path_ / name;
  }
  static char byte_at(std::size_t at) { return static_cast<char>(1 + Random::mix(at) % 255); }
  static std::string bytes(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::filesystem::path path_;
};

char byte_of(Rig& s, Pfn frame, std::uint64_t offset) {
  return static_cast<char>(s.cpu.physical().load<std::uint8_t>(PhysicalAddress(frame) + ByteCount(offset)));
}

constexpr FileAccess kRead = FileAccess::kRead;
constexpr FileAccess kReadWrite = FileAccess::kReadWrite;
constexpr FileCreation kExisting = FileCreation::kOpenExisting;

TEST(SimDiskFiles, ReadingPastTheEndGivesZeros) {
  const HostFiles files;
  Rig s;
  const auto file = s.disk.open(files.make("odd", 10'000), kRead, kExisting);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size(), 10'000_B);
  EXPECT_EQ(&(*file)->disk(), &s.disk);
  const std::vector<Pfn> frames = {Pfn(7), Pfn(5), Pfn(9)};
  for (const std::uint64_t at : {0, 512, 1807}) {
    for (const Pfn frame : frames) s.fill(frame, 1);
    ASSERT_EQ((*file)->read(s.cpu, FileOffset(at), frames).status, Status::kSuccess);
    for (std::uint64_t i = 0; i < 3 * kPageBytes; ++i) {
      const char expected = at + i < 10'000 ? HostFiles::byte_at(at + i) : '\0';
      ASSERT_EQ(byte_of(s, frames[i / kPageBytes], i % kPageBytes), expected) << at << "+" << i;
    }
  }
  // Time and counts are those of whole pages.
  EXPECT_EQ(s.disk.counts().reads, 3U);
  EXPECT_EQ(s.disk.counts().bytes_read, kPageSize * 9);
}

TEST(SimDiskFiles, ShortTransfersGoOnInTheTailToo) {
  const HostFiles files;
  Rig s;
  const auto file = s.disk.open(files.make("odd", 10'000), kReadWrite, kExisting);
  ASSERT_TRUE(file);
  const std::vector<Pfn> frames = {Pfn(7), Pfn(5), Pfn(9)};
  host = {.bytes_per_call = 1000, .interrupts = true};
  ASSERT_EQ((*file)->read(s.cpu, kStart, frames).status, Status::kSuccess);
  ASSERT_EQ((*file)->write(s.cpu, kStart, frames).status, Status::kSuccess);
  host = {};
  for (std::uint64_t i = 0; i < 10'000; ++i)
    ASSERT_EQ(byte_of(s, frames[i / kPageBytes], i % kPageBytes), HostFiles::byte_at(i)) << i;
  EXPECT_EQ(std::filesystem::file_size(files / "odd"), 10'000U);
}

TEST(SimDiskFiles, WritingLeavesTheSize) {
  const HostFiles files;
  const auto path = files.make("odd", 5'000);
  Rig s;
  {
    const auto file = s.disk.open(path, kReadWrite, kExisting);
    ASSERT_TRUE(file);
    EXPECT_TRUE((*file)->writable());
    const std::vector<Pfn> frames = {Pfn(7), Pfn(5)};
    for (const Pfn frame : frames) s.fill(frame, frame.value());
    ASSERT_EQ((*file)->write(s.cpu, kStart, frames).status, Status::kSuccess);
    EXPECT_EQ((*file)->size(), 5'000_B);
    const std::string bytes = HostFiles::bytes(path);
    ASSERT_EQ(bytes.size(), 5'000U);
    for (std::size_t i = 0; i < bytes.size(); ++i)
      ASSERT_EQ(bytes[i], byte_of(s, frames[i / kPageBytes], i % kPageBytes)) << i;
    // Nothing of the frame's tail waits behind the end.
    ASSERT_TRUE((*file)->resize(kPageSize * 2));
    const std::string longer = HostFiles::bytes(path);
    ASSERT_EQ(longer.size(), 2 * kPageBytes);
    EXPECT_EQ(longer.find_first_not_of('\0', 5'000), std::string::npos);
  }
  EXPECT_EQ(std::filesystem::file_size(path), 2 * kPageBytes);  // It stays.
}

TEST(SimDiskFiles, ResizingChangesTheRealFile) {
  const HostFiles files;
  const auto path = files.make("file", 3'000);
  Rig s;
  const auto file = s.disk.open(path, kReadWrite, kExisting);
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->resize(1'000_B));
  EXPECT_EQ((*file)->size(), 1'000_B);
  EXPECT_EQ(std::filesystem::file_size(path), 1'000U);
  ASSERT_TRUE((*file)->resize(9'001_B));
  const std::string bytes = HostFiles::bytes(path);
  ASSERT_EQ(bytes.size(), 9'001U);
  EXPECT_EQ(bytes[999], HostFiles::byte_at(999));
  EXPECT_EQ(bytes.find_first_not_of('\0', 1'000), std::string::npos);
}

TEST(SimDiskFiles, AFileThatIsOnlyReadKeepsItsBytesAndSize) {
  const HostFiles files;
  const auto path = files.make("file", 5'000);
  const std::string before = HostFiles::bytes(path);
  Rig s;
  const auto file = s.disk.open(path, kRead, kExisting);
  ASSERT_TRUE(file);
  EXPECT_FALSE((*file)->writable());
  EXPECT_EQ((*file)->resize(0_B).error(), Status::kAccessDenied);
  EXPECT_EQ((*file)->resize(50'000_B).error(), Status::kAccessDenied);
  const std::vector<Pfn> one(1, Pfn(7));
  const DiskTransfer refused = (*file)->write(s.cpu, kStart, one);
  EXPECT_EQ(refused.status, Status::kAccessDenied);
  EXPECT_EQ(refused.completes, s.cpu.now());  // The disk was not asked.
  EXPECT_EQ(s.disk.counts().writes, 0U);
  EXPECT_EQ(s.disk.injection().operations(), 0U);
  EXPECT_EQ((*file)->size(), 5'000_B);
  EXPECT_EQ(HostFiles::bytes(path), before);
  EXPECT_EQ(s.disk.used(), 0_B);
}

TEST(SimDiskFiles, OnlyWhatAFileGrowsByTakesSpace) {
  const HostFiles files;
  Rig s;
  {
    const auto file = s.disk.open(files.make("file", 5'000), kReadWrite, kExisting);
    ASSERT_TRUE(file);
    EXPECT_EQ(s.disk.used(), 0_B);
    ASSERT_TRUE((*file)->resize(6'000_B));
    EXPECT_EQ(s.disk.used(), 1'000_B);
    ASSERT_TRUE((*file)->resize(100_B));
    EXPECT_EQ(s.disk.used(), 0_B);
    ASSERT_TRUE((*file)->resize(5'000_B));
    EXPECT_EQ(s.disk.used(), 0_B);
    EXPECT_EQ((*file)->resize(16_MiB + 5'001_B).error(), Status::kDiskFull);
    EXPECT_EQ((*file)->size(), 5'000_B);
    EXPECT_EQ(std::filesystem::file_size(files / "file"), 5'000U);
    ASSERT_TRUE((*file)->resize(16_MiB + 5'000_B));
    EXPECT_EQ(s.disk.used(), 16_MiB);
  }
  EXPECT_EQ(s.disk.used(), 0_B);
}

TEST(SimDiskFiles, WhatTheHostRefusesTakesNoSpace) {
  const HostFiles files;
  DiskModel model = round_model();
  model.capacity = ByteCount(~std::uint64_t{0});
  Rig s(model);
  const auto file = s.disk.open(files.make("file", 5'000), kReadWrite, kExisting);
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->resize(ByteCount(std::uint64_t{1} << 63)).error(), Status::kDiskFull);
  EXPECT_EQ((*file)->size(), 5'000_B);
  EXPECT_EQ(s.disk.used(), 0_B);
}

TEST(SimDiskFiles, TimesAndErrorsAreAsForPagingFiles) {
  const HostFiles files;
  Rig s;
  const auto file = s.disk.open(files.make("file", 100), kReadWrite, kExisting);
  ASSERT_TRUE(file);
  const std::vector<Pfn> one(1, Pfn(9));
  s.disk.injection().fail_operation = 2;
  const DiskTransfer first = (*file)->read(s.cpu, kStart, one);
  EXPECT_EQ(first.status, Status::kSuccess);
  EXPECT_EQ(first.completes, Time(104'096));
  EXPECT_EQ((*file)->write(s.cpu, kStart, one).status, Status::kIoDeviceError);
  EXPECT_EQ((*file)->write(s.cpu, kStart, one).status, Status::kSuccess);
  EXPECT_EQ(s.disk.counts().errors, 1U);
  EXPECT_EQ(s.disk.counts().writes, 2U);
}

TEST(SimDiskFiles, AFileCutFromOutsideIsAnIoError) {
  const HostFiles files;
  const auto path = files.make("file", 5'000);
  Rig s;
  const auto file = s.disk.open(path, kRead, kExisting);
  ASSERT_TRUE(file);
  std::filesystem::resize_file(path, 100);
  const std::vector<Pfn> two = {Pfn(9), Pfn(10)};
  EXPECT_EQ((*file)->read(s.cpu, kStart, two).status, Status::kIoDeviceError);
}

TEST(SimDiskFiles, PeekingSeesTheTailAsZeros) {
  const HostFiles files;
  Rig s;
  const auto file = s.disk.open(files.make("file", 5'000), kRead, kExisting);
  ASSERT_TRUE(file);
  struct Case {
    std::uint64_t at;
    std::size_t size;
    bool there;
  };
  // The last page ends at 8192; a frame at 512 ends at 8704.
  for (const Case& c :
       {Case{0, 5'000, true}, Case{4'096, 4'096, true}, Case{4'999, 4'096, true}, Case{5'000, 10, true},
        Case{8'191, 1, true}, Case{8'192, 0, true}, Case{4'096, 4'097, true}, Case{512, 8'192, true},
        Case{5'000, 3'193, false}, Case{8'192, 1, false}, Case{904, 8'192, false}, Case{~std::uint64_t{0}, 2, false}}) {
    std::vector<std::byte> bytes(c.size, std::byte{0xff});
    ASSERT_EQ((*file)->peek(FileOffset(c.at), bytes), c.there) << c.at << " " << c.size;
    if (!c.there) continue;
    for (std::size_t i = 0; i < c.size; ++i)
      ASSERT_EQ(static_cast<char>(bytes[i]), c.at + i < 5'000 ? HostFiles::byte_at(c.at + i) : '\0')
          << c.at << "+" << i;
  }
}

TEST(SimDiskFiles, WhatIsNoRegularFileIsRefused) {
  const HostFiles files;
  const auto plain = files.make("plain", 10);
  ASSERT_EQ(mkfifo((files / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("loop", files / "loop");
  Rig s;
  struct Case {
    std::filesystem::path path;
    FileAccess access;
    FileCreation creation;
    Status status;
  };
  const std::vector<Case> cases = {
      {files / "nothing", kRead, kExisting, Status::kObjectNameNotFound},
      {files / "nothing", kReadWrite, kExisting, Status::kObjectNameNotFound},
      {files / "no/such/directory", kReadWrite, FileCreation::kOpenOrCreate, Status::kObjectNameNotFound},
      {plain / "below", kRead, kExisting, Status::kObjectNameNotFound},
      {files / "loop", kRead, kExisting, Status::kObjectNameNotFound},
      {files / std::string(1000, 'x').c_str(), kRead, kExisting, Status::kObjectNameNotFound},
      {plain.native() + '\0', kRead, kExisting, Status::kObjectNameNotFound},
      {"", kRead, kExisting, Status::kObjectNameNotFound},
      {plain, kRead, FileCreation::kCreateNew, Status::kObjectNameCollision},
      {files / "", kRead, kExisting, Status::kInvalidFileForSection},
      {files / "", kReadWrite, kExisting, Status::kInvalidFileForSection},
      {files / "pipe", kRead, kExisting, Status::kInvalidFileForSection},
      {files / "pipe", kReadWrite, kExisting, Status::kInvalidFileForSection},
      {"/dev/null", kReadWrite, kExisting, Status::kInvalidFileForSection},
      // A program that runs is not written to, not even by root.
      {"/proc/self/exe", kReadWrite, kExisting, Status::kAccessDenied},
  };
  for (const Case& c : cases) {
    const auto file = s.disk.open(c.path, c.access, c.creation);
    ASSERT_FALSE(file) << c.path;
    EXPECT_EQ(file.error(), c.status) << c.path;
  }
  EXPECT_FALSE(std::filesystem::exists(files / "nothing"));
}

TEST(SimDiskFiles, MissingFilesAreMadeWhenAsked) {
  const HostFiles files;
  Rig s;
  for (const FileCreation creation : {FileCreation::kOpenOrCreate, FileCreation::kCreateNew}) {
    const auto path = files / (creation == FileCreation::kCreateNew ? "new" : "maybe");
    const auto file = s.disk.open(path, kReadWrite, creation);
    ASSERT_TRUE(file);
    EXPECT_EQ((*file)->size(), 0_B);
    ASSERT_TRUE((*file)->resize(100_B));
    EXPECT_EQ(std::filesystem::file_size(path), 100U);
  }
  const auto again = s.disk.open(files / "maybe", kRead, FileCreation::kOpenOrCreate);
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->size(), 100_B);
}

TEST(SimDiskFilesDeathTest, AFrameWhollyPastTheEndDies) {
  const HostFiles files;
  Rig s;
  const auto file = s.disk.open(files.make("file", 4'096), kReadWrite, kExisting);
  ASSERT_TRUE(file);
  const std::vector<Pfn> one(1, Pfn(9));
  const std::vector<Pfn> two(2, Pfn(9));
  EXPECT_DEATH(static_cast<void>((*file)->read(s.cpu, kStart, two)), "check failed");
  EXPECT_DEATH(static_cast<void>((*file)->write(s.cpu, FileOffset(4'096), one)), "check failed");
}

}  // namespace
}  // namespace pagoda::machine
