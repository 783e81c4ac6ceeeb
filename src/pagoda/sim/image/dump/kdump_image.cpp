#include "pagoda/sim/image/dump/kdump_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"
#include "pagoda/sim/image/dump/bit_runs.h"
#include "pagoda/sim/image/dump/kdump_header.h"
#include "pagoda/sim/image/dump/page_codec.h"

namespace pagoda::sim {

namespace {

constexpr std::size_t kDescriptorBytes = 24;
constexpr std::uint32_t kIncomplete = 8;  // The header's status: makedumpfile ran out of space.

struct PageDescriptor {
  std::uint64_t place = 0;
  std::uint32_t bytes = 0;
  std::uint32_t flags = 0;
};

class KdumpImage : public MemoryImage {
 public:
  KdumpImage(std::shared_ptr<const StoredBytes> file, const KdumpHeader& header)
      : file_(std::move(file)), header_(header), block_(header.block_bytes) {}

  // Reads the bitmaps and looks at every descriptor.
  Input<> find_pages();
  // `place` of a range is the number of its first page's descriptor.
  Input<> read(const StoredRange& range, std::uint64_t at, std::span<std::byte> bytes) override;

 private:
  // Pages that the bitmap says are stored, and are not: their descriptors say so, or they lie behind the file's end.
  struct Missing {
    std::uint64_t lost = 0, cut = 0;
  };

  // The part of the run that this file is about: of a set, each has the bitmaps of all.
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> own(std::uint64_t first, std::uint64_t count) const {
    const std::uint64_t from = std::max(first, header_.first);
    return {from, std::max(from, std::min(first + count, header_.end)) - from};
  }
  // A run of stored pages: adds those whose descriptors and bytes are in the file.
  Input<> add_run(std::uint64_t first, std::uint64_t count, Missing& missing);
  Input<> check(const PageDescriptor& descriptor, std::uint64_t page) const;
  Input<> warn_of(const Missing& missing, std::uint64_t stored);
  Input<> load_block(std::uint64_t number);
  [[nodiscard]] PageDescriptor descriptor_in(std::span<const std::byte> bytes) const;
  [[nodiscard]] PageCount pages_of_blocks(std::uint64_t blocks) const {
    return PageCount(blocks) * (header_.block_bytes / kPageBytes);
  }

