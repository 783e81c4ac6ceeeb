#include "pagoda/sim/image/dump/windows_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/byte_fields.h"
#include "pagoda/sim/image/dump/bit_runs.h"

namespace pagoda::sim {

namespace {

// Where the fields stand in the headers for 64 and 32 bits.
struct WindowsLayout {
  bool is_64;
  std::size_t header_bytes;
  std::size_t run_count, page_count, runs, run_bytes;
  std::uint32_t runs_most;
  std::size_t dump_type;
};
constexpr WindowsLayout kWindows64{.is_64 = true,
                                   .header_bytes = 0x2000,
                                   .run_count = 0x88,
                                   .page_count = 0x90,
                                   .runs = 0x98,
                                   .run_bytes = 16,
                                   .runs_most = 43,
                                   .dump_type = 0xf98};
constexpr WindowsLayout kWindows32{.is_64 = false,
                                   .header_bytes = 0x1000,
                                   .run_count = 0x64,
                                   .page_count = 0x68,
                                   .runs = 0x6c,
                                   .run_bytes = 8,
                                   .runs_most = 86,
                                   .dump_type = 0xf88};
constexpr std::uint32_t kFullDump = 1, kBitmapDump = 5;

struct WindowsDumpType {
  std::uint32_t type;
  std::string_view name;
};
// Dumps that lack most of the memory, or have it in another form.
constexpr std::array kOtherDumps = {
    WindowsDumpType{2, "a kernel summary dump"}, WindowsDumpType{4, "a small dump (minidump) of the kernel"},
    WindowsDumpType{6, "a live dump"},           WindowsDumpType{8, "a dump of .dump /k"},
    WindowsDumpType{9, "a dump of .dump /ka"},   WindowsDumpType{10, "a dump of .dump /f"},
};

// The sizes of runs add up to what the header says, or it is damaged.
Input<> read_runs(const StoredBytes& file, const ByteFields& header, const WindowsLayout& layout, PlainRanges& image) {
  const std::uint32_t count = header.u32(layout.run_count);
  if (count == 0 || count > layout.runs_most)
    return file.damaged(
        fmt::format("damaged: its header lists {} runs of memory, not 1 to {}", count, layout.runs_most));
  const std::size_t half = layout.run_bytes / 2;
  std::uint64_t place = layout.header_bytes;
  std::uint64_t pages = 0;
  for (std::size_t run = 0; run < count; ++run) {
    const std::size_t at = layout.runs + run * layout.run_bytes;
    const std::uint64_t first = header.word(at, layout.is_64);
    const std::uint64_t size = header.word(at + half, layout.is_64);
    if (first >> (64 - kPageShift) != 0 || size >> (64 - kPageShift) != 0)
      return file.damaged(fmt::format("damaged: run {} of its memory has no possible place", run));
    image.add({.first = first << kPageShift, .bytes = size << kPageShift, .place = place});
    place = sum_or_most(place, size << kPageShift);
    pages = sum_or_most(pages, size);
  }
  if (pages != header.word(layout.page_count, layout.is_64))
    return file.damaged(fmt::format("damaged: its header says {} pages, and its runs have {}",
                                    header.word(layout.page_count, layout.is_64), pages));
  return {};
}

Input<> read_bitmap(const StoredBytes& file, const WindowsLayout& layout, PlainRanges& image) {
  constexpr std::size_t kBitmapHeader = 0x38;
  const std::uint64_t at = layout.header_bytes;
  const auto bytes = PAGODA_TRY(file.read_all(at, kBitmapHeader, "the header of its bitmap"));
  const ByteFields fields(bytes);
  const bool some = fields.text(0, 4) == "SDMP";
  if ((!some && fields.text(0, 4) != "FDMP") || fields.text(4, 4) != "DUMP")
    return file.damaged("damaged: it has no bitmap of its pages");
  std::uint64_t place = fields.u64(0x20);
  std::uint64_t pages = 0;
  PAGODA_TRY(
      for_each_bit_run(file, at + kBitmapHeader, fields.u64(0x30), [&](std::uint64_t first, std::uint64_t count) {
        image.add({.first = first << kPageShift, .bytes = count << kPageShift, .place = place});
        place = sum_or_most(place, count << kPageShift);
        pages += count;
      }));
  if (pages != fields.u64(0x28))
    return file.damaged(
        fmt::format("damaged: its header says {} pages, and its bitmap has {}", fields.u64(0x28), pages));
  if (some)
    image.warn("a bitmap dump holds the kernel's pages and few others; it says little about the memory of programs");
  return {};
}

}  // namespace

Input<std::unique_ptr<MemoryImage>> open_windows_dump(const std::shared_ptr<const StoredBytes>& file) {
  const auto magic = PAGODA_TRY(file->read_all(0, 8, "the header"));
  const WindowsLayout& layout = ByteFields(magic).text(0, 8) == "PAGEDU64" ? kWindows64 : kWindows32;
  const auto header = PAGODA_TRY(file->read_all(0, layout.header_bytes, "the header"));
  const ByteFields fields(header);
  auto image = std::make_unique<PlainRanges>(file);
  const std::uint32_t type = fields.u32(layout.dump_type);
  if (type == kFullDump) {
    PAGODA_TRY(read_runs(*file, fields, layout, *image));
  } else if (type == kBitmapDump) {
    PAGODA_TRY(read_bitmap(*file, layout, *image));
  } else {
    const auto* const other = std::ranges::find(kOtherDumps, type, &WindowsDumpType::type);
    return bad_input(fmt::format(
        "{}: {} of Windows, which does not hold all memory; set \"Complete memory dump\", or write one with DumpIt",
        file->name(), other != kOtherDumps.end() ? std::string(other->name) : fmt::format("a dump of type {}", type)));
  }
  image->warn_of_cut();
  return image;
}

}  // namespace pagoda::sim
