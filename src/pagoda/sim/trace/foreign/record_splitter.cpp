#include "pagoda/sim/trace/foreign/record_splitter.h"

#include <cstring>
#include <span>

#include "pagoda/base/status.h"

namespace pagoda::sim {

namespace {
constexpr std::size_t kReadBytes = 128 << 10;
}  // namespace

RecordSplitter::RecordSplitter(DecompressedFile& file, std::size_t record_bytes)
    : file_(file), record_bytes_(record_bytes), buffer_(kReadBytes + kBytesMax) {}

// Reads more behind what is left, which is less than a record.
Input<> RecordSplitter::fill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  const std::size_t count = PAGODA_TRY(file_.read(std::span(buffer_).subspan(end_)));
  at_end_ = count == 0;
  end_ += count;
  bytes_read_ += count;
  return {};
}

SplitRecord RecordSplitter::take(std::size_t length, std::size_t used, SplitRecord::State state) {
  const SplitRecord record{state, {buffer_.data() + begin_, length}};
  begin_ += used;
  return record;
}

Input<SplitRecord> RecordSplitter::next() {
  using State = SplitRecord::State;
  for (;;) {
    const std::size_t left = end_ - begin_;
    if (record_bytes_ != 0) {
      if (left >= record_bytes_) return take(record_bytes_, record_bytes_, State::kWhole);
    } else if (const void* const feed = std::memchr(buffer_.data() + begin_, '\n', left)) {
      const auto length = static_cast<std::size_t>(static_cast<const char*>(feed) - (buffer_.data() + begin_));
      if (!dropping_) {
        return length > kBytesMax ? take(kBytesMax, length + 1, State::kTooLong)
                                  : take(length, length + 1, State::kWhole);
      }
      dropping_ = false;
      begin_ += length + 1;
      continue;
    } else if (dropping_) {
      begin_ = end_;
    } else if (left > kBytesMax) {
      dropping_ = true;
      return take(kBytesMax, left, State::kTooLong);
    }
    if (at_end_) return begin_ == end_ ? SplitRecord() : take(end_ - begin_, end_ - begin_, State::kCut);
    PAGODA_TRY(fill());
  }
}

}  // namespace pagoda::sim
