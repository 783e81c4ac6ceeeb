#include "pagoda/sim/image/byte_source.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"
#include "pagoda/sim/image/skippable_frame.h"

namespace pagoda::sim {

namespace {

constexpr std::size_t kBufferBytes = 256 << 10;

bool begins_with_zstd_frame(std::span<const std::byte> bytes) {
  bytes = behind_skippable_frames(bytes);
  return bytes.size() >= sizeof(std::uint32_t) && ByteFields(bytes).u32(0) == ZSTD_MAGICNUMBER;
}

}  // namespace

ByteSource::ByteSource(std::string name, int window_log_most)
    : name_(std::move(name)), file_(nullptr, std::fclose), zstd_(ZSTD_createDCtx(), ZSTD_freeDCtx) {
  ZSTD_DCtx_setParameter(zstd_.get(), ZSTD_d_windowLogMax, window_log_most);
}

Input<ByteSource> ByteSource::open(const std::string& path, int window_log_most) {
  ByteSource source(path, window_log_most);
  source.file_.reset(std::fopen(path.c_str(), "rbe"));
  if (source.file_ == nullptr)
    return bad_input(fmt::format("{}: cannot be read: {}; name a page map or a memory image", path, strerror(errno)));
  std::setvbuf(source.file_.get(), nullptr, _IONBF, 0);  // in_ is the buffer.
  source.in_.resize(kBufferBytes);
  PAGODA_TRY(source.detect());
  return source;
}

Input<ByteSource> ByteSource::from_bytes(std::string name, std::vector<std::byte> file, int window_log_most) {
  ByteSource source(std::move(name), window_log_most);
  source.in_ = std::move(file);
  source.in_size_ = source.in_.size();
  PAGODA_TRY(source.detect());
  return source;
}

Input<ByteSource> ByteSource::from_reader(std::string name, ReadBytes read_bytes, int window_log_most) {
  ByteSource source(std::move(name), window_log_most);
  source.read_bytes_ = std::move(read_bytes);
  source.in_.resize(kBufferBytes);
  PAGODA_TRY(source.detect());
  return source;
}

Input<> ByteSource::detect() {
  PAGODA_TRY(refill());
  compressed_ = begins_with_zstd_frame(std::span(in_).first(in_size_));
  return {};
}

Input<> ByteSource::refill() {
  if (at_hand() != 0 || (file_ == nullptr && read_bytes_ == nullptr)) return {};
  in_at_ = 0;
  if (read_bytes_ != nullptr) {
    in_size_ = 0;  // Nothing is at hand if it fails.
    in_size_ = PAGODA_TRY(read_bytes_(in_));
    return {};
  }
  in_size_ = std::fread(in_.data(), 1, in_.size(), file_.get());
  if (std::ferror(file_.get()) != 0)
    return bad_input(fmt::format("{}: cannot be read: {}; name a page map or a memory image", name_, strerror(errno)));
  return {};
}

std::unexpected<InputError> ByteSource::damaged(std::string_view what) const {
  return bad_input(fmt::format("{}: {}; copy or make it again", name_, what));
}

void ByteSource::push_back(std::span<const std::byte> bytes) {
  pushed_.insert(pushed_.end(), bytes.rbegin(), bytes.rend());
}

std::optional<int> ByteSource::plain_file() const {
  struct stat status{};
  if (file_ == nullptr || compressed_ || fstat(fileno(file_.get()), &status) != 0 || !S_ISREG(status.st_mode))
    return {};
  return fileno(file_.get());
}

Input<std::vector<std::byte>> ByteSource::peek(std::size_t most) {
  std::vector<std::byte> bytes(most);
  bytes.resize(PAGODA_TRY(read(bytes)));
  push_back(bytes);
  return bytes;
}

Input<std::size_t> ByteSource::read(std::span<std::byte> bytes) {
  const std::size_t again = std::min(bytes.size(), pushed_.size());
  std::copy_n(pushed_.rbegin(), again, bytes.begin());
  pushed_.resize(pushed_.size() - again);
  if (again == bytes.size()) return again;
  const auto count = compressed_ ? read_frames(bytes.subspan(again)) : read_file(bytes.subspan(again));
  if (!count) return count;
  return again + *count;
}

Input<std::size_t> ByteSource::read_file(std::span<std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    PAGODA_TRY(refill());
    const std::size_t n = std::min(at_hand(), bytes.size() - done);
    if (n == 0) break;
    std::memcpy(&bytes[done], &in_[in_at_], n);
    in_at_ += n;
    done += n;
  }
  return done;
}

Input<std::size_t> ByteSource::read_frames(std::span<std::byte> bytes) {
  ZSTD_outBuffer out{bytes.data(), bytes.size(), 0};
  while (out.pos < out.size) {
    PAGODA_TRY(refill());
    if (at_hand() == 0 && !inside_frame_) break;
    ZSTD_inBuffer in{in_.data(), in_size_, in_at_};
    const std::size_t before = out.pos;
    const std::size_t result = ZSTD_decompressStream(zstd_.get(), &out, &in);
    if (ZSTD_isError(result) != 0) return damaged(fmt::format("damaged: {}", ZSTD_getErrorName(result)));
    if (in.pos == in_at_ && out.pos == before && at_hand() == 0) return damaged("truncated");
    in_at_ = in.pos;
    inside_frame_ = result != 0;
  }
  return out.pos;
}

}  // namespace pagoda::sim
