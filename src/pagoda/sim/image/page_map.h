// What was in the memory of guests, without their bytes (format VPM1): which pages were equal, which were zero, and how
// well each compressed.
//
// Every distinct page content has a number; equal contents have equal numbers across all images of a map. The pages of
// an image are a row of such numbers.
//
// A VPM1 file is one zstd frame (or the same bytes uncompressed): the line "VPM1", lines "image NAME PAGES", a line
// "distinct N", an empty line; then four planes over the N contents: kind (u8: 0 zero, 1 one 8-byte pattern repeated,
// 2 other), pattern (u64), size under LZ4 (u16), size under zstd -1 (u16); then a u32 content number for every page of
// every image, in order. Little endian. A size of 4096 means that the page does not get smaller.
//
// Invariants, of every PageMap that was read:
//   [VM1] Every page has the number of a content; every image has a name of its own and at least one page.
//   [VM2] At most one content is zero; no two are the same pattern, and none is the pattern 0.
//   [VM3] Sizes are 1 to 4096 bytes.
// Immutable; any number of threads may read it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/sim/image/byte_source.h"

namespace pagoda::sim {

enum class ContentKind : std::uint8_t { kZero, kPattern, kOther };

struct PageContent {
  ContentKind kind = ContentKind::kZero;
  std::uint64_t pattern = 0;    // kPattern: the word that the page repeats.
  std::uint16_t lz4_size = 0;   // Bytes.
  std::uint16_t zstd_size = 0;  // Bytes; 0: not measured.
};

class PageMap {
 public:
  struct Image {
    std::string name;
    PageCount pages;
    std::size_t first = 0;  // The place of its first page among those of all images.
  };
  // More than any machine this was made for; bounds what a damaged file can make us allocate to some 300 MB.
  static constexpr std::uint64_t kPagesMost = std::uint64_t{1} << 24;
  static constexpr std::string_view kMagic = "VPM1\n";

  // Fails with one line: the file cannot be read, is no VPM1, is truncated or damaged.
  static Input<PageMap> open(const std::string& path);
  static Input<PageMap> read(ByteSource& source);
  // Made here and not read: [VM1] to [VM3] are the caller's to keep.
  PageMap(std::vector<Image> images, std::vector<PageContent> contents, std::vector<std::uint32_t> numbers)
      : images_(std::move(images)), contents_(std::move(contents)), numbers_(std::move(numbers)) {}

  [[nodiscard]] const std::vector<Image>& images() const { return images_; }
  // Whether an image of the name `full` may be called `name`: so, or without its ".mem".
  static bool names_image(std::string_view full, std::string_view name);
  // Null if there is none.
  [[nodiscard]] const Image* find(std::string_view name) const;
  // "a.mem, b.mem", for messages.
  [[nodiscard]] std::string names() const;
  [[nodiscard]] const std::vector<PageContent>& contents() const { return contents_; }
  // The content numbers of the image's pages.
  [[nodiscard]] std::span<const std::uint32_t> numbers(const Image& image) const {
    return std::span(numbers_).subspan(image.first, image.pages.value());
  }

 private:
  std::vector<Image> images_;
  std::vector<PageContent> contents_;
  std::vector<std::uint32_t> numbers_;
};

}  // namespace pagoda::sim
