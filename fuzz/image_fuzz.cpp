// Any bytes at all: what reads memory images refuses them in one line, or gives images that keep what their headers
// promise.
//
// The first byte chooses how the rest becomes a file: as it is; as a page map or an archive that is nearly right; with the
// beginning of one of the formats of the table; or as changes to a small dump of a foreign format, so that the fuzzer
// reaches what follows headers. A second one chooses what is around that.
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/base/check.h"
#include "pagoda/sim/image/image_contents.h"
#include "pagoda/sim/image/image_files.h"
#include "pagoda/sim/image/image_format.h"
#include "pagoda/sim/image/image_statistics.h"
#include "pagoda/sim/image/page_maker.h"
#include "pagoda/sim/image/page_map.h"
#include "pagoda/sim/testing/hex_sample.h"

namespace {

using pagoda::sim::PageMap;

constexpr int kWindowLogMost = 20;
constexpr std::size_t kPagesMade = 64;  // Making says little new after some pages.

void check_message(const std::string& message) {
  PAGODA_CHECK(message.starts_with("f: "));
  PAGODA_CHECK(message.find('\n') == std::string::npos);
  PAGODA_CHECK(message.find(';') != std::string::npos);
}

void append(std::vector<std::byte>& file, std::span<const std::byte> bytes) {
  file.insert(file.end(), bytes.begin(), bytes.end());
}

// A small map whose counts and planes come from the input, again and again; most of what it says is possible.
std::vector<std::byte> as_map(std::span<const std::byte> input) {
  if (input.size() < 4) return {};
  std::size_t at = 0;
  const auto next = [&] { return std::to_integer<unsigned>(input[at++ % input.size()]); };
  const unsigned cut = next() % 8;
  const unsigned pages = 1 + next();
  const unsigned distinct = 1 + next() % pages;
  const std::string header =
      "VPM1\nimage a.mem " + std::to_string(pages) + "\ndistinct " + std::to_string(distinct) + "\n\n";
  std::vector<std::byte> file;
  append(file, std::as_bytes(std::span(header)));
  const auto add = [&](std::uint64_t value, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) file.push_back(static_cast<std::byte>(value >> (8 * i)));
  };
  for (unsigned i = 0; i < distinct; ++i) {
    const unsigned kind = next();
    add(kind < 250 ? 1 + kind % 2 : kind % 4, 1);
  }
  for (unsigned i = 0; i < distinct; ++i) add(next() * 0x100000001U + i, 8);
  for (unsigned i = 0; i < 2 * distinct; ++i) add(next() * 16 + (next() == 0 ? 0 : 1), 2);
  for (unsigned i = 0; i < pages; ++i) add(next() % (distinct + (next() == 0 ? 1 : 0)), 4);
  if (cut == 0) file.resize(file.size() - next() % 8);
  return file;
}

// The input with the checksum of a tar header put right.
std::vector<std::byte> as_archive(std::span<const std::byte> input) {
  constexpr std::size_t kBlock = 512;
  std::vector<std::byte> file(input.begin(), input.end());
  for (std::size_t at = 0; at + kBlock <= file.size(); at += kBlock) {
    const auto block = std::span(file).subspan(at, kBlock);
    const std::string magic = "ustar";
    std::ranges::copy(std::as_bytes(std::span(magic)), block.begin() + 257);
    std::ranges::fill(block.subspan(148, 8), std::byte{' '});
    const unsigned sum = std::accumulate(block.begin(), block.end(), 0U,
                                         [](unsigned a, std::byte b) { return a + std::to_integer<unsigned>(b); });
    for (std::size_t digit = 0; digit < 6; ++digit)
      block[148 + digit] = static_cast<std::byte>('0' + (sum >> (3 * (5 - digit)) & 7));
    block[154] = std::byte{0};
  }
  return file;
}

std::vector<std::byte> compressed(std::span<const std::byte> bytes) {
  std::vector<std::byte> file(ZSTD_compressBound(bytes.size()));
  file.resize(ZSTD_compress(file.data(), file.size(), bytes.data(), bytes.size(), 1));
  return file;
}

// The input with the magic of the format.
std::vector<std::byte> as_format(const pagoda::sim::ImageFormat& format, unsigned choice,
                                 std::span<const std::byte> input) {
  std::vector<std::byte> file(input.begin(), input.end());
  if (format.magics.empty()) return file;
  const pagoda::sim::Magic& magic = format.magics[choice % format.magics.size()];
  file.resize(std::max(file.size(), magic.at + magic.bytes.size()));
  std::ranges::copy(std::as_bytes(std::span(magic.bytes)), file.begin() + static_cast<std::ptrdiff_t>(magic.at));
  return file;
}

