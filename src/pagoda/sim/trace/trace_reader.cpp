#include "pagoda/sim/trace/trace_reader.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "pagoda/base/status.h"
#include "pagoda/sim/trace/trace_format.h"

namespace pagoda::sim {

namespace format = trace_format;

namespace {

constexpr std::size_t kChunkBytes = 256 << 10;  // Decompressed at a time; stays in a second-level cache.
constexpr std::uint32_t kSkippableMagic = 0x184D2A50;
constexpr std::uint32_t kSkippableMagicMask = 0xFFFFFFF0;
// A segment ends without a tick after so many records: bounds memory on files that no recorder of ours wrote.
constexpr std::size_t kSegmentRecordsMax = 1 << 21;
constexpr std::size_t kScanBatch = 1024;

constexpr std::string_view kAgain = "copy or record it again";

Input<std::vector<std::uint8_t>> read_file(const std::string& path) {
  const auto fail_with_errno = [&] {
    return bad_input(fmt::format("{}: cannot be read: {}; give a trace file (.vmpt.zst)", path, std::strerror(errno)));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), std::fclose);
  if (file == nullptr) return fail_with_errno();
  std::vector<std::uint8_t> bytes;
  for (std::size_t step = kChunkBytes;; step = std::max(step, bytes.size() / 2)) {
    const std::size_t size = bytes.size();
    bytes.resize(size + step);
    const std::size_t n = std::fread(&bytes[size], 1, step, file.get());
    bytes.resize(size + n);
    if (std::ferror(file.get()) != 0) return fail_with_errno();
    if (n < step) return bytes;
  }
}

}  // namespace

// The decompressed bytes of all frames, a window at a time. kVarintBytesMax zeros are readable behind the window.
class TraceReader::ByteStream {
 public:
  ByteStream(std::vector<std::uint8_t> file, std::size_t sealed)
      : file_(std::move(file)), body_(file_.size() - sealed), zstd_(ZSTD_createDCtx(), ZSTD_freeDCtx) {
    ZSTD_DCtx_setParameter(zstd_.get(), ZSTD_d_windowLogMax, format::kWindowLogMax);
  }

  void rewind() {
    ZSTD_DCtx_reset(zstd_.get(), ZSTD_reset_session_only);
    read_ = produced_ = 0;
    begin = end = buffer_.data();
    complete_ = true;
    finished_ = false;
  }

  // The bytes at hand. The user moves `begin`.
  const std::uint8_t* begin = nullptr;
  const std::uint8_t* end = nullptr;
  [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>(end - begin); }
  [[nodiscard]] bool finished() const { return finished_; }           // Nothing comes behind `end`.
  [[nodiscard]] std::uint64_t produced() const { return produced_; }  // Bytes since the start.

  // Gets more bytes behind those that are left, or finds that there are none. The message says what is wrong with the
  // file.
  std::expected<void, std::string> more() {
    const std::size_t left = size();
    if (buffer_.size() < left + kChunkBytes + format::kVarintBytesMax) {
      std::vector<std::uint8_t> larger(std::max(buffer_.size() * 2, left + kChunkBytes + format::kVarintBytesMax));
      std::copy(begin, end, larger.begin());
      buffer_.swap(larger);
    } else if (left != 0) {
      std::memmove(buffer_.data(), begin, left);
    }
    ZSTD_outBuffer out{buffer_.data(), buffer_.size() - format::kVarintBytesMax, left};
    while (out.pos < out.size) {
      if (complete_ && read_ == body_) {
        finished_ = true;
        break;
      }
      if (complete_ && !frame_follows()) return std::unexpected("bytes behind its end");
      ZSTD_inBuffer in{file_.data(), body_, read_};
      const std::size_t before = out.pos;
      const std::size_t result = ZSTD_decompressStream(zstd_.get(), &out, &in);
      if (ZSTD_isError(result)) {
        return std::unexpected(fmt::format("damaged: {}", ZSTD_getErrorName(result)));
      }
      if (in.pos == read_ && out.pos == before && read_ == body_) return std::unexpected("truncated");
      read_ = in.pos;
      complete_ = result == 0;
    }
    produced_ += out.pos - left;
    begin = buffer_.data();
    end = buffer_.data() + out.pos;
    std::memset(buffer_.data() + out.pos, 0, format::kVarintBytesMax);
    return {};
  }

