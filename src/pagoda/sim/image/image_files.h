// Memory images as users have them, read into one table of contents: any format of image_format.h, in archives, and
// compressed around either.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/sim/image/byte_source.h"
#include "pagoda/sim/image/content_table.h"
#include "pagoda/sim/image/image_format.h"
#include "pagoda/sim/image/page_map.h"
#include "pagoda/sim/image/take_as.h"

namespace pagoda::sim {

// A file with its compression taken off, and what it is then; what was looked at is read again.
struct ImageFile {
  ByteSource source;
  const ImageFormat* format = nullptr;
  bool unpacked = false;  // Compression was around it: how large it is only its end says.

  // Fails with one line: it cannot be read, is of a format that is refused, or is compressed more often than is sane.
  static Input<ImageFile> open(const std::string& path, TakeAs as = TakeAs::kWhatItIs);
  static Input<ImageFile> from_source(ByteSource source, TakeAs as = TakeAs::kWhatItIs);
};

// What is to be known about an image beside its pages.
struct ImageFacts {
  std::string format;  // ImageFormat::name.
  PageCount absent;    // Pages that were memory and are not in the file. They are no pages of the image.
  std::vector<std::string> warnings;
};

// Whole images and their bytes: what one map says, and the contents behind it.
class ImageReader {
 public:
  // Which members of an archive are wanted, by name.
  using Wanted = std::function<bool(const std::string&)>;

  explicit ImageReader(TakeAs as = TakeAs::kWhatItIs) : as_(as) {}

  // Reads the images of a file that is no page map, of an archive those that are wanted. The pages of an image are those
  // that its file has, in order of their addresses. Fails with one line: the file is damaged, an image is empty, it was
  // read before, or there are more than PageMap::kPagesMost pages; where the size can be known beforehand nothing of
  // such an image is read.
  Input<> read(ImageFile& file, const Wanted& wanted);
  // All that was read; the reader is empty then. Names are those of the files, or of members with their folders; where
  // two are equal, the folders they lie in are put in front.
  [[nodiscard]] PageMap take_map();
  [[nodiscard]] bool empty() const { return images_.empty(); }
  [[nodiscard]] std::unique_ptr<ContentTable> take_contents() { return std::move(contents_); }
  // By number of the image, also after take_map.
  [[nodiscard]] const std::vector<ImageFacts>& facts() const { return facts_; }
  // What was passed over in archives, a line each.
  [[nodiscard]] const std::vector<std::string>& passed_over() const { return passed_over_; }

 private:
  // Fills the page and says whether there was one.
  using NextPage = std::function<Input<bool>(PageBytes)>;
  // Where an image came from: the file, and in an archive the member. `shown` bytes at the end are its name.
  struct Origin {
    std::string path;
    std::size_t shown = 0;
  };

  // `size`: bytes of the file, where they are known.
  Input<> read_file(ImageFile& file, std::optional<std::uint64_t> size, const Origin& origin, const Wanted& wanted,
                    int depth);
  Input<> read_archive(ImageFile& file, const Origin& origin, const Wanted& wanted, int depth);
  Input<> read_raw(ByteSource& source, std::optional<std::uint64_t> size, const Origin& origin);
  Input<> read_dump(ImageFile& file, const Origin& origin);
  Input<> add_image(const std::string& file, const Origin& origin, ImageFacts facts, const NextPage& next);
  // A hard link: the image that it names again, under this name.
  Input<> add_link(const std::string& file, const std::string& link, const Origin& origin);
  // Whether so many pages more are not too many.
  Input<> check_room(const std::string& file, PageCount pages) const;
  void name_images();

  TakeAs as_;
  std::unique_ptr<ContentTable> contents_ = std::make_unique<ContentTable>();
  std::vector<PageMap::Image> images_;
  std::vector<Origin> origins_;  // Of images_.
  std::vector<ImageFacts> facts_;
  std::vector<std::uint32_t> numbers_;
  std::vector<std::string> passed_over_;
};

}  // namespace pagoda::sim
