#include "pagoda/sim/image/stored_bytes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/base/write_at.h"
#include "pagoda/sim/image/page_map.h"

namespace pagoda::sim {

namespace {

constexpr std::size_t kSpoolPartBytes = 1 << 20;
// Headers, tables and bitmaps of a dump are less than a 32nd part of its pages.
constexpr std::uint64_t kSpoolMost = PageMap::kPagesMost * kPageBytes / 32 * 33;
constexpr std::size_t kSpoolBlockBytes = 4096;  // Zeros of this size are not written.

// A descriptor that is closed, or one that another object closes.
class FileBytes : public StoredBytes {
 public:
  enum class Descriptor : std::uint8_t { kOwned, kBorrowed };

  FileBytes(std::string name, int descriptor, Descriptor owner, std::uint64_t size)
      : StoredBytes(std::move(name)), descriptor_(descriptor), owner_(owner), size_(size) {}
  ~FileBytes() override {
    if (owner_ == Descriptor::kOwned) close(descriptor_);
  }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  void set_size(std::uint64_t size) { size_ = size; }
  [[nodiscard]] std::uint64_t size() const override { return size_; }
  Input<std::size_t> read(std::uint64_t at, std::span<std::byte> bytes) const override {
    std::size_t done = 0;
    const std::size_t most = at >= size_ ? 0 : std::min<std::uint64_t>(bytes.size(), size_ - at);
    while (done < most) {
      const ssize_t count = pread(descriptor_, &bytes[done], most - done, static_cast<off_t>(at + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0)
        return bad_input(fmt::format("{}: cannot be read: {}; copy it to another disk", name(), strerror(errno)));
      if (count == 0) return damaged("became shorter while it was read");
      done += static_cast<std::size_t>(count);
    }
    return done;
  }

 private:
  int descriptor_;
  Descriptor owner_;
  std::uint64_t size_;
};

// A file without a name, or -1.
int open_nameless(const std::string& folder) {
  const int descriptor = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0) return descriptor;
  std::string path = folder + "/pagoda-image-XXXXXX";  // Not every file system has O_TMPFILE.
  const int named = mkostemp(path.data(), O_CLOEXEC);
  if (named >= 0) unlink(path.c_str());
  return named;
}

// Writes what is not zero, in runs of blocks. False: errno says why not.
bool write_sparsely(int descriptor, std::span<const std::byte> bytes, std::uint64_t at) {
  const auto is_zero_block = [&](std::size_t block) {
    const auto part = bytes.subspan(block, std::min(kSpoolBlockBytes, bytes.size() - block));
    return std::ranges::all_of(part, [](std::byte b) { return b == std::byte{0}; });
  };
  for (std::size_t from = 0; from < bytes.size();) {
    if (is_zero_block(from)) {
      from += kSpoolBlockBytes;
      continue;
    }
    std::size_t to = from;
    while (to < bytes.size() && !is_zero_block(to)) to += kSpoolBlockBytes;
    to = std::min(to, bytes.size());
    if (const int failed = write_at(descriptor, bytes.subspan(from, to - from), static_cast<off_t>(at + from))) {
      errno = failed;
      return false;
    }
    from = to;
  }
  return true;
}

Input<std::unique_ptr<StoredBytes>> spool(ByteSource& source) {
  std::error_code error;
  const std::string folder = std::filesystem::temp_directory_path(error).string();
  if (error)
    return bad_input(
        fmt::format("{}: cannot be unpacked: there is no folder for temporary files: {}; set TMPDIR to one",
                    source.name(), error.message()));
  const auto refuse = [&] {
    return bad_input(
        fmt::format("{}: cannot be unpacked into {}: {}; make room there, or set TMPDIR to a folder that has",
                    source.name(), folder, strerror(errno)));
  };
  const int descriptor = open_nameless(folder);
  if (descriptor < 0) return refuse();
  auto bytes = std::make_unique<FileBytes>(source.name(), descriptor, FileBytes::Descriptor::kOwned, 0);
  std::vector<std::byte> part(kSpoolPartBytes);
  std::uint64_t size = 0;
  for (;;) {
    const auto count = PAGODA_TRY(source.read(part));
    if (!write_sparsely(descriptor, std::span(part).first(count), size)) return refuse();
    size += count;
    if (size > kSpoolMost)
      return bad_input(
          fmt::format("{}: unpacks to more than {} GiB, which no dump that can be read has; give a smaller one",
                      source.name(), kSpoolMost >> 30));
    if (count < part.size()) break;
  }
  if (ftruncate(descriptor, static_cast<off_t>(size)) != 0) return refuse();
  bytes->set_size(size);
  return bytes;
}

}  // namespace

Input<std::vector<std::byte>> StoredBytes::read_all(std::uint64_t at, std::size_t size, std::string_view what) const {
  if (at > this->size() || size > this->size() - at) return damaged(fmt::format("cut: {} is not all in it", what));
  std::vector<std::byte> bytes(size);
  const auto count = PAGODA_TRY(read(at, bytes));
  if (count < size) return damaged(fmt::format("cut: {} is not all in it", what));
  return bytes;
}

std::unexpected<InputError> StoredBytes::damaged(std::string_view what) const {
  return bad_input(fmt::format("{}: {}; copy or make it again", name_, what));
}

Input<std::unique_ptr<StoredBytes>> store_bytes(ByteSource& source) {
  const std::optional<int> plain = source.plain_file();
  if (!plain) return spool(source);
  struct stat status{};
  if (fstat(*plain, &status) != 0)
    return bad_input(fmt::format("{}: cannot be read: {}; copy it to another disk", source.name(), strerror(errno)));
  return std::make_unique<FileBytes>(source.name(), *plain, FileBytes::Descriptor::kBorrowed,
                                     static_cast<std::uint64_t>(status.st_size));
}

}  // namespace pagoda::sim
