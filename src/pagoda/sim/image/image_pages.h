// The pages of a memory image in order of their addresses: each once, whatever order and overlaps its ranges have.
//
// Where ranges overlap, the one that comes first in the file counts. A page of which the file holds a part only counts,
// with zeros in the rest. Both are warned of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/sim/image/memory_image.h"
#include "pagoda/sim/image/page_maker.h"

namespace pagoda::sim {

class ImagePages {
 public:
  // Looks at the ranges and at none of their bytes. `image` outlives this; `name` is for messages. Fails with one line:
  // a range goes past the highest address.
  static Input<ImagePages> of(MemoryImage& image, const std::string& name);

  // How many pages next_page gives.
  [[nodiscard]] PageCount pages() const { return pages_; }
  // What `image` warns of, overlaps and parts of pages.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  // Fills the page and says which one it is; none behind the last. Fails with one line: the file is damaged.
  Input<std::optional<std::uint64_t>> next_page(PageBytes page);

 private:
  // Of a range, the part that counts.
  struct Piece {
    StoredRange range;
    std::uint64_t first = 0;  // Physical address.
    std::uint64_t end = 0;
  };

  explicit ImagePages(MemoryImage& image) : image_(&image) {}
  // Counts pages and those of which a part is missing.
  void count();

  MemoryImage* image_;
  std::vector<Piece> pieces_;  // Ascending; none overlaps another or is empty.
  std::size_t at_ = 0;         // The piece that the next page begins in.
  std::uint64_t from_ = 0;     // Pages below this one are behind us.
  PageCount pages_;
  std::vector<std::string> warnings_;
};

}  // namespace pagoda::sim