  std::shared_ptr<const StoredBytes> file_;
  KdumpHeader header_;
  std::uint64_t descriptors_ = 0;          // That were looked at.
  std::vector<std::byte> block_;           // The page that was unpacked last.
  std::optional<std::uint64_t> block_at_;  // Where in the file it lies: pages may share their bytes.
};

PageDescriptor KdumpImage::descriptor_in(std::span<const std::byte> bytes) const {
  const ByteFields fields(bytes, header_.order);
  return {.place = fields.u64(0), .bytes = fields.u32(8), .flags = fields.u32(12)};
}

Input<> KdumpImage::check(const PageDescriptor& descriptor, std::uint64_t page) const {
  if (!is_page_codec(descriptor.flags))
    return file_->damaged(
        fmt::format("damaged: page {:#x} is packed in an unknown way ({:#x})", page, descriptor.flags));
  const bool raw = static_cast<PageCodec>(descriptor.flags) == PageCodec::kRaw;
  if (descriptor.bytes == 0 || (raw && descriptor.bytes != header_.block_bytes) ||
      descriptor.bytes > 2 * header_.block_bytes)
    return file_->damaged(fmt::format("damaged: page {:#x} has {} bytes", page, descriptor.bytes));
  return {};
}

Input<> KdumpImage::add_run(std::uint64_t first, std::uint64_t count, Missing& missing) {
  constexpr std::uint64_t kPartDescriptors = 40'000;
  StoredRange run{.first = first * header_.block_bytes, .place = descriptors_};
  for (std::uint64_t done = 0; done < count;) {
    const std::uint64_t part = std::min(kPartDescriptors, count - done);
    std::vector<std::byte> bytes(part * kDescriptorBytes);
    const std::uint64_t table = sum_or_most(header_.descriptors, descriptors_ * kDescriptorBytes);
    const auto have = PAGODA_TRY(file_->read(table, bytes)) / kDescriptorBytes;
    for (std::uint64_t i = 0; i < have; ++i) {
      const PageDescriptor descriptor = descriptor_in(std::span(bytes).subspan(i * kDescriptorBytes, kDescriptorBytes));
      const bool lost = descriptor.place == 0;
      const bool cut = !lost && sum_or_most(descriptor.place, descriptor.bytes) > file_->size();
      if (!lost) PAGODA_TRY(check(descriptor, first + done + i));
      missing.lost += lost ? 1 : 0;
      missing.cut += cut ? 1 : 0;
      if (!lost && !cut) {
        run.bytes += header_.block_bytes;
        continue;
      }
      add_range(run);
      run = {.first = (first + done + i + 1) * header_.block_bytes, .place = descriptors_ + i + 1};
    }
    descriptors_ += have;
    done += have;
    if (have < part) {
      missing.cut += count - done;
      break;
    }
  }
  add_range(run);
  return {};
}

Input<> KdumpImage::find_pages() {
  Missing missing;
  std::uint64_t stored = 0;
  Input<> failed;
  const auto add = [&](std::uint64_t first, std::uint64_t count) {
    const auto [from, pages] = own(first, count);
    stored += pages;
    if (failed && pages != 0) failed = add_run(from, pages, missing);
  };
  PAGODA_TRY(for_each_bit_run(*file_, header_.stored_bitmap, header_.page_end, add));
  PAGODA_TRY(std::move(failed));
  return warn_of(missing, stored);
}

Input<> KdumpImage::warn_of(const Missing& missing, std::uint64_t stored) {
  constexpr std::array<std::pair<std::uint32_t, std::string_view>, 5> kLevels{{{1, "zero pages"},
                                                                               {2, "cached files"},
                                                                               {4, "cached files in use"},
                                                                               {8, "programs' memory"},
                                                                               {16, "free pages"}}};
  std::uint64_t memory = 0;
  if (header_.memory_bitmap != 0)
    PAGODA_TRY(for_each_bit_run(*file_, header_.memory_bitmap, header_.page_end,
                                [&](std::uint64_t first, std::uint64_t count) { memory += own(first, count).second; }));
  if (memory > stored) {
    const PageCount excluded = pages_of_blocks(memory - stored);
    std::string kinds;
    for (const auto& [bit, name] : kLevels)
      if ((header_.dump_level & bit) != 0) kinds += (kinds.empty() ? "" : ", ") + std::string(name);
    add_absent(excluded);
    warn(fmt::format("{} pages were left out of the dump{}{}; what they held is not known, and they are not counted",
                     excluded.value(), kinds.empty() ? "" : ": ", kinds));
  }
  if (missing.lost != 0) {
    add_absent(pages_of_blocks(missing.lost));
    warn(fmt::format("{} pages were lost when the dump was written", pages_of_blocks(missing.lost).value()));
  }
  if (missing.cut != 0) {
    add_absent(pages_of_blocks(missing.cut));
    warn(fmt::format("the file is cut: {} pages that its bitmap names are not in it",
                     pages_of_blocks(missing.cut).value()));
  }
  if ((header_.status & kIncomplete) != 0) warn("makedumpfile ran out of space: the dump is incomplete");
  if (header_.is_part)
    warn(fmt::format("one file of a set (makedumpfile --split): pages {:#x} to {:#x} only", header_.first,
                     header_.end - 1));
  return {};
}

Input<> KdumpImage::load_block(std::uint64_t number) {
  const auto bytes = PAGODA_TRY(
      file_->read_all(header_.descriptors + number * kDescriptorBytes, kDescriptorBytes, "the descriptor of a page"));
  const PageDescriptor descriptor = descriptor_in(bytes);
  if (block_at_ == descriptor.place) return {};
  block_at_.reset();
  const auto packed = PAGODA_TRY(file_->read_all(descriptor.place, descriptor.bytes, "a page"));
  if (!unpack_page(static_cast<PageCodec>(descriptor.flags), packed, block_))
    return file_->damaged(fmt::format("damaged: what is packed at {:#x} is no page", descriptor.place));
  block_at_ = descriptor.place;
  return {};
}

Input<> KdumpImage::read(const StoredRange& range, std::uint64_t at, std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    PAGODA_TRY(load_block(range.place + at / block_.size()));
    const auto from = std::span(block_).subspan(at % block_.size());
    const std::size_t count = std::min(from.size(), bytes.size());
    std::ranges::copy(from.first(count), bytes.begin());
    bytes = bytes.subspan(count);
    at += count;
  }
  return {};
}

}  // namespace

Input<std::unique_ptr<MemoryImage>> open_kdump(const std::shared_ptr<const StoredBytes>& file) {
  const auto header = PAGODA_TRY(read_kdump_header(*file));
  auto image = std::make_unique<KdumpImage>(file, header);
  PAGODA_TRY(image->find_pages());
  return image;
}

}  // namespace pagoda::sim
