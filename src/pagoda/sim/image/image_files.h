// Memory images as users have them, read into one table of contents: raw files (every byte of a guest's memory in
// order), tar archives of such files, and either of them under zstd.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/sim/image/byte_source.h"
#include "pagoda/sim/image/content_table.h"
#include "pagoda/sim/image/page_map.h"

namespace pagoda::sim {

// What a file is, by its first bytes.
enum class ImageFileKind : std::uint8_t { kPageMap, kArchive, kRaw };

// Opens a file of any of these kinds; what was looked at is read again.
struct ImageFile {
  ByteSource source;
  ImageFileKind kind = ImageFileKind::kRaw;

  static Input<ImageFile> open(const std::string& path);
  static Input<ImageFile> from_source(ByteSource source);
};

// Whole images and their bytes: what one map says, and the contents behind it.
class ImageReader {
 public:
  // Reads the images of a file that is no page map, of an archive those whose name `wanted` accepts. A raw image is
  // named by its file. Fails with one line: the file is truncated or damaged, an image is not a multiple of 4096 bytes
  // or empty, two have the same name, or there are more than PageMap::kPagesMost pages.
  Input<> read(ImageFile& file, const std::function<bool(const std::string&)>& wanted);
  // All that was read; the reader is empty then.
  [[nodiscard]] PageMap take_map();
  [[nodiscard]] bool empty() const { return images_.empty(); }
  [[nodiscard]] std::unique_ptr<ContentTable> take_contents() { return std::move(contents_); }

 private:
  // Reads pages until `next` says that there are no more. It fills the page and says whether there was one.
  Input<> read_image(const ByteSource& source, const std::string& name,
                     const std::function<Input<bool>(PageBytes)>& next);

  std::unique_ptr<ContentTable> contents_ = std::make_unique<ContentTable>();
  std::vector<PageMap::Image> images_;
  std::vector<std::uint32_t> numbers_;
};

}  // namespace pagoda::sim
