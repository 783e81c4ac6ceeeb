#include "pagoda/sim/trace/trace_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "pagoda/base/check.h"
#include "pagoda/sim/trace/trace_format.h"

namespace pagoda::sim {

namespace {

namespace format = trace_format;

// Room for a record and two ticks.
constexpr std::size_t kAppendBytesMax = 3 * format::kVarintBytesMax;

InputError io_error(const std::string& path, std::string_view what) {
  return {fmt::format("{}: {}: {}; give a place that can be written", path, what, std::strerror(errno))};
}

// The place could be written before.
InputError write_error(const std::string& path, std::string_view what) {
  InputError error = io_error(path, what);
  error.failed = true;
  return error;
}

// A new file beside `path`; its name goes to `name`. Ordinary permissions, unlike mkstemp's.
int open_temporary(const std::string& path, std::string& name) {
  for (int attempt = 0; attempt < 100; ++attempt) {
    name = fmt::format("{}.{}.{}.tmp", path, getpid(), attempt);
    const int fd = open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

bool write_all(int fd, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

std::span<const std::uint8_t> as_bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Removes the temporary file unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path) : fd_(open_temporary(path, name_)) {}
  ~TemporaryFile() {
    if (fd_ < 0) return;
    close(fd_);
    if (!kept_) unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int fd() const { return fd_; }
  bool rename_to(const std::string& path) { return kept_ = std::rename(name_.c_str(), path.c_str()) == 0; }

 private:
  std::string name_;
  int fd_;
  bool kept_ = false;
};

}  // namespace

struct TraceWriter::Spool {
  int fd = -1;
  ZSTD_CCtx* zstd = ZSTD_createCCtx();
  std::vector<std::uint8_t> out = std::vector<std::uint8_t>(ZSTD_CStreamOutSize());
  std::optional<InputError> error;

  explicit Spool(int level) {
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_enableLongDistanceMatching, 1);
    ZSTD_CCtx_setParameter(zstd, ZSTD_c_windowLog, format::kWindowLogMax);
  }
  ~Spool() {
    ZSTD_freeCCtx(zstd);
    if (fd >= 0) close(fd);
  }
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  void compress(const std::string& path, std::span<const std::uint8_t> bytes, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (;;) {
      ZSTD_outBuffer to{out.data(), out.size(), 0};
      const std::size_t left = ZSTD_compressStream2(zstd, &to, &in, directive);
      if (ZSTD_isError(left)) {
        error = InputError{fmt::format("{}: zstd: {}; choose a lower level", path, ZSTD_getErrorName(left))};
        return;
      }
      if (!write_all(fd, std::span(out).first(to.pos))) {
        error = write_error(path, "cannot write the records");
        return;
      }
      if (directive == ZSTD_e_continue ? in.pos == in.size : left == 0) return;
    }
  }
};

Input<std::unique_ptr<TraceWriter>> TraceWriter::create(std::string path, TraceWriterOptions options) {
  struct stat existing{};
  if (stat(path.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode)) {
    return bad_input(fmt::format("{}: is not a regular file; give the name of a new .vmpt.zst file", path));
  }
  if (options.level < 1 || options.level > ZSTD_maxCLevel()) {
    return bad_input(fmt::format("{}: level {} does not exist; choose 1 to {}", path, options.level, ZSTD_maxCLevel()));
  }
  auto spool = std::make_unique<Spool>(options.level);
  std::string name;
  spool->fd = open_temporary(path, name);
  if (spool->fd < 0) return std::unexpected(io_error(path, "cannot create a file there"));
  unlink(name.c_str());
  return std::unique_ptr<TraceWriter>(new TraceWriter(std::move(path), std::move(options), std::move(spool)));
}

TraceWriter::TraceWriter(std::string path, TraceWriterOptions options, std::unique_ptr<Spool> spool)
    : path_(std::move(path)), options_(std::move(options)), spool_(std::move(spool)) {}

TraceWriter::~TraceWriter() = default;

void TraceWriter::append(const TraceRecord& record) {
  PAGODA_DCHECK_LT(record.page.value(), kTracePageLimit);
  PAGODA_DCHECK(record.access != TraceAccess());
  if (buffered_ > kBufferBytes - kAppendBytesMax) flush_buffer();
  census_.add(record);
  // A long pause in front of this record shall not be spread over those before it.
  if (record.raw_references >= format::kTickReferences && untold_references_ != 0) tick();
  const auto delta = static_cast<std::int64_t>(record.page.value() - page_.value());
  page_ = record.page;
  std::uint8_t* const end = format::put_varint(&buffer_[buffered_], format::zigzag(delta) << 3 | record.access.bits());
  buffered_ = static_cast<std::size_t>(end - buffer_.data());
  untold_references_ += record.raw_references;
  if (untold_references_ >= format::kTickReferences) tick();
}

void TraceWriter::append_references(std::uint64_t count) {
  census_.add_references(count);
  untold_references_ += count;
}

void TraceWriter::tick() {
  PAGODA_DCHECK_LT(untold_references_, std::uint64_t{1} << 61);
  std::uint8_t* const end = format::put_varint(&buffer_[buffered_], untold_references_ << 3);
  buffered_ = static_cast<std::size_t>(end - buffer_.data());
  untold_references_ = 0;
}

void TraceWriter::flush_buffer() {
  if (!spool_->error) spool_->compress(path_, std::span(buffer_).first(buffered_), ZSTD_e_continue);
  record_bytes_ += buffered_;
  buffered_ = 0;
}

Input<TraceInfo> TraceWriter::publish(std::string ending) {
  flush_buffer();
  if (untold_references_ != 0) tick();
  flush_buffer();
  if (!spool_->error) spool_->compress(path_, {}, ZSTD_e_end);
  if (spool_->error) return std::unexpected(*spool_->error);

  TraceInfo info;
  info.source = options_.source;
  info.space = options_.space;
  info.program = options_.program;
  info.ending = std::move(ending);
  info.window = options_.window;
  census_.fill(info);
  const std::string header = format::make_header(info, record_bytes_);
  std::string frame(ZSTD_compressBound(header.size()), '\0');
  ZSTD_CCtx_reset(spool_->zstd, ZSTD_reset_session_only);
  const std::size_t length = ZSTD_compress2(spool_->zstd, frame.data(), frame.size(), header.data(), header.size());
  if (ZSTD_isError(length)) return bad_input(fmt::format("{}: zstd: {}", path_, ZSTD_getErrorName(length)));
  frame.resize(length);

  TemporaryFile file(path_);
  if (file.fd() < 0) return std::unexpected(write_error(path_, "cannot create a file there"));
  format::SealHasher hasher;
  const auto put = [&](std::span<const std::uint8_t> bytes) {
    hasher.update(bytes);
    return write_all(file.fd(), bytes);
  };
  if (!put(as_bytes(frame))) return std::unexpected(write_error(path_, "cannot write"));
  for (off_t at = 0;;) {
    const ssize_t n = pread(spool_->fd, spool_->out.data(), spool_->out.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::unexpected(write_error(path_, "cannot read the records back"));
    if (n == 0) break;
    at += n;
    if (!put(std::span(spool_->out).first(static_cast<std::size_t>(n)))) {
      return std::unexpected(write_error(path_, "cannot write"));
    }
  }
  if (!write_all(file.fd(), hasher.seal()) || !file.rename_to(path_)) {
    return std::unexpected(write_error(path_, "cannot write"));
  }
  return info;
}

}  // namespace pagoda::sim
