#include "pagoda/sim/image/archive_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <locale.h>  // NOLINT(modernize-deprecated-headers): newlocale is POSIX.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/base/check.h"
#include "pagoda/base/status.h"
#include "pagoda/sim/image/tar_header.h"

namespace pagoda::sim {

namespace {

constexpr std::size_t kFeedBytes = 256 << 10;

// libarchive turns names into the charset of the thread's locale, which a program need not have set.
class Utf8Names {
 public:
  Utf8Names() : locale_(newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr)) {
    if (locale_ != nullptr) before_ = uselocale(locale_);
  }
  ~Utf8Names() {
    if (locale_ == nullptr) return;
    uselocale(before_);
    freelocale(locale_);
  }
  Utf8Names(const Utf8Names&) = delete;
  Utf8Names& operator=(const Utf8Names&) = delete;

 private:
  locale_t locale_;
  locale_t before_ = nullptr;
};

// Messages are one line.
std::string printable(const char* text) {
  std::string name(text == nullptr ? "" : text);
  for (char& c : name)
    if (std::iscntrl(static_cast<unsigned char>(c)) != 0) c = '?';
  return name;
}

}  // namespace

// Gives libarchive the bytes of the source: of a plain file from any place, since zip archives have their directory at
// the end.
struct ArchiveReader::Feed {
  explicit Feed(ByteSource& from) : source(&from), buffer(kFeedBytes), before(kTarBlockBytes) {
    struct stat status{};
    const std::optional<int> plain = from.plain_file();
    if (plain && fstat(*plain, &status) == 0) {
      descriptor = *plain;
      size = status.st_size;
    }
  }

  static la_ssize_t read(archive* reader, void* feed, const void** bytes) {
    return static_cast<Feed*>(feed)->read_next(reader, bytes);
  }
  static la_int64_t seek(archive* reader, void* feed, la_int64_t offset, int whence) {
    return static_cast<Feed*>(feed)->seek_to(reader, offset, whence);
  }

  la_ssize_t read_next(archive* reader, const void** bytes) {
    // The end of what is given away stays: check_type looks at the block in front of a member's data.
    if (at_hand >= kTarBlockBytes) std::copy_n(&buffer[at_hand - kTarBlockBytes], kTarBlockBytes, before.begin());
    first += static_cast<la_int64_t>(at_hand);
    at_hand = 0;
    if (descriptor >= 0) {
      const ssize_t count = pread(descriptor, buffer.data(), buffer.size(), first);
      if (count < 0) {
        archive_set_error(reader, errno, "cannot be read: %s", strerror(errno));
        return -1;
      }
      at_hand = static_cast<std::size_t>(count);
    } else {
      Input<std::size_t> count = source->read(buffer);
      if (!count) {
        error = std::move(count.error());
        archive_set_error(reader, EIO, "cannot be read");
        return -1;
      }
      at_hand = *count;
    }
    *bytes = buffer.data();
    return static_cast<la_ssize_t>(at_hand);
  }

  la_int64_t seek_to(archive* reader, la_int64_t offset, int whence) {
    const la_int64_t base = whence == SEEK_SET   ? 0
                            : whence == SEEK_END ? size
                                                 : first + static_cast<la_int64_t>(at_hand);
    if (offset < -base || offset > size - base) {
      archive_set_error(reader, EINVAL, "it points behind its end");
      return ARCHIVE_FATAL;
    }
    first = base + offset;
    at_hand = 0;
    return first;
  }

  // The block that ends at `end`, if it was given away last.
  [[nodiscard]] std::optional<std::array<std::byte, kTarBlockBytes>> block_before(la_int64_t end) const {
    std::array<std::byte, kTarBlockBytes> block{};
    for (std::size_t i = 0; i < block.size(); ++i) {
      const la_int64_t at = end - first - static_cast<la_int64_t>(block.size() - i);
      if (at < -static_cast<la_int64_t>(before.size()) || at >= static_cast<la_int64_t>(at_hand)) return {};
      block[i] = at < 0 ? before[before.size() - static_cast<std::size_t>(-at)] : buffer[static_cast<std::size_t>(at)];
    }
    return block;
  }

