// For tests: what is read from the bytes of a file with a memory image.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/sim/image/image_files.h"

namespace pagoda::sim {

struct ImageRead {
  std::string error;  // Empty if it was read.
  PageMap map{{}, {}, {}};
  std::vector<ImageFacts> facts;
  std::vector<std::string> passed_over;
  std::vector<std::array<std::byte, kPageBytes>> pages;  // Of all images.

  // The first byte of each page: enough to know which one it is.
  [[nodiscard]] std::string first_bytes() const {
    std::string text;
    for (const auto& page : pages) text += page.front() == std::byte{0} ? '0' : static_cast<char>(page.front());
    return text;
  }
  // All warnings, a line each.
  [[nodiscard]] std::string warnings() const {
    std::string text;
    for (const ImageFacts& image : facts)
      for (const std::string& warning : image.warnings) text += warning + "\n";
    return text;
  }
};

inline ImageRead read_image(Input<ImageFile> file, TakeAs as = TakeAs::kWhatItIs) {
  if (!file) return {.error = file.error().message};
  ImageReader reader(as);
  if (const auto read = reader.read(*file, [](const std::string&) { return true; }); !read)
    return {.error = read.error().message};
  ImageRead result{.map = reader.take_map(), .facts = reader.facts(), .passed_over = reader.passed_over()};
  const auto contents = reader.take_contents();
  for (const PageMap::Image& image : result.map.images())
    for (const std::uint32_t number : result.map.numbers(image)) contents->fill(number, result.pages.emplace_back());
  return result;
}

inline ImageRead read_image(std::vector<std::byte> file, TakeAs as = TakeAs::kWhatItIs) {
  constexpr int kWindowLogMost = 27;
  auto source = ByteSource::from_bytes("f", std::move(file), kWindowLogMost);
  if (!source) return {.error = source.error().message};
  return read_image(ImageFile::from_source(std::move(*source), as), as);
}

}  // namespace pagoda::sim
