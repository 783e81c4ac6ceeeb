#include "pagoda/sim/shared_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <utility>

#include "pagoda/base/status.h"

namespace pagoda::sim {

namespace {

Input<std::vector<PageModel>> read_pages(const std::string& path, PageCount pages) {
  std::vector<PageModel> contents(pages.value());
  std::ifstream file(path, std::ios::binary);
  for (PageModel& page : contents) {
    std::array<char, kPageBytes> bytes{};
    if (!file.read(bytes.data(), bytes.size()))
      return bad_input(fmt::format("{}: cannot be read, or is shorter than it was", path));
    std::memcpy(page.data(), bytes.data(), bytes.size());
  }
  return contents;
}

// A new file with these bytes. Its name is for opening it once.
Input<std::filesystem::path> make_copy(const std::vector<PageModel>& contents, std::filesystem::path folder) {
  std::error_code error;
  if (folder.empty()) folder = std::filesystem::temp_directory_path(error);
  std::string name = (folder / "pagoda-file-XXXXXX").string();
  const int fd = mkstemp(name.data());
  bool written = fd >= 0;
  for (std::span<const std::byte> left = std::as_bytes(std::span(contents)); written && !left.empty();) {
    const ssize_t n = write(fd, left.data(), left.size());
    written = n > 0;
    if (written) left = left.subspan(static_cast<std::size_t>(n));
  }
  if (fd >= 0) close(fd);
  if (written) return std::filesystem::path(name);
  if (fd >= 0) std::filesystem::remove(name, error);
  return bad_input(fmt::format("a copy cannot be written to \"{}\"", folder.string()));
}

}  // namespace

Input<std::unique_ptr<SharedFile>> SharedFile::open(const FileViewConfig& config, machine::Disk& disk,
                                                    const std::filesystem::path& folder, Contents contents) {
  auto pages = PAGODA_TRY(read_pages(config.file, config.pages));
  const auto copy = make_copy(pages, folder);
  if (!copy) return bad_input(fmt::format("{}: {}", config.file, copy.error().message));
  auto file = disk.open(*copy, machine::FileAccess::kReadWrite, machine::FileCreation::kOpenExisting);
  std::error_code none;
  std::filesystem::remove(*copy, none);  // Its bytes stay as long as it is open.
  if (!file) return bad_input(fmt::format("{}: its copy cannot be opened ({})", config.file, to_string(file.error())));
  const std::string name = std::filesystem::path(config.file).filename().string();
  if (contents == Contents::kOnDisk) pages.clear();
  return std::unique_ptr<SharedFile>(
      new SharedFile(std::make_shared<mm::FileStream>(name, std::move(*file)), config.pages, std::move(pages)));
}

}  // namespace pagoda::sim
