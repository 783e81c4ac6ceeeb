#include "pagoda/sim/trace/foreign/decompressed_file.h"

#include <archive.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "pagoda/base/status.h"

namespace pagoda::sim {

namespace {
constexpr std::size_t kCompressedBlockBytes = 256 << 10;
}  // namespace

// Standard input, or a file that is closed at the end.
class DecompressedFile::Descriptor {
 public:
  explicit Descriptor(const std::string& path)
      : owned_(path != "-"), fd_(owned_ ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC) : STDIN_FILENO) {}
  ~Descriptor() {
    if (owned_ && fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  [[nodiscard]] int fd() const { return fd_; }

 private:
  bool owned_;
  int fd_;
};

DecompressedFile::DecompressedFile(std::string name)
    : name_(std::move(name)), archive_(archive_read_new(), archive_read_free) {
  // By name and not "all": some of all start other programs, and one takes text for uuencoded.
  archive_read_support_filter_gzip(archive_.get());
  archive_read_support_filter_bzip2(archive_.get());
  archive_read_support_filter_xz(archive_.get());
  archive_read_support_filter_zstd(archive_.get());
  archive_read_support_filter_lz4(archive_.get());
  archive_read_support_format_raw(archive_.get());
  archive_read_support_format_empty(archive_.get());
}
DecompressedFile::DecompressedFile(DecompressedFile&&) noexcept = default;
DecompressedFile& DecompressedFile::operator=(DecompressedFile&&) noexcept = default;
DecompressedFile::~DecompressedFile() = default;

Input<DecompressedFile> DecompressedFile::open(const std::string& path) {
  DecompressedFile file(path == "-" ? "standard input" : path);
  file.descriptor_ = std::make_unique<Descriptor>(path);
  const int fd = file.descriptor_->fd();
  if (fd < 0) return bad_input(fmt::format("{}: cannot be read: {}; give a trace", file.name_, std::strerror(errno)));
  PAGODA_TRY(file.begin(archive_read_open_fd(file.archive_.get(), fd, kCompressedBlockBytes)));
  return file;
}

Input<DecompressedFile> DecompressedFile::from_bytes(std::string name, std::vector<char> bytes) {
  DecompressedFile file(std::move(name));
  file.bytes_ = std::move(bytes);
  PAGODA_TRY(file.begin(archive_read_open_memory(file.archive_.get(), file.bytes_.data(), file.bytes_.size())));
  return file;
}

// Reads the front; `opened` is what libarchive said to opening.
Input<> DecompressedFile::begin(int opened) {
  if (opened != ARCHIVE_OK) return unreadable();
  archive_entry* entry = nullptr;
  const int header = archive_read_next_header(archive_.get(), &entry);
  if (header == ARCHIVE_EOF) {
    front_is_all_ = true;
    return {};
  }
  if (header != ARCHIVE_OK) return unreadable();
  front_.resize(kFrontBytes);
  std::size_t filled = 0;
  while (filled < front_.size() && !front_is_all_) {
    const std::size_t count = PAGODA_TRY(decompress(std::span(front_).subspan(filled)));
    front_is_all_ = count == 0;
    filled += count;
  }
  front_.resize(filled);
  return {};
}

Input<std::size_t> DecompressedFile::decompress(std::span<char> bytes) {
  const la_ssize_t count = archive_read_data(archive_.get(), bytes.data(), bytes.size());
  if (count < 0) return unreadable();
  return static_cast<std::size_t>(count);
}

Input<std::size_t> DecompressedFile::read(std::span<char> bytes) {
  if (front_read_ < front_.size()) {
    const std::size_t count = std::min(bytes.size(), front_.size() - front_read_);
    std::copy_n(front_.begin() + static_cast<std::ptrdiff_t>(front_read_), count, bytes.begin());
    front_read_ += count;
    return count;
  }
  return front_is_all_ ? Input<std::size_t>(0) : decompress(bytes);
}

std::unexpected<InputError> DecompressedFile::unreadable() const {
  const char* const reason = archive_error_string(archive_.get());
  return bad_input(fmt::format("{}: cannot be read: {}; copy it again, or decompress it yourself", name_,
                               reason == nullptr ? "no reason given" : reason));
}

}  // namespace pagoda::sim
