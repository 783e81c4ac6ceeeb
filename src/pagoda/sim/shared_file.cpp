#include "pagoda/sim/shared_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>

#include "pagoda/base/check.h"
#include "pagoda/base/status.h"
#include "pagoda/base/write_at.h"
#include "pagoda/sim/copy_file.h"

namespace pagoda::sim {

namespace {

namespace fs = std::filesystem;

// A new file for the bytes that programs are to see. It still has a name, for opening it once more.
struct Copy {
  Descriptor file;
  fs::path path;
};

std::unexpected<InputError> no_copy(const std::string& of, const fs::path& folder, int error) {
  return bad_input(
      fmt::format("{}: a copy cannot be written to \"{}\": {}; make room there, or name another folder with disk.store",
                  of, folder.string(), std::strerror(error)));
}

Input<Copy> make_empty(const std::string& of, fs::path& folder) {
  std::error_code no_folder;
  if (folder.empty()) folder = fs::temp_directory_path(no_folder);
  if (no_folder) return no_copy(of, folder, no_folder.value());
  std::string name = (folder / "pagoda-file-XXXXXX").string();
  Copy copy{.file = Descriptor(mkostemp(name.data(), O_CLOEXEC)), .path = {}};
  if (!copy.file.is_open()) return no_copy(of, folder, errno);
  copy.path = name;
  return copy;
}

Input<Copy> make_copy(const FileViewConfig& config, fs::path folder) {
  const Descriptor source(::open(config.file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source.is_open()) return bad_input(fmt::format("{}: cannot be read: {}", config.file, std::strerror(errno)));
  Copy copy = PAGODA_TRY(make_empty(config.file, folder));
  const CopyOutcome outcome = copy_file(source.get(), copy.file.get(), bytes_of(config.pages));
  if (outcome.failed == CopyOutcome::Side::kNone) return copy;
  ::unlink(copy.path.c_str());
  if (outcome.failed == CopyOutcome::Side::kTarget) return no_copy(config.file, folder, outcome.error);
  return bad_input(fmt::format("{}: cannot be read: {}", config.file,
                               outcome.error == 0 ? "it is shorter than it was" : std::strerror(outcome.error)));
}

// Pages of zeros are holes.
Input<Copy> make_copy(const ImageContents& image, const std::string& of, fs::path folder) {
  Copy copy = PAGODA_TRY(make_empty(of, folder));
  int error = ftruncate(copy.file.get(), static_cast<off_t>(bytes_of(image.pages()).value())) == 0 ? 0 : errno;
  std::array<std::byte, kPageBytes> bytes{};
  for (std::uint64_t page = 0; page < image.pages().value() && error == 0; ++page) {
    if (image.is_zero(page)) continue;
    image.fill(page, bytes);
    error = write_at(copy.file.get(), bytes, static_cast<off_t>(page * kPageBytes));
  }
  if (error == 0) return copy;
  ::unlink(copy.path.c_str());
  return no_copy(of, folder, error);
}

// The copy of what is named so, on the disk; nothing names the copy any more.
Input<std::shared_ptr<mm::FileStream>> open_copy(const Copy& copy, const std::string& of, const std::string& name,
                                                 machine::Disk& disk) {
  auto file = disk.open(copy.path, machine::FileAccess::kReadWrite, machine::FileCreation::kOpenExisting);
  ::unlink(copy.path.c_str());  // Its bytes stay as long as it is open.
  if (!file) return bad_input(fmt::format("{}: its copy cannot be opened ({})", of, to_string(file.error())));
  return std::make_shared<mm::FileStream>(name, std::move(*file));
}

}  // namespace

Input<std::unique_ptr<SharedFile>> SharedFile::open(const FileViewConfig& config, machine::Disk& disk,
                                                    const fs::path& folder) {
  Copy copy = PAGODA_TRY(make_copy(config, folder));
  auto stream = PAGODA_TRY(open_copy(copy, config.file, fs::path(config.file).filename().string(), disk));
  return std::unique_ptr<SharedFile>(new SharedFile(std::move(stream), config.pages, std::move(copy.file)));
}

Input<std::unique_ptr<SharedFile>> SharedFile::from_image(const ImageContents& image, const std::string& name,
                                                          machine::Disk& disk, const fs::path& folder) {
  Copy copy = PAGODA_TRY(make_copy(image, image.describe(), folder));
  auto stream = PAGODA_TRY(open_copy(copy, image.describe(), name, disk));
  return std::unique_ptr<SharedFile>(new SharedFile(std::move(stream), image.pages(), std::move(copy.file)));
}

PageModel& SharedFile::model(std::uint32_t page) {
  const auto [model, is_new] = models_.try_emplace(page);
  if (!is_new) return model->second;
  std::span<std::byte> left = std::as_writable_bytes(std::span(model->second));
  auto at = static_cast<off_t>(std::uint64_t{page} * kPageBytes);
  while (!left.empty()) {
    const ssize_t n = pread(copy_.get(), left.data(), left.size(), at);
    if (n < 0 && errno == EINTR) continue;
    PAGODA_CHECK_GT(n, 0);  // It was written whole, and nobody else can cut it.
    left = left.subspan(static_cast<std::size_t>(n));
    at += n;
  }
  return model->second;
}

}  // namespace pagoda::sim