// One of the samples with bytes changed, and perhaps cut.
std::vector<std::byte> as_dump(std::span<const std::byte> input) {
  namespace samples = pagoda::sim::samples;
  static const std::vector<std::vector<std::byte>> dumps = {
      pagoda::sim::hex_sample(samples::kElf64),       pagoda::sim::hex_sample(samples::kElf32),
      pagoda::sim::hex_sample(samples::kKdump),       samples::flat(),
      pagoda::sim::hex_sample(samples::kLime),        pagoda::sim::hex_sample(samples::kAvml),
      pagoda::sim::hex_sample(samples::kWindowsFull), pagoda::sim::hex_sample(samples::kWindowsBitmap),
      pagoda::sim::hex_sample(samples::kWindows32)};
  if (input.size() < 3) return {};
  const auto number = [&](std::size_t at) { return std::to_integer<std::size_t>(input[at]); };
  std::vector<std::byte> file = dumps[number(0) % dumps.size()];
  for (std::size_t i = 3; i + 3 <= input.size(); i += 3)
    file[(number(i) | number(i + 1) << 8) % file.size()] = input[i + 2];
  if (number(1) % 4 == 0) file.resize(file.size() - std::min(file.size(), number(2) << number(1) % 7));
  return file;
}

struct MadeFile {
  std::vector<std::byte> bytes;
  pagoda::sim::TakeAs as = pagoda::sim::TakeAs::kWhatItIs;
};

MadeFile make_file(std::span<const std::byte> input) {
  if (input.size() < 2) return {};
  const auto choice = std::to_integer<unsigned>(input[0]);
  const auto around = std::to_integer<unsigned>(input[1]);
  const auto rest = input.subspan(2);
  const auto& formats = pagoda::sim::image_formats();
  MadeFile file{.bytes = {rest.begin(), rest.end()}};
  if (choice % 8 == 1) file.bytes = as_map(rest);
  if (choice % 8 == 2) file.bytes = as_archive(rest);
  if (choice % 8 == 3 || choice % 8 == 4) file.bytes = as_format(formats[choice / 8 % formats.size()], around, rest);
  if (choice % 8 > 4) file.bytes = as_dump(rest);
  if (around % 8 == 1) file.bytes = compressed(file.bytes);
  if (around % 8 == 2) file.as = pagoda::sim::TakeAs::kRaw;
  return file;
}

void check_map(const PageMap& map) {
  std::size_t pages = 0;
  for (const PageMap::Image& image : map.images()) {
    PAGODA_CHECK_EQ(image.first, pages);
    pages += image.pages.value();
    PAGODA_CHECK(map.find(image.name) != nullptr);
    for (const std::uint32_t number : map.numbers(image)) PAGODA_CHECK_LT(number, map.contents().size());
  }
  const auto rows = pagoda::sim::image_figures(map, map.images());
  PAGODA_CHECK_EQ(rows.back().together.pages.value(), pages);
  PAGODA_CHECK_LE(rows.back().together.distinct.value(), map.contents().size());
}

// Every page of the contents can be made, and zero pages are those that say so.
void check_contents(const std::shared_ptr<const PageMap>& map,
                    const std::shared_ptr<const pagoda::sim::ContentTable>& table) {
  std::array<std::byte, pagoda::kPageBytes> page{};
  for (const PageMap::Image& image : map->images()) {
    const pagoda::sim::ImageContents contents(map, table, image, "f");
    for (std::size_t number = 0; number < std::min(kPagesMade, contents.pages().value()); ++number) {
      contents.fill(number, page);
      PAGODA_CHECK_EQ(pagoda::sim::is_zero_page(page), contents.is_zero(number));
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  MadeFile made = make_file(std::as_bytes(std::span(data, size)));
  auto source = pagoda::sim::ByteSource::from_bytes("f", std::move(made.bytes), kWindowLogMost);
  PAGODA_CHECK(source.has_value());  // Nothing is read that could fail.
  auto file = pagoda::sim::ImageFile::from_source(std::move(*source), made.as);
  if (!file) {
    check_message(file.error().message);
    return 0;
  }
  if (file->format->use == pagoda::sim::FormatUse::kPageMap) {
    auto map = PageMap::read(file->source);
    if (!map) {
      check_message(map.error().message);
      return 0;
    }
    check_map(*map);
    check_contents(std::make_shared<const PageMap>(std::move(*map)), nullptr);
    return 0;
  }
  pagoda::sim::ImageReader reader(made.as);
  if (const auto read = reader.read(*file, [](const std::string&) { return true; }); !read) {
    check_message(read.error().message);
    return 0;
  }
  if (reader.empty()) return 0;
  const auto map = std::make_shared<const PageMap>(reader.take_map());
  check_map(*map);
  check_contents(map, reader.take_contents());
  return 0;
}
