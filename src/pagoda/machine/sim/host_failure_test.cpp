// What the real file system under a disk refuses is told apart from the disk's own errors.
#include "pagoda/machine/sim/host_failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "pagoda/base/testing/file_size_limit.h"
#include "pagoda/machine/sim/sim_machine.h"

namespace pagoda::machine {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Operation = HostFailure::Operation;

constexpr std::array<Pfn, 1> kFrame{Pfn(3)};

class HostFailureTest : public ::testing::Test {
 protected:
  HostFailureTest() { std::filesystem::create_directories(folder_); }
  ~HostFailureTest() override { std::filesystem::remove_all(folder_); }

  SimDisk& disk_in(const std::filesystem::path& folder) {
    failures_.emplace();
    machine_ = *SimMachine::create({.disks = {{.name = "d", .capacity = 16_MiB, .directory = folder}}});
    machine_->sim_disk().report_to(*failures_);
    return machine_->sim_disk();
  }
  void expect_first(Operation operation, const std::filesystem::path& folder, int error) const {
    ASSERT_TRUE(failures_->any());
    EXPECT_EQ(failures_->first().operation, operation);
    EXPECT_EQ(failures_->first().disk, "d");
    EXPECT_EQ(failures_->first().folder, folder);
    EXPECT_EQ(failures_->first().error, error);
  }

  const std::filesystem::path folder_ =
      std::filesystem::path(::testing::TempDir()) / ("pagoda-host-failure-" + std::to_string(getpid()));
  std::optional<HostFailures> failures_;
  std::unique_ptr<SimMachine> machine_;
};

TEST_F(HostFailureTest, AFileThatCannotBeMade) {
  EXPECT_FALSE(disk_in(folder_ / "gone").create("file"));
  expect_first(Operation::kMake, folder_ / "gone", ENOENT);
}

TEST_F(HostFailureTest, AFileThatCannotGrowOrBeWritten) {
  for (const std::filesystem::path& folder : {folder_, std::filesystem::path()}) {
    for (const bool grows : {false, true}) {
      const auto file = *disk_in(folder).create("file");
      ASSERT_TRUE(file->resize(8_MiB));
      const pagoda::testing::FileSizeLimit limit(1_MiB);
      if (grows) {
        EXPECT_EQ(file->resize(9_MiB).error(), Status::kDiskFull);
      } else {
        EXPECT_EQ(file->write(machine_->processor(), FileOffset(2 << 20), kFrame).status, Status::kIoDeviceError);
      }
      expect_first(grows ? Operation::kResize : Operation::kWrite, folder, EFBIG);
    }
  }
}

TEST_F(HostFailureTest, AFileThatSomebodyCut) {
  std::ofstream(folder_ / "file") << std::string(2 * kPageBytes, 'x');
  const auto file = *disk_in({}).open(folder_ / "file", FileAccess::kReadWrite, FileCreation::kOpenExisting);
  std::filesystem::resize_file(folder_ / "file", 0);
  EXPECT_EQ(file->read(machine_->processor(), FileOffset(0), kFrame).status, Status::kIoDeviceError);
  expect_first(Operation::kRead, folder_, EIO);
}

TEST_F(HostFailureTest, WhatIsInjectedOrTheDisksOwnIsNone) {
  SimDisk& disk = disk_in(folder_);
  const auto file = *disk.create("file");
  ASSERT_TRUE(file->resize(1_MiB));
  EXPECT_EQ(file->resize(17_MiB).error(), Status::kDiskFull);
  disk.injection().write_error_rate = 1;
  EXPECT_EQ(file->write(machine_->processor(), FileOffset(0), kFrame).status, Status::kIoDeviceError);
  EXPECT_EQ(disk.open(folder_ / "gone", FileAccess::kRead, FileCreation::kOpenExisting).error(),
            Status::kObjectNameNotFound);
  EXPECT_FALSE(failures_->any());
}

TEST_F(HostFailureTest, TheFirstIsKept) {
  failures_.emplace();
  failures_->report({.operation = Operation::kRead, .disk = "one", .folder = "/a", .error = EIO});
  failures_->report({.operation = Operation::kWrite, .disk = "two", .folder = "/b", .error = ENOSPC});
  EXPECT_EQ(to_string(failures_->first()),
            "disk \"one\": the host cannot read its bytes in \"/a\": Input/output error");
  EXPECT_THAT(to_string(HostFailure{.operation = Operation::kWrite, .disk = "d", .folder = {}, .error = ENOSPC}),
              AllOf(HasSubstr("cannot write its bytes in memory"), HasSubstr("No space left on device")));
}

}  // namespace
}  // namespace pagoda::machine
