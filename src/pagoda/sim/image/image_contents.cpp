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
                             const PageMap::Image& image, const std::string& file, PageCount absent)
    : map_(std::move(map)),
      contents_(std::move(contents)),
      numbers_(map_->numbers(image)),
      description_(fmt::format("{} of {}", image.name, file)),
      maker_(page_maker()) {
  if (!absent.is_zero()) description_ += fmt::format(", which lacks {} pages", absent.value());
}

void ImageContents::fill(std::uint64_t page, PageBytes bytes) const {
  PAGODA_DCHECK_LT(page, numbers_.size());
  if (contents_ != nullptr) return contents_->fill(numbers_[page], bytes);
  maker_.make(numbers_[page], content(page), bytes);
}

Input<std::shared_ptr<const ImageContents>> ImageOpener::from_map(const Key& key, std::shared_ptr<const PageMap> map) {
  const auto& [file, name, as] = key;
  const PageMap::Image* image = map->images().size() == 1 && name.empty() ? map->images().data() : map->find(name);
  if (image == nullptr && name.empty())
    return bad_input(fmt::format("{}: holds {} images; name one of {}", file, map->images().size(), map->names()));
  if (image == nullptr) return bad_input(fmt::format("{}: no image \"{}\"; there are {}", file, name, map->names()));
  auto opened = std::make_shared<const ImageContents>(std::move(map), nullptr, *image, file);
  images_.emplace(key, opened);
  return opened;
}

Input<std::shared_ptr<const ImageContents>> ImageOpener::read_whole(ImageFile& opened, const Key& key) {
  const auto& [file, name, as] = key;
  // A file that is one image is that image, whatever name it is asked for by.
  const bool any = name.empty() || opened.format->use != FormatUse::kArchive;
  ImageReader reader(as);
  std::string names;
  const auto wanted = [&](const std::string& member) {
    names += (names.empty() ? "" : ", ") + member;
    return any || PageMap::names_image(member, name);
  };
  PAGODA_TRY(reader.read(opened, wanted));
  if (reader.empty()) return bad_input(fmt::format("{}: no image \"{}\"; there are {}", file, name, names));
  const auto map = std::make_shared<const PageMap>(reader.take_map());
  if (map->images().size() != 1)
    return bad_input(fmt::format("{}: holds {} images; name one of {}", file, map->images().size(), map->names()));
  const ImageFacts& facts = reader.facts().front();
  warnings_.insert(warnings_.end(), facts.warnings.begin(), facts.warnings.end());
  auto contents =
      std::make_shared<const ImageContents>(map, reader.take_contents(), map->images().front(), file, facts.absent);
  images_.emplace(key, contents);
  return contents;
}

Input<std::shared_ptr<const ImageContents>> ImageOpener::open(const std::string& file, const std::string& name,
                                                              TakeAs as) {
  const Key key(file, name, as);
  if (const auto known = images_.find(key); known != images_.end()) return known->second;
  if (const auto known = maps_.find(file); known != maps_.end() && as == TakeAs::kWhatItIs)
    return from_map(key, known->second);
  auto opened = PAGODA_TRY(ImageFile::open(file, as));
  if (opened.format->use != FormatUse::kPageMap) return read_whole(opened, key);
  auto map = PAGODA_TRY(PageMap::read(opened.source));
  const auto shared = std::make_shared<const PageMap>(std::move(map));
  maps_.emplace(file, shared);
  return from_map(key, shared);
}

}  // namespace pagoda::sim
