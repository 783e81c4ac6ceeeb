// The memory of one guest as a source of page contents: made from a page map, or the real bytes of a whole image.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/sim/image/content_table.h"
#include "pagoda/sim/image/image_files.h"
#include "pagoda/sim/image/page_maker.h"
#include "pagoda/sim/image/page_map.h"

namespace pagoda::sim {

// Immutable; any number of threads may use it.
class ImageContents {
 public:
  // The bytes of `image`'s pages: those of `contents`, or if it is null what a PageMaker makes of the map.
  ImageContents(std::shared_ptr<const PageMap> map, std::shared_ptr<const ContentTable> contents,
                const PageMap::Image& image, const std::string& file, PageCount absent = PageCount(0));

  // "nk_idle.mem of data/images/all14.vpm.zst"; with how many pages the file lacks, if it does.
  [[nodiscard]] const std::string& describe() const { return description_; }
  [[nodiscard]] PageCount pages() const { return PageCount(numbers_.size()); }
  // Needs, as `fill` does: a page below pages().
  [[nodiscard]] bool is_zero(std::uint64_t page) const { return content(page).kind == ContentKind::kZero; }
  void fill(std::uint64_t page, PageBytes bytes) const;

 private:
  [[nodiscard]] const PageContent& content(std::uint64_t page) const { return map_->contents()[numbers_[page]]; }

  std::shared_ptr<const PageMap> map_;
  std::shared_ptr<const ContentTable> contents_;
  std::span<const std::uint32_t> numbers_;
  std::string description_;
  const PageMaker& maker_;
};

// Opens images by file and name. What is asked for twice is read once.
class ImageOpener {
 public:
  // `name` may be empty where the file holds one image only. Fails with one line: the file cannot be read or is damaged,
  // or has no such image.
  Input<std::shared_ptr<const ImageContents>> open(const std::string& file, const std::string& name,
                                                   TakeAs as = TakeAs::kWhatItIs);
  // What the user should know about the images that were opened.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  // What an image is found by: file, name, and what the file is taken for.
  using Key = std::tuple<std::string, std::string, TakeAs>;

  Input<std::shared_ptr<const ImageContents>> read_whole(ImageFile& opened, const Key& key);
  Input<std::shared_ptr<const ImageContents>> from_map(const Key& key, std::shared_ptr<const PageMap> map);

  std::map<std::string, std::shared_ptr<const PageMap>> maps_;  // By file.
  std::map<Key, std::shared_ptr<const ImageContents>> images_;
  std::vector<std::string> warnings_;
};

}  // namespace pagoda::sim
