#include "pagoda/sim/image/dump/avml_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"
#include "pagoda/sim/image/dump/range_header.h"
#include "pagoda/sim/image/dump/snappy_frames.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kLeftOutBytes = 16 << 20;  // Pieces that AVML looks at.

class AvmlImage : public MemoryImage {
 public:
  explicit AvmlImage(std::shared_ptr<const StoredBytes> file) : file_(std::move(file)) {}

  // Finds where the ranges' streams lie, without unpacking.
  Input<> find_ranges();
  Input<> read(const StoredRange& range, std::uint64_t at, std::span<std::byte> bytes) override;

 private:
  // A stream that is being unpacked.
  struct Stream {
    std::uint64_t place;
    SnappyFrames frames;
    std::uint64_t chunk_at = 0;  // Of the chunk, in the range.
    std::vector<std::byte> chunk;
  };

  // Adds the range whose stream begins at `at` and gives where the next header lies; the file's end if it is cut.
  Input<std::uint64_t> find_range(const RangeHeader& header, std::uint64_t at);

  std::shared_ptr<const StoredBytes> file_;
  std::optional<Stream> stream_;
};

Input<std::uint64_t> AvmlImage::find_range(const RangeHeader& header, std::uint64_t at) {
  SnappyFrames frames(file_, at);
  std::uint64_t found = 0;
  while (found < header.bytes) {
    const auto plain = PAGODA_TRY(frames.skip());
    if (!plain) break;
    found += *plain;
  }
  if (found > header.bytes)
    return file_->damaged(fmt::format("damaged: the stream at {:#x} holds more than its range", at));
  add_range({.first = header.first, .bytes = found, .place = at});
  if (found < header.bytes) {
    const PageCount pages(parts_of(header.bytes - found, kPageBytes));
    add_absent(pages);
    warn(fmt::format("the file is cut: {} pages that its headers name are not in it", pages.value()));
    return file_->size();
  }
  const auto length = PAGODA_TRY(file_->read_all(frames.at(), sizeof(std::uint64_t), "the length of a stream"));
  if (ByteFields(length).u64(0) != frames.at() - at)
    return file_->damaged(fmt::format("damaged: the length of the stream at {:#x} does not match", at));
  return frames.at() + sizeof(std::uint64_t);
}

Input<> AvmlImage::find_ranges() {
  using namespace std::string_view_literals;
  std::uint64_t end = 0;  // Of the range before.
  bool left_out = false;
  for (std::uint64_t at = 0; at < file_->size();) {
    const auto header = PAGODA_TRY(read_range_header(*file_, at, "AVML\2\0\0\0"sv));
    left_out |= at != 0 && header.first > end && header.first - end >= kLeftOutBytes;
    end = sum_or_most(header.first, header.bytes);
    at = PAGODA_TRY(find_range(header, at + kRangeHeaderBytes));
  }
  if (left_out) warn("gaps of 16 MiB and more may be zero pages: AVML leaves those out, and they are not counted");
  return {};
}

Input<> AvmlImage::read(const StoredRange& range, std::uint64_t at, std::span<std::byte> bytes) {
  if (!stream_ || stream_->place != range.place || at < stream_->chunk_at)
    stream_.emplace(Stream{.place = range.place, .frames = SnappyFrames(file_, range.place)});
  while (!bytes.empty()) {
    const std::uint64_t chunk_end = stream_->chunk_at + stream_->chunk.size();
    if (at < chunk_end) {
      const auto from = std::span(stream_->chunk).subspan(at - stream_->chunk_at);
      const std::size_t count = std::min(from.size(), bytes.size());
      std::ranges::copy(from.first(count), bytes.begin());
      bytes = bytes.subspan(count);
      at += count;
      continue;
    }
    stream_->chunk = PAGODA_TRY(stream_->frames.next());
    stream_->chunk_at = chunk_end;
  }
  return {};
}

}  // namespace

Input<std::unique_ptr<MemoryImage>> open_avml(const std::shared_ptr<const StoredBytes>& file) {
  auto image = std::make_unique<AvmlImage>(file);
  PAGODA_TRY(image->find_ranges());
  return image;
}

}  // namespace pagoda::sim
