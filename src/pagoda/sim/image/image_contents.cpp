#include "pagoda/sim/image/image_contents.h"

#include <fmt/format.h>

#include "pagoda/base/check.h"
#include "pagoda/base/status.h"

namespace pagoda::sim {

namespace {

const PageMaker& page_maker() {
  static const PageMaker maker;  // Its table takes milliseconds and is the same for all.
  return maker;
}

}  // namespace

ImageContents::ImageContents(std::shared_ptr<const PageMap> map, std::shared_ptr<const ContentTable> contents,
                             const PageMap::Image& image, const std::string& file)
    : map_(std::move(map)),
      contents_(std::move(contents)),
      numbers_(map_->numbers(image)),
      description_(fmt::format("{} of {}", image.name, file)),
      maker_(page_maker()) {}

void ImageContents::fill(std::uint64_t page, PageBytes bytes) const {
  PAGODA_DCHECK_LT(page, numbers_.size());
  if (contents_ != nullptr) return contents_->fill(numbers_[page], bytes);
  maker_.make(numbers_[page], content(page), bytes);
}

Input<std::shared_ptr<const ImageContents>> ImageOpener::from_map(const std::string& file,
                                                                  std::shared_ptr<const PageMap> map,
                                                                  std::shared_ptr<const ContentTable> contents,
                                                                  const std::string& name) {
  const PageMap::Image* image = map->images().size() == 1 && name.empty() ? map->images().data() : map->find(name);
  if (image == nullptr && name.empty())
    return bad_input(fmt::format("{}: holds {} images; name one of {}", file, map->images().size(), map->names()));
  if (image == nullptr) return bad_input(fmt::format("{}: no image \"{}\"; there are {}", file, name, map->names()));
  auto opened = std::make_shared<const ImageContents>(std::move(map), std::move(contents), *image, file);
  images_.emplace(std::pair(file, name), opened);
  return opened;
}

Input<std::shared_ptr<const ImageContents>> ImageOpener::open(const std::string& file, const std::string& name,
                                                              TakeAs as) {
  if (const auto known = images_.find({file, name}); known != images_.end()) return known->second;
  if (const auto known = maps_.find(file); known != maps_.end()) return from_map(file, known->second, nullptr, name);
  auto opened = PAGODA_TRY(ImageFile::open(file, as));
  if (opened.format->use == FormatUse::kPageMap) {
    auto map = PAGODA_TRY(PageMap::read(opened.source));
    const auto shared = std::make_shared<const PageMap>(std::move(map));
    maps_.emplace(file, shared);
    return from_map(file, shared, nullptr, name);
  }
  ImageReader reader(as);
  std::string names;
  const auto wanted = [&](const std::string& member) {
    names += (names.empty() ? "" : ", ") + member;
    return name.empty() || PageMap::names_image(member, name);
  };
  PAGODA_TRY(reader.read(opened, wanted));
  if (reader.empty()) return bad_input(fmt::format("{}: no image \"{}\"; there are {}", file, name, names));
  for (const ImageFacts& facts : reader.facts())
    warnings_.insert(warnings_.end(), facts.warnings.begin(), facts.warnings.end());
  const auto map = std::make_shared<const PageMap>(reader.take_map());
  return from_map(file, map, reader.take_contents(), opened.format->use == FormatUse::kArchive ? name : "");
}

}  // namespace pagoda::sim
