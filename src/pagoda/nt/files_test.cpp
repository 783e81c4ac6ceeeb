// NtCreateFile, NtOpenFile, NtQueryInformationFile, NtSetInformationFile: real files in a directory.
#include "pagoda/nt/files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <fstream>

#include "pagoda/nt/testing/nt_directory.h"
#include "pagoda/nt/testing/nt_machine.h"

namespace pagoda::nt {
namespace {

using testing::NtMachine;

class NtFiles : public ::testing::Test {
 protected:
  NtFiles() {
    std::filesystem::create_directory(directory_ / "dir");
    write("ten", "0123456789");
    write("dir/inner", "x");
    machine_ = std::make_unique<NtMachine>(testing::NtMachineConfig{.directory = directory_});
  }

  void write(const std::string& name, const std::string& text) const { std::ofstream(directory_ / name) << text; }
  [[nodiscard]] bool exists(const std::string& name) const { return std::filesystem::exists(directory_ / name); }

  struct Outcome {
    NTSTATUS status = STATUS_SUCCESS;
    HANDLE handle = nullptr;
    ULONG_PTR information = 0;
  };
  static Outcome create(std::u16string name, ACCESS_MASK access = FILE_READ_DATA, ULONG disposition = FILE_OPEN,
                        ULONG options = 0) {
    UNICODE_STRING string{static_cast<USHORT>(name.size() * 2), static_cast<USHORT>(name.size() * 2), name.data()};
    OBJECT_ATTRIBUTES attributes{.Length = sizeof(OBJECT_ATTRIBUTES), .ObjectName = &string};
    IO_STATUS_BLOCK io{};
    io.Information = 77;
    Outcome out;
    out.status = NtCreateFile(&out.handle, access, &attributes, &io, nullptr, 0, FILE_SHARE_READ, disposition, options,
                              nullptr, 0);
    out.information = io.Information;
    return out;
  }
  static LONGLONG size_of(HANDLE file) {
    FILE_STANDARD_INFORMATION info{};
    IO_STATUS_BLOCK io{};
    PAGODA_CHECK_EQ(NtQueryInformationFile(file, &io, &info, sizeof info, FileStandardInformation), STATUS_SUCCESS);
    return info.EndOfFile.QuadPart;
  }
  static NTSTATUS set_size(HANDLE file, LONGLONG size) {
    FILE_END_OF_FILE_INFORMATION info{};
    info.EndOfFile.QuadPart = size;
    IO_STATUS_BLOCK io{};
    return NtSetInformationFile(file, &io, &info, sizeof info, FileEndOfFileInformation);
  }

