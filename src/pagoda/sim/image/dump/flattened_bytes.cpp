#include "pagoda/sim/image/dump/flattened_bytes.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"
#include "pagoda/sim/image/covered.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kFlatHeaderBytes = 4096;
constexpr std::size_t kRecordHeaderBytes = 16;
constexpr std::uint64_t kEndMark = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kOffsetMost = std::numeric_limits<std::int64_t>::max();

struct FlatRecord {
  std::uint64_t first = 0;
  std::uint64_t end = 0;
  std::uint64_t place = 0;  // Of the byte that belongs at `first`.
};

class FlattenedBytes : public StoredBytes {
 public:
  // `records` are ascending, and none overlaps another.
  FlattenedBytes(std::shared_ptr<const StoredBytes> file, std::vector<FlatRecord> records)
      : StoredBytes(file->name()), file_(std::move(file)), records_(std::move(records)) {}

  [[nodiscard]] std::uint64_t size() const override { return records_.empty() ? 0 : records_.back().end; }
  Input<std::size_t> read(std::uint64_t at, std::span<std::byte> bytes) const override;

 private:
  std::shared_ptr<const StoredBytes> file_;
  std::vector<FlatRecord> records_;
};

Input<std::size_t> FlattenedBytes::read(std::uint64_t at, std::span<std::byte> bytes) const {
  if (at >= size()) return 0;
  const std::uint64_t end = at + std::min<std::uint64_t>(bytes.size(), size() - at);
  std::ranges::fill(bytes.first(end - at), std::byte{0});
  auto record = std::ranges::upper_bound(records_, at, {}, &FlatRecord::end);
  for (; record != records_.end() && record->first < end; ++record) {
    const std::uint64_t from = std::max(at, record->first);
    const std::uint64_t to = std::min(end, record->end);
    const auto part = bytes.subspan(from - at, to - from);
    const auto count = PAGODA_TRY(file_->read(record->place + (from - record->first), part));
    if (count < part.size()) return file_->damaged("became shorter while it was read");
  }
  return end - at;
}

Input<std::vector<FlatRecord>> read_records(const StoredBytes& file) {
  std::vector<FlatRecord> records;
  for (std::uint64_t at = kFlatHeaderBytes;;) {
    const auto bytes = PAGODA_TRY(file.read_all(at, kRecordHeaderBytes, "the mark of its end"));
    const ByteFields fields(bytes, std::endian::big);
    const std::uint64_t first = fields.u64(0);
    const std::uint64_t size = fields.u64(8);
    if (first == kEndMark && size == kEndMark) return records;
    at += kRecordHeaderBytes;
    if (first > kOffsetMost || size == 0 || size > kOffsetMost - first)
      return file.damaged(fmt::format("damaged: the record at {:#x} has no possible place", at - kRecordHeaderBytes));
    if (size > file.size() - at) return file.damaged(fmt::format("cut: the record at {:#x} goes past its end", at));
    records.push_back({.first = first, .end = first + size, .place = at});
    at += size;
  }
}

}  // namespace

Input<std::unique_ptr<StoredBytes>> unflatten(const std::shared_ptr<const StoredBytes>& file) {
  const auto header = PAGODA_TRY(file->read_all(0, 32, "the header"));
  const ByteFields fields(header, std::endian::big);
  if (fields.u64(16) != 1 || fields.u64(24) != 1)
    return file->damaged("damaged: a flattened file of unknown type or version");
  auto records = PAGODA_TRY(read_records(*file));
  std::ranges::reverse(records);  // The last one counts.
  std::vector<FlatRecord> pieces;
  Covered covered;
  for (const FlatRecord& record : records)
    cover(covered, record.first, record.end, [&](std::uint64_t from, std::uint64_t to) {
      pieces.push_back({.first = from, .end = to, .place = record.place + (from - record.first)});
    });
  std::ranges::sort(pieces, {}, &FlatRecord::first);
  return std::make_unique<FlattenedBytes>(file, std::move(pieces));
}

}  // namespace pagoda::sim