  ByteSource* source;
  int descriptor = -1;  // A plain file's.
  la_int64_t size = 0;
  std::vector<std::byte> buffer;
  std::vector<std::byte> before;  // What came directly in front of the buffer.
  la_int64_t first = 0;           // Where in the file the buffer begins.
  std::size_t at_hand = 0;
  std::optional<InputError> error;  // The source's own.
};

ArchiveReader::ArchiveReader(ByteSource& source, Kind kind)
    : feed_(std::make_unique<Feed>(source)), archive_(archive_read_new(), archive_read_free), kind_(kind) {
  archive* const reader = archive_.get();
  // Not "all": some of libarchive's filters start programs.
  if (kind == Kind::kCompressed) {
    archive_read_support_filter_gzip(reader);
    archive_read_support_filter_bzip2(reader);
    archive_read_support_filter_xz(reader);
    archive_read_support_filter_lz4(reader);
    archive_read_support_format_raw(reader);
  } else {
    archive_read_support_format_tar(reader);
    archive_read_support_format_zip(reader);
  }
  archive_read_set_callback_data(reader, feed_.get());
  archive_read_set_read_callback(reader, &Feed::read);
  if (feed_->descriptor >= 0 && kind == Kind::kArchive) archive_read_set_seek_callback(reader, &Feed::seek);
  archive_read_open1(reader);  // What fails here fails again in next().
}

ArchiveReader::~ArchiveReader() = default;

std::unexpected<InputError> ArchiveReader::failed() const {
  if (feed_->error) return std::unexpected(*feed_->error);
  const char* const text = archive_error_string(archive_.get());
  return feed_->source->damaged(fmt::format("{} damaged or cut: {}",
                                            kind_ == Kind::kArchive ? "an archive," : "compressed,",
                                            text == nullptr ? "it ends too early" : printable(text)));
}

Input<> ArchiveReader::check_type(std::string_view name) const {
  const int format = archive_format(archive_.get()) & ARCHIVE_FORMAT_BASE_MASK;
  if (format != ARCHIVE_FORMAT_TAR) return {};
  const auto block = feed_->block_before(archive_filter_bytes(archive_.get(), 0));
  // A sparse file's list of holes may stand between its header and its data; it is a file then.
  if (!block || !is_tar_header(*block)) return {};
  constexpr std::string_view kKnown(
      "\0"
      "01234567SD",
      11);
  const char type = std::to_integer<char>((*block)[kTarTypeAt]);
  if (kKnown.find(type) != std::string_view::npos) return {};
  if (type == 'M')
    return bad_input(fmt::format("{}: \"{}\" goes on from another volume of the archive; unpack all volumes together",
                                 feed_->source->name(), name));
  return bad_input(fmt::format("{}: \"{}\" is of a type that Pagoda does not know ({:#x}); unpack the archive",
                               feed_->source->name(), name, static_cast<unsigned char>(type)));
}

Input<std::optional<ArchiveReader::Member>> ArchiveReader::next() {
  archive_entry* entry = nullptr;
  const Utf8Names names;
  const int result = archive_read_next_header(archive_.get(), &entry);
  if (result == ARCHIVE_EOF) return std::nullopt;
  if (result != ARCHIVE_OK) return failed();
  Member member{.name = printable(archive_entry_pathname(entry))};
  PAGODA_TRY(check_type(member.name));
  if (archive_entry_is_encrypted(entry) != 0)
    return bad_input(fmt::format("{}: \"{}\" is encrypted; unpack the archive with its password", feed_->source->name(),
                                 member.name));
  if (const char* const link = archive_entry_hardlink(entry); link != nullptr) {
    member.kind = MemberKind::kHardLink;
    member.link = printable(link);
  } else if (archive_entry_filetype(entry) == AE_IFDIR) {
    member.kind = MemberKind::kFolder;
  } else if (archive_entry_filetype(entry) != AE_IFREG) {
    member.kind = MemberKind::kOther;
  }
  if (archive_entry_size_is_set(entry) != 0 && kind_ == Kind::kArchive)
    member.size = static_cast<std::uint64_t>(archive_entry_size(entry));
  return member;
}

Input<std::size_t> ArchiveReader::read(std::span<std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const la_ssize_t count = archive_read_data(archive_.get(), &bytes[done], bytes.size() - done);
    if (count < 0) return failed();
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

}  // namespace pagoda::sim