  const testing::NtDirectory place_;  // Outlives the machine.
  const std::filesystem::path& directory_ = place_.path();
  std::unique_ptr<NtMachine> machine_;
};

TEST_F(NtFiles, NamesMeanFilesBelowTheDirectory) {
  for (const char16_t* name :
       {u"\\ten", u"\\??\\C:\\ten", u"\\??\\z:\\ten", u"\\DosDevices\\C:\\ten", u"\\Device\\HarddiskVolume1\\ten"}) {
    const Outcome opened = create(name);
    EXPECT_EQ(opened.status, STATUS_SUCCESS);
    EXPECT_EQ(opened.information, FILE_OPENED);
    EXPECT_EQ(size_of(opened.handle), 10);
    EXPECT_EQ(NtClose(opened.handle), STATUS_SUCCESS);
  }
  EXPECT_EQ(create(u"\\dir\\inner").status, STATUS_SUCCESS);
  struct Row {
    const char16_t* name;
    NTSTATUS status;
  };
  for (const Row& row : std::to_array<Row>({{u"\\missing", STATUS_OBJECT_NAME_NOT_FOUND},
                                            {u"\\missing\\inner", STATUS_OBJECT_NAME_NOT_FOUND},
                                            {u"", STATUS_OBJECT_NAME_INVALID},
                                            {u"ten", STATUS_OBJECT_NAME_INVALID},
                                            {u"\\ten\\", STATUS_OBJECT_NAME_INVALID},
                                            {u"\\dir\\..\\ten", STATUS_OBJECT_NAME_INVALID},
                                            {u"\\..\\ten", STATUS_OBJECT_NAME_INVALID},
                                            {u"\\dir\\\\inner", STATUS_OBJECT_NAME_INVALID},
                                            {u"\\dir/inner", STATUS_OBJECT_NAME_INVALID},
                                            {u"\\te*", STATUS_OBJECT_NAME_INVALID},
                                            {u"\\??\\ten", STATUS_OBJECT_NAME_INVALID},
                                            {u"\\??\\C:", STATUS_OBJECT_NAME_INVALID},
                                            {u"\\dir", STATUS_ACCESS_DENIED}})) {
    const Outcome refused = create(row.name);
    // What a directory gives depends on the host; the reference has no word on it.
    if (std::u16string_view(row.name) == u"\\dir") {
      EXPECT_LT(refused.status, 0);
    } else {
      EXPECT_EQ(refused.status, row.status);
    }
    EXPECT_EQ(refused.handle, nullptr);
    EXPECT_EQ(refused.information, 77U);
  }
}

TEST_F(NtFiles, LinksDoNotLeadOutOfTheDirectory) {
  std::filesystem::create_symlink("/etc/hostname", directory_ / "out");
  std::filesystem::create_symlink("ten", directory_ / "in");
  EXPECT_EQ(create(u"\\out").status, STATUS_OBJECT_NAME_INVALID);
  const Outcome first = create(u"\\in");
  const Outcome second = create(u"\\ten");
  EXPECT_EQ(first.status, STATUS_SUCCESS);
  EXPECT_EQ(second.status, STATUS_SUCCESS);
  EXPECT_EQ(machine_->kernel().files().open_streams(), 1U);  // One file, one stream.
  EXPECT_EQ(NtClose(first.handle), STATUS_SUCCESS);
  EXPECT_EQ(NtClose(second.handle), STATUS_SUCCESS);
  EXPECT_EQ(machine_->kernel().files().open_streams(), 0U);
}

TEST_F(NtFiles, DispositionsOpenCreateAndOverwrite) {
  constexpr ACCESS_MASK kBoth = FILE_READ_DATA | FILE_WRITE_DATA;
  EXPECT_EQ(create(u"\\new", kBoth, FILE_OPEN).status, STATUS_OBJECT_NAME_NOT_FOUND);
  EXPECT_EQ(create(u"\\new", kBoth, FILE_OVERWRITE).status, STATUS_OBJECT_NAME_NOT_FOUND);
  EXPECT_FALSE(exists("new"));
  EXPECT_EQ(create(u"\\new", kBoth, FILE_CREATE).information, FILE_CREATED);
  EXPECT_TRUE(exists("new"));
  EXPECT_EQ(create(u"\\new", kBoth, FILE_CREATE).status, STATUS_OBJECT_NAME_COLLISION);
  EXPECT_EQ(create(u"\\new2", kBoth, FILE_OPEN_IF).information, FILE_CREATED);
  EXPECT_EQ(create(u"\\new3", kBoth, FILE_OVERWRITE_IF).information, FILE_CREATED);
  EXPECT_EQ(create(u"\\new4", kBoth, FILE_SUPERSEDE).information, FILE_CREATED);
  EXPECT_EQ(create(u"\\ten", kBoth, FILE_OPEN_IF).information, FILE_OPENED);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "ten"), 10U);
  EXPECT_EQ(create(u"\\ten", kBoth, FILE_OVERWRITE).information, FILE_OVERWRITTEN);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "ten"), 0U);
  EXPECT_EQ(create(u"\\dir\\inner", kBoth, FILE_SUPERSEDE).information, FILE_SUPERSEDED);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "dir/inner"), 0U);
}

