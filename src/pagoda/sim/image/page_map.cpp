#include "pagoda/sim/image/page_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <set>
#include <utility>

#include "pagoda/base/status.h"
#include "pagoda/sim/parse_number.h"

namespace pagoda::sim {

namespace {

static_assert(std::endian::native == std::endian::little);  // The planes are copied as they are.

constexpr std::size_t kHeaderMost = 64 << 10;  // Bytes: a few hundred images.
constexpr std::size_t kNameMost = 200;         // Bytes.
constexpr int kMapWindowLogMost = 27;          // What zstd accepts by default.
// Elements of a plane that are made room for before they are there: a count in a damaged header costs no memory.
constexpr std::size_t kPlaneStep = 1 << 18;
constexpr std::uint16_t kCompressedMost = kPageBytes;

struct Header {
  std::vector<PageMap::Image> images;
  std::uint64_t pages = 0;
  std::uint64_t distinct = 0;
};

// The text up to the empty line; what follows it goes back into the source.
Input<std::string> read_header_text(ByteSource& source) {
  std::string text;
  std::array<char, 1024> part{};
  while (text.size() < kHeaderMost) {
    const auto count = PAGODA_TRY(source.read(std::as_writable_bytes(std::span(part))));
    text.append(part.data(), count);
    if (!text.starts_with(PageMap::kMagic))
      return bad_input(fmt::format("{}: not a page map (VPM1); give a .vpm.zst file", source.name()));
    if (const std::size_t end = text.find("\n\n"); end != std::string::npos) {
      source.push_back(std::as_bytes(std::span(text).subspan(end + 2)));
      text.resize(end + 1);
      return text;
    }
    if (count < part.size()) break;
  }
  return source.damaged("truncated or damaged: the header has no end");
}

bool parse_image(std::string_view line, Header& header) {
  const std::size_t space = line.rfind(' ');
  if (space == std::string_view::npos || space == 0 || space > kNameMost) return false;
  const std::string_view name = line.substr(0, space);
  std::uint64_t pages = 0;
  if (!parse_number(line.substr(space + 1), pages)) return false;
  if (pages == 0 || pages > PageMap::kPagesMost - header.pages) return false;
  if (std::ranges::any_of(name, [](char c) { return std::iscntrl(static_cast<unsigned char>(c)) != 0; })) return false;
  header.images.push_back({.name = std::string(name), .pages = PageCount(pages), .first = header.pages});
  header.pages += pages;
  return true;
}

Input<Header> parse_header(const ByteSource& source, std::string_view text) {
  constexpr std::string_view kImage = "image ";
  constexpr std::string_view kDistinct = "distinct ";
  Header header;
  std::set<std::string_view> names;
  std::size_t number = 1;
  text.remove_prefix(PageMap::kMagic.size());
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() + 1);
    ++number;
    if (header.distinct != 0) return source.damaged(fmt::format("line {} stands behind \"distinct\"", number));
    if (line.starts_with(kImage)) {
      if (!parse_image(line.substr(kImage.size()), header))
        return source.damaged(fmt::format("line {} names no image of 1 to {} pages", number, PageMap::kPagesMost));
    } else if (line.starts_with(kDistinct)) {
      if (!parse_number(line.substr(kDistinct.size()), header.distinct) || header.distinct == 0 ||
          header.distinct > header.pages)
        return source.damaged(
            fmt::format("line {} says no number from 1 to the {} pages of its images", number, header.pages));
    } else {
      return source.damaged(fmt::format("line {} is neither \"image\" nor \"distinct\"", number));
    }
  }
  if (header.distinct == 0) return source.damaged("the header says no \"distinct\"");
  for (const PageMap::Image& image : header.images)
    if (!names.insert(image.name).second) return source.damaged("two images have the same name");
  return header;
}

template <class T>
Input<std::vector<T>> read_plane(ByteSource& source, std::size_t count, std::string_view what) {
  std::vector<T> plane;
  while (plane.size() < count) {
    const std::size_t have = plane.size();
    plane.resize(std::min(count, have + std::max(have, kPlaneStep)));
    const auto rest = std::as_writable_bytes(std::span(plane).subspan(have));
    const auto read = PAGODA_TRY(source.read(rest));
    if (read < rest.size()) return source.damaged(fmt::format("truncated in the {}", what));
  }
  return plane;
}