 private:
  // Whether a zstd frame or a skippable one begins at read_.
  [[nodiscard]] bool frame_follows() const {
    std::uint32_t magic = 0;
    if (body_ - read_ < sizeof magic) return false;
    std::memcpy(&magic, &file_[read_], sizeof magic);
    return magic == ZSTD_MAGICNUMBER || (magic & kSkippableMagicMask) == kSkippableMagic;
  }

  const std::vector<std::uint8_t> file_;
  const std::size_t body_;  // Bytes of the file in front of the seal.
  std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> zstd_;
  std::size_t read_ = 0;  // Bytes of the file that zstd has taken.
  std::uint64_t produced_ = 0;
  bool complete_ = true;  // Between two frames.
  bool finished_ = false;
  std::vector<std::uint8_t> buffer_;
};

TraceReader::TraceReader(TraceReader&&) noexcept = default;
TraceReader& TraceReader::operator=(TraceReader&&) noexcept = default;
TraceReader::~TraceReader() = default;

Input<TraceReader> TraceReader::open(const std::string& path) { return from_bytes(path, PAGODA_TRY(read_file(path))); }

Input<TraceReader> TraceReader::from_bytes(std::string name, std::vector<std::uint8_t> file) {
  std::uint32_t magic = 0;
  if (file.size() >= sizeof magic) std::memcpy(&magic, file.data(), sizeof magic);
  if (magic != ZSTD_MAGICNUMBER) {
    return bad_input(fmt::format(
        "{}: not a page trace (no zstd frame); give a .vmpt.zst file made by `pagoda trace record` or `import`", name));
  }
  const format::SealState seal = format::check_seal(file);
  if (seal == format::SealState::kWrong) {
    return bad_input(fmt::format("{}: damaged: the checksum does not match; {}", name, kAgain));
  }
  const bool sealed = seal == format::SealState::kGood;
  TraceReader reader(std::move(name));
  reader.stream_ = std::make_unique<ByteStream>(std::move(file), sealed ? format::kSealBytes : 0);
  reader.stream_->rewind();
  PAGODA_TRY(reader.read_header());
  if (reader.info_.version == 2 && !sealed) {
    return bad_input(
        fmt::format("{}: truncated, or bytes behind its end: the seal is not there; {}", reader.name_, kAgain));
  }
  if (reader.info_.version == 1) PAGODA_TRY(reader.read_summary());
  return reader;
}

TraceReader::TraceReader(std::string name) : name_(std::move(name)) {}

std::unexpected<InputError> TraceReader::damaged(std::string what) const {
  return bad_input(fmt::format("{}: {}; {}", name_, what, kAgain));
}

Input<> TraceReader::read_header() {
  format::Header header;
  for (;;) {
    if (const auto more = stream_->more(); !more) return damaged(more.error());
    const auto state = PAGODA_TRY(format::parse_header(name_, {stream_->begin, stream_->end}, header));
    if (state == format::HeaderState::kComplete) break;
    if (stream_->finished()) return damaged("truncated: the header has no end");
  }
  info_ = std::move(header.info);
  header_bytes_ = header.length;
  record_bytes_ = header.record_bytes;
  stream_->begin += header_bytes_;
  return {};
}

// Counts a VMPT1 trace, which says nothing about itself.
Input<> TraceReader::read_summary() {
  TraceCensus census;
  std::array<TraceRecord, kScanBatch> batch;
  for (;;) {
    const std::size_t count = PAGODA_TRY(next_batch(batch));
    if (count == 0) break;
    for (const TraceRecord& record : std::span(batch).first(count)) census.add(record);
  }
  census.fill(info_);
  info_.references = references_;
  rewind();
  return {};
}

