// For tests: a directory of the host for a kernel's files, deleted with the test; and short ways to open what is in it.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>

#include "pagoda/base/check.h"
#include "pagoda/nt.h"

namespace pagoda::nt::testing {

class NtDirectory {
 public:
  NtDirectory() {
    std::string pattern = std::filesystem::temp_directory_path() / "pagoda-nt-XXXXXX";
    PAGODA_CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = std::filesystem::canonical(pattern);
  }
  NtDirectory(const NtDirectory&) = delete;
  NtDirectory& operator=(const NtDirectory&) = delete;
  ~NtDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, std::span<const std::byte> bytes) const {
    std::ofstream(path_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }

 private:
  std::filesystem::path path_;
};

inline NTSTATUS open_file(HANDLE& out, std::u16string name, ACCESS_MASK access, ULONG disposition = FILE_OPEN) {
  UNICODE_STRING string{static_cast<USHORT>(name.size() * 2), static_cast<USHORT>(name.size() * 2), name.data()};
  OBJECT_ATTRIBUTES attributes{.Length = sizeof(OBJECT_ATTRIBUTES), .ObjectName = &string};
  IO_STATUS_BLOCK io{};
  return NtCreateFile(&out, access, &attributes, &io, nullptr, 0, 0, disposition, 0, nullptr, 0);
}

inline NTSTATUS create_image(HANDLE& out, std::u16string name, ACCESS_MASK access = SECTION_ALL_ACCESS) {
  HANDLE file = nullptr;
  PAGODA_CHECK_EQ(open_file(file, std::move(name), FILE_READ_DATA | FILE_EXECUTE), STATUS_SUCCESS);
  const NTSTATUS status = NtCreateSection(&out, access, nullptr, nullptr, PAGE_EXECUTE_READ, SEC_IMAGE, file);
  NtClose(file);
  return status;
}

}  // namespace pagoda::nt::testing
