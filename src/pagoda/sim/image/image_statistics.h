// What memory images hold, in figures, and what sharing equal pages among them would save.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/sim/image/page_map.h"

namespace pagoda::sim {

struct ImageFigures {
  PageCount pages;
  PageCount zero;
  PageCount distinct;  // Contents, the zero page not counted.
  ByteCount lz4;       // What LZ4 makes of the pages that are not zero, each by itself.

  [[nodiscard]] PageCount not_zero() const { return pages - zero; }
  // Size of the pages that are not zero by their size under LZ4; 1 if there are none.
  [[nodiscard]] double lz4_ratio() const;
  // Part of the pages that would be free if equal ones were kept once. The one zero page that stays is not counted.
  [[nodiscard]] double saved_by_sharing() const;
};

struct ImageRow {
  std::string name;
  ImageFigures alone;
  ImageFigures together;  // With all images in front of it.
};

// A row for each of the images, in their order.
std::vector<ImageRow> image_figures(const PageMap& map, std::span<const PageMap::Image> images);

}  // namespace pagoda::sim