void TraceReader::rewind() {
  stream_->rewind();
  segment_.clear();
  emitted_ = 0;
  leading_references_ = spread_references_ = trailing_references_ = spread_error_ = 0;
  page_ = records_ = references_ = 0;
  at_end_ = false;
  error_.reset();
  for (std::size_t skip = header_bytes_; skip != 0;) {
    if (stream_->size() == 0) {
      if (const auto more = stream_->more(); !more) {
        error_ = damaged(more.error()).error();
        return;
      }
    }
    const std::size_t n = std::min(skip, stream_->size());
    stream_->begin += n;
    skip -= n;
  }
}

Input<> TraceReader::finish() {
  at_end_ = true;
  if (info_.version == 1) return {};
  if (stream_->produced() != header_bytes_ + *record_bytes_) return damaged("its length is not what the header says");
  if (records_ != info_.records || references_ != info_.references) {
    return damaged(fmt::format("it holds {} records of {} references instead of {} of {}", records_, references_,
                               info_.records, info_.references));
  }
  return {};
}

// Decodes up to the record behind the next tick, or to the end.
Input<> TraceReader::fill_segment() {
  segment_.clear();
  emitted_ = 0;
  leading_references_ = spread_references_ = trailing_references_ = spread_error_ = 0;
  bool ticked = false;
  std::uint64_t page = page_;
  for (;;) {
    if (stream_->size() < format::kVarintBytesMax && !stream_->finished()) {
      if (const auto more = stream_->more(); !more) return damaged(more.error());
    }
    const std::uint8_t* in = stream_->begin;
    // A varint that starts before `safe` is whole, or ends in the zeros behind the end of the stream.
    const std::uint8_t* const safe = stream_->finished() ? stream_->end : stream_->end - (format::kVarintBytesMax - 1);
    while (in < safe) {
      std::uint64_t value = 0;
      const std::uint8_t* const next = format::take_varint(in, value);
      if (next == nullptr || next > stream_->end) [[unlikely]] {
        return damaged(fmt::format("record {} is no number", records_ + segment_.size()));
      }
      if ((value & 7) == 0) [[unlikely]] {
        references_ += value >> 3;
        (segment_.empty() ? leading_references_ : ticked ? trailing_references_ : spread_references_) += value >> 3;
        ticked = !segment_.empty();
      } else {
        if (ticked || segment_.size() == kSegmentRecordsMax) [[unlikely]] {
          stream_->begin = in;
          page_ = page;
          records_ += segment_.size();
          return {};
        }
        page += static_cast<std::uint64_t>(format::unzigzag(value >> 3));
        if (page >= kTracePageLimit) [[unlikely]] {
          return damaged(fmt::format("record {} names the impossible page {:#x}", records_ + segment_.size(), page));
        }
        segment_.push_back(page << 3 | (value & 7));
      }
      in = next;
    }
    stream_->begin = in;
    if (stream_->finished() && stream_->size() == 0) break;
  }
  page_ = page;
  records_ += segment_.size();
  return finish();
}

Input<std::size_t> TraceReader::next_batch(std::span<TraceRecord> records) {
  std::size_t count = 0;
  while (count < records.size()) {
    if (error_) return std::unexpected(*error_);
    if (emitted_ == segment_.size()) {
      if (at_end_) break;
      if (const Input<> filled = fill_segment(); !filled) {
        error_ = filled.error();
        return std::unexpected(*error_);
      }
      continue;
    }
    const std::size_t n = std::min(records.size() - count, segment_.size() - emitted_);
    const std::uint64_t each = spread_references_ / segment_.size();
    const std::uint64_t rest = spread_references_ % segment_.size();
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t packed = segment_[emitted_ + i];
      std::uint64_t share = each;
      spread_error_ += rest;
      if (spread_error_ >= segment_.size()) {
        spread_error_ -= segment_.size();
        ++share;
      }
      records[count + i] = {Vpn(packed >> 3), share, TraceAccess::from_bits(packed)};
    }
    if (emitted_ == 0) records[count].raw_references += leading_references_;
    emitted_ += n;
    count += n;
    if (emitted_ == segment_.size()) records[count - 1].raw_references += trailing_references_;
  }
  return count;
}

}  // namespace pagoda::sim