TEST_F(NtFiles, SizeIsSetWithTheRightToWrite) {
  const Outcome reader = create(u"\\ten", FILE_READ_DATA);
  EXPECT_EQ(set_size(reader.handle, 5000), STATUS_ACCESS_DENIED);
  const Outcome writer = create(u"\\ten", GENERIC_READ | GENERIC_WRITE);
  EXPECT_EQ(set_size(writer.handle, -1), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(set_size(writer.handle, 5000), STATUS_SUCCESS);
  EXPECT_EQ(size_of(reader.handle), 5000);
  EXPECT_EQ(std::filesystem::file_size(directory_ / "ten"), 5000U);
  EXPECT_EQ(set_size(writer.handle, 3), STATUS_SUCCESS);
  EXPECT_EQ(size_of(reader.handle), 3);
  EXPECT_EQ(set_size(NtMachine::bad_handle(), 3), STATUS_INVALID_HANDLE);
  EXPECT_EQ(set_size(machine_->create_process(), 3), STATUS_OBJECT_TYPE_MISMATCH);
}

TEST_F(NtFiles, MisuseIsRefusedInOrder) {
  EXPECT_EQ(create(u"\\ten", 0).status, STATUS_INVALID_PARAMETER);
  EXPECT_EQ(create(u"\\ten", FILE_READ_DATA, 6).status, STATUS_INVALID_PARAMETER);
  EXPECT_EQ(create(u"\\ten", FILE_READ_DATA, FILE_OPEN, 0x80000000U).status, STATUS_INVALID_PARAMETER);
  EXPECT_EQ(NtCreateFile(nullptr, 0, nullptr, nullptr, nullptr, 0, 0, 0, 0, nullptr, 0), STATUS_ACCESS_VIOLATION);
  FILE_STANDARD_INFORMATION info{};
  IO_STATUS_BLOCK io{};
  const HANDLE bad = NtMachine::bad_handle();
  EXPECT_EQ(NtQueryInformationFile(bad, nullptr, nullptr, 0, static_cast<FILE_INFORMATION_CLASS>(99)),
            STATUS_INVALID_INFO_CLASS);
  EXPECT_EQ(NtQueryInformationFile(bad, nullptr, nullptr, 23, FileStandardInformation), STATUS_INFO_LENGTH_MISMATCH);
  EXPECT_EQ(NtQueryInformationFile(bad, nullptr, nullptr, 24, FileStandardInformation), STATUS_ACCESS_VIOLATION);
  EXPECT_EQ(NtQueryInformationFile(bad, &io, &info, 24, FileStandardInformation), STATUS_INVALID_HANDLE);
  EXPECT_EQ(NtSetInformationFile(bad, nullptr, nullptr, 0, FileStandardInformation), STATUS_INVALID_INFO_CLASS);
  EXPECT_EQ(NtSetInformationFile(bad, nullptr, nullptr, 7, FileEndOfFileInformation), STATUS_INFO_LENGTH_MISMATCH);
  EXPECT_EQ(NtSetInformationFile(bad, nullptr, nullptr, 8, FileEndOfFileInformation), STATUS_ACCESS_VIOLATION);
}

TEST(NtFilesWithoutDirectory, ThereAreNone) {
  const NtMachine m;
  std::u16string name = u"\\ten";
  UNICODE_STRING string{8, 8, name.data()};
  OBJECT_ATTRIBUTES attributes{.Length = sizeof(OBJECT_ATTRIBUTES), .ObjectName = &string};
  IO_STATUS_BLOCK io{};
  HANDLE handle = nullptr;
  EXPECT_EQ(NtOpenFile(&handle, FILE_READ_DATA, &attributes, &io, 0, 0), STATUS_OBJECT_NAME_NOT_FOUND);
}

}  // namespace
}  // namespace pagoda::nt
