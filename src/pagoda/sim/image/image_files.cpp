#include "pagoda/sim/image/image_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/tar_reader.h"

namespace pagoda::sim {

namespace {

// The largest window of `zstd --long`: archives of images are packed so that equal pages far apart are found.
constexpr int kImageWindowLogMost = 30;

}  // namespace

Input<ImageFile> ImageFile::open(const std::string& path) {
  return from_source(PAGODA_TRY(ByteSource::open(path, kImageWindowLogMost)));
}

Input<ImageFile> ImageFile::from_source(ByteSource source) {
  TarReader::Block block{};
  const auto count = PAGODA_TRY(source.read(block));
  const auto bytes = std::span(block).first(count);
  source.push_back(bytes);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  ImageFileKind kind = ImageFileKind::kRaw;
  if (text.starts_with(PageMap::kMagic)) {
    kind = ImageFileKind::kPageMap;
  } else if (TarReader::begins_with(block)) {
    kind = ImageFileKind::kArchive;
  }
  return ImageFile{.source = std::move(source), .kind = kind};
}

Input<> ImageReader::read_image(const ByteSource& source, const std::string& name,
                                const std::function<Input<bool>(PageBytes)>& next) {
  if (std::ranges::find(images_, name, &PageMap::Image::name) != images_.end())
    return bad_input(fmt::format("{}: there is an image \"{}\" already; rename one", source.name(), name));
  PageMap::Image image{.name = name, .first = numbers_.size()};
  std::array<std::byte, kPageBytes> page{};
  for (;;) {
    const auto more = PAGODA_TRY(next(page));
    if (!more) break;
    if (numbers_.size() == PageMap::kPagesMost)
      return bad_input(
          fmt::format("{}: more than {} pages; give fewer or smaller images", source.name(), PageMap::kPagesMost));
    numbers_.push_back(contents_->add(page));
    ++image.pages;
  }
  if (image.pages.is_zero())
    return bad_input(fmt::format("{}: \"{}\" is empty; give a memory image", source.name(), name));
  images_.push_back(std::move(image));
  return {};
}

Input<> ImageReader::read(ImageFile& file, const std::function<bool(const std::string&)>& wanted) {
  const auto not_whole = [&](std::string_view name) {
    return bad_input(fmt::format(
        "{}: \"{}\" is not a memory image: its size is not a multiple of 4096 bytes; give a raw one, a .tar.zst of "
        "such, or a page map",
        file.source.name(), name));
  };
  if (file.kind == ImageFileKind::kRaw) {
    const std::string name = std::filesystem::path(file.source.name()).filename().string();
    return read_image(file.source, name, [&](PageBytes page) -> Input<bool> {
      const auto count = PAGODA_TRY(file.source.read(page));
      if (count != 0 && count < page.size()) return not_whole(name);
      return count != 0;
    });
  }
  TarReader archive(file.source);
  for (;;) {
    const auto member = PAGODA_TRY(archive.next());
    if (!member) return {};
    const std::string& name = member->name;
    if (!wanted(name)) continue;
    if (member->size % kPageBytes != 0) return not_whole(name);
    std::uint64_t left = member->size / kPageBytes;
    const auto next_page = [&](PageBytes page) -> Input<bool> {
      if (left == 0) return false;
      --left;
      PAGODA_TRY(archive.read(page));
      return true;
    };
    PAGODA_TRY(read_image(file.source, name, next_page));
  }
}

PageMap ImageReader::take_map() {
  return PageMap(std::exchange(images_, {}), contents_->contents(), std::exchange(numbers_, {}));
}

}  // namespace pagoda::sim