// Empty, or what is wrong with the contents: [VM2], [VM3].
std::string wrong_contents(const std::vector<PageContent>& contents) {
  bool zero = false;
  std::vector<std::uint64_t> patterns;
  for (std::size_t i = 0; i < contents.size(); ++i) {
    const PageContent& content = contents[i];
    if (content.lz4_size == 0 || content.lz4_size > kCompressedMost || content.zstd_size == 0 ||
        content.zstd_size > kCompressedMost)
      return fmt::format("content {} has no size of 1 to {} bytes", i, kCompressedMost);
    if (content.kind == ContentKind::kZero && std::exchange(zero, true)) return "two contents are zero";
    if (content.kind != ContentKind::kPattern) continue;
    if (content.pattern == 0) return fmt::format("content {} is zero and called a pattern", i);
    patterns.push_back(content.pattern);
  }
  std::ranges::sort(patterns);
  return std::ranges::adjacent_find(patterns) != patterns.end() ? "two contents are the same pattern" : "";
}

Input<std::vector<PageContent>> read_contents(ByteSource& source, std::size_t count) {
  const auto kinds = PAGODA_TRY(read_plane<std::uint8_t>(source, count, "kinds"));
  const auto patterns = PAGODA_TRY(read_plane<std::uint64_t>(source, count, "patterns"));
  const auto lz4_sizes = PAGODA_TRY(read_plane<std::uint16_t>(source, count, "sizes"));
  const auto zstd_sizes = PAGODA_TRY(read_plane<std::uint16_t>(source, count, "sizes"));
  std::vector<PageContent> contents(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (kinds[i] > static_cast<std::uint8_t>(ContentKind::kOther))
      return source.damaged(fmt::format("content {} is of no known kind", i));
    contents[i] = {.kind = static_cast<ContentKind>(kinds[i]),
                   .pattern = patterns[i],
                   .lz4_size = lz4_sizes[i],
                   .zstd_size = zstd_sizes[i]};
  }
  if (const std::string wrong = wrong_contents(contents); !wrong.empty()) return source.damaged(wrong);
  return contents;
}

}  // namespace

Input<PageMap> PageMap::open(const std::string& path) {
  auto source = PAGODA_TRY(ByteSource::open(path, kMapWindowLogMost));
  return read(source);
}

Input<PageMap> PageMap::read(ByteSource& source) {
  const auto text = PAGODA_TRY(read_header_text(source));
  auto header = PAGODA_TRY(parse_header(source, text));
  auto contents = PAGODA_TRY(read_contents(source, header.distinct));
  auto numbers = PAGODA_TRY(read_plane<std::uint32_t>(source, header.pages, "pages"));
  const auto wild = std::ranges::find_if(numbers, [&](std::uint32_t number) { return number >= contents.size(); });
  if (wild != numbers.end()) return source.damaged(fmt::format("page {} has no known content", wild - numbers.begin()));
  std::array<std::byte, 1> behind{};
  const auto more = PAGODA_TRY(source.read(behind));
  if (more != 0) return source.damaged("bytes behind its end");
  return PageMap(std::move(header.images), std::move(contents), std::move(numbers));
}

bool PageMap::names_image(std::string_view full, std::string_view name) {
  constexpr std::string_view kExtension = ".mem";
  return full == name ||
         (full.size() == name.size() + kExtension.size() && full.starts_with(name) && full.ends_with(kExtension));
}

const PageMap::Image* PageMap::find(std::string_view name) const {
  const auto found = std::ranges::find_if(images_, [&](const Image& image) { return names_image(image.name, name); });
  return found == images_.end() ? nullptr : &*found;
}

std::string PageMap::names() const {
  std::string names;
  for (const Image& image : images_) names += (names.empty() ? "" : ", ") + image.name;
  return names;
}

}  // namespace pagoda::sim
