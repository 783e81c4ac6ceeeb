#include "pagoda/sim/image/image_statistics.h"

namespace pagoda::sim {

namespace {

// Figures of a growing number of images.
class Counter {
 public:
  explicit Counter(const PageMap& map) : contents_(map.contents()), seen_(contents_.size(), false) {}

  void add(std::span<const std::uint32_t> numbers) {
    figures_.pages += PageCount(numbers.size());
    for (const std::uint32_t number : numbers) {
      const PageContent& content = contents_[number];
      if (content.kind == ContentKind::kZero) {
        ++figures_.zero;
        continue;
      }
      figures_.lz4 += ByteCount(content.lz4_size);
      if (!seen_[number]) ++figures_.distinct;
      seen_[number] = true;
    }
  }
  [[nodiscard]] const ImageFigures& figures() const { return figures_; }

 private:
  const std::vector<PageContent>& contents_;
  std::vector<bool> seen_;
  ImageFigures figures_;
};

double part(double some, std::uint64_t all) { return all == 0 ? 0 : some / static_cast<double>(all); }

}  // namespace

double ImageFigures::lz4_ratio() const {
  if (lz4.value() == 0) return 1;
  return part(static_cast<double>(bytes_of(not_zero()).value()), lz4.value());
}

double ImageFigures::saved_by_sharing() const {
  return part(static_cast<double>((pages - distinct).value()), pages.value());
}

std::vector<ImageRow> image_figures(const PageMap& map, std::span<const PageMap::Image> images) {
  std::vector<ImageRow> rows;
  Counter together(map);
  for (const PageMap::Image& image : images) {
    Counter alone(map);
    alone.add(map.numbers(image));
    together.add(map.numbers(image));
    rows.push_back({.name = image.name, .alone = alone.figures(), .together = together.figures()});
  }
  return rows;
}

}  // namespace pagoda::sim
