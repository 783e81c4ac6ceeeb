#include "pagoda/sim/image/image_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <string_view>
#include <utility>

#include "pagoda/base/status.h"
#include "pagoda/sim/image/archive_reader.h"
#include "pagoda/sim/image/byte_fields.h"
#include "pagoda/sim/image/image_pages.h"
#include "pagoda/sim/image/skippable_frame.h"
#include "pagoda/sim/image/zlib_stream.h"

namespace pagoda::sim {

namespace {

// The largest window of `zstd --long`: archives of images are packed so that equal pages far apart are found.
constexpr int kImageWindowLogMost = 30;
constexpr int kLayersMost = 4;  // Of compression around one file, and of archives in archives.

// The size of a file that lies in no archive and is not compressed.
std::optional<std::uint64_t> plain_size(const ByteSource& source) {
  struct stat status{};
  const std::optional<int> plain = source.plain_file();
  if (!plain || fstat(*plain, &status) != 0) return {};
  return static_cast<std::uint64_t>(status.st_size);
}

std::vector<std::byte> last_bytes(const ByteSource& source) {
  const std::optional<std::uint64_t> size = plain_size(source);
  std::vector<std::byte> bytes(kLastBytes);
  if (!size || *size < kLastBytes ||
      pread(*source.plain_file(), bytes.data(), kLastBytes, static_cast<off_t>(*size - kLastBytes)) !=
          static_cast<ssize_t>(kLastBytes))
    return {};
  return bytes;
}

// libarchive does not know frames without data in front of LZ4's.
Input<> pass_over_frames(ByteSource& source) {
  std::array<std::byte, 16 << 10> part{};
  for (;;) {
    const auto header = PAGODA_TRY(source.peek(kFrameHeaderBytes));
    std::uint64_t left = skippable_frame_size(header);
    if (left == 0) return {};
    while (left != 0) {
      const auto count = PAGODA_TRY(source.read(std::span(part).first(std::min<std::uint64_t>(left, part.size()))));
      if (count == 0) return source.damaged("compressed, and cut");
      left -= count;
    }
  }
}

// What is under one layer of compression.
Input<ByteSource> peel(ByteSource source, const ImageFormat& format) {
  const std::string name = source.name();
  const auto outer = std::make_shared<ByteSource>(std::move(source));
  switch (format.packing) {
    case Packing::kZstd:  // A source takes one such layer off itself.
      return ByteSource::from_reader(
          name, [outer](std::span<std::byte> bytes) { return outer->read(bytes); }, kImageWindowLogMost);
    case Packing::kZlib: {
      const auto stream = std::make_shared<ZlibStream>(*outer);
      return ByteSource::from_reader(
          name, [outer, stream](std::span<std::byte> bytes) { return stream->read(bytes); }, kImageWindowLogMost);
    }
    case Packing::kLibarchive:
      PAGODA_TRY(pass_over_frames(*outer));
      break;
  }
  const auto reader = std::make_shared<ArchiveReader>(*outer, ArchiveReader::Kind::kCompressed);
  const auto stream = PAGODA_TRY(reader->next());
  if (!stream) return outer->damaged("compressed, and empty");
  return ByteSource::from_reader(
      name, [outer, reader](std::span<std::byte> bytes) { return reader->read(bytes); }, kImageWindowLogMost);
}

}  // namespace

Input<ImageFile> ImageFile::open(const std::string& path, TakeAs as) {
  return from_source(PAGODA_TRY(ByteSource::open(path, kImageWindowLogMost)), as);
}

Input<ImageFile> ImageFile::from_source(ByteSource source, TakeAs as) {
  for (int layer = 0; layer < kLayersMost; ++layer) {
    const auto first = PAGODA_TRY(source.peek(kFirstBytes));
    const auto last = last_bytes(source);
    const ImageFormat* format = &find_format({.first = first, .last = last});
    if (format->use == FormatUse::kCompressed) {
      source = PAGODA_TRY(peel(std::move(source), *format));
      continue;
    }
    if (as == TakeAs::kRaw && format->use != FormatUse::kArchive) format = &raw_format();
    if (format->use == FormatUse::kRefused)
      return bad_input(fmt::format("{}: {}; {}", source.name(), format->name, format->advice));
    const bool unpacked = layer != 0 || source.is_compressed();
    return ImageFile{.source = std::move(source), .format = format, .unpacked = unpacked};
  }
  return bad_input(fmt::format("{}: compressed more than {} times; unpack it", source.name(), kLayersMost));
}

Input<> ImageReader::check_room(const std::string& file, PageCount pages) const {
  if (pages.value() <= PageMap::kPagesMost - numbers_.size()) return {};
  return bad_input(
      fmt::format("{}: {} pages, and no more than {} ({} GiB) of all images together can be read; give fewer "
                  "or smaller images",
                  file, pages.value(), PageMap::kPagesMost, bytes_of(PageCount(PageMap::kPagesMost)) / 1_GiB));
}

Input<> ImageReader::add_image(const std::string& file, const Origin& origin, ImageFacts facts, const NextPage& next) {
  if (std::ranges::find(origins_, origin.path, &Origin::path) != origins_.end())
    return bad_input(fmt::format("{}: there is an image \"{}\" already; name it once, or rename one", file,
                                 origin.path.substr(origin.path.size() - origin.shown)));
  PageMap::Image image{.name = origin.path, .first = numbers_.size()};
  std::array<std::byte, kPageBytes> page{};
  for (;;) {
    const auto more = PAGODA_TRY(next(page));
    if (!more) break;
    PAGODA_TRY(check_room(file, PageCount(1)));
    numbers_.push_back(contents_->add(page));
    ++image.pages;
  }
  if (image.pages.is_zero())
    return bad_input(fmt::format("{}: it is empty{}{}; give a memory image", file, facts.warnings.empty() ? "" : ": ",
                                 fmt::join(facts.warnings, ", ")));
  images_.push_back(std::move(image));
  origins_.push_back(origin);
  facts_.push_back(std::move(facts));
  return {};
}

Input<> ImageReader::read_raw(ByteSource& source, std::optional<std::uint64_t> size, const Origin& origin) {
  ImageFacts facts{.format = std::string(raw_format().name)};
  // What no page is whole of is no memory image, unless the user says so.
  const auto check_part = [&](std::uint64_t bytes) -> Input<> {
    if (bytes % kPageBytes == 0) return {};
    if (as_ != TakeAs::kRaw)
      return bad_input(
          fmt::format("{}: not a memory image: it begins with nothing that Pagoda knows, and its size is not a "
                      "multiple of {} bytes; "
                      "give a memory image, or say --raw if this is one that was cut",
                      source.name(), kPageBytes));
    facts.warnings.emplace_back("its size is not a multiple of 4096 bytes: the rest of the last page counts as zeros");
    return {};
  };
  if (size) {
    PAGODA_TRY(check_room(source.name(), PageCount(parts_of(*size, kPageBytes))));
    PAGODA_TRY(check_part(*size));
  }
  const NextPage next = [&](PageBytes page) -> Input<bool> {
    const auto count = PAGODA_TRY(source.read(page));
    if (!size) PAGODA_TRY(check_part(count));
    std::ranges::fill(page.subspan(count), std::byte{0});
    return count != 0;
  };
  const std::size_t image = images_.size();
  PAGODA_TRY(add_image(source.name(), origin, {}, next));
  facts_[image] = std::move(facts);
  return {};
}

Input<> ImageReader::read_dump(ImageFile& file, const Origin& origin) {
  const std::string& name = file.source.name();
  auto image = PAGODA_TRY(file.format->open(PAGODA_TRY(store_bytes(file.source))));
  auto pages = PAGODA_TRY(ImagePages::of(*image, name));
  PAGODA_TRY(check_room(name, pages.pages()));
  ImageFacts facts{.format = std::string(file.format->name), .absent = image->absent(), .warnings = pages.warnings()};
  return add_image(name, origin, std::move(facts), [&](PageBytes page) -> Input<bool> {
    const auto number = PAGODA_TRY(pages.next_page(page));
    return number.has_value();
  });
}

Input<> ImageReader::add_link(const std::string& file, const std::string& link, const Origin& origin) {
  const auto target = std::ranges::find(origins_, link, &Origin::path);
  if (target == origins_.end())
    return bad_input(
        fmt::format("{}: \"{}\" is another name (a hard link) of \"{}\", which is no image in front of it "
                    "or was not asked for; name that one",
                    file, origin.path.substr(origin.path.size() - origin.shown), link));
  const PageMap::Image& same = images_[static_cast<std::size_t>(target - origins_.begin())];
  ImageFacts facts = facts_[static_cast<std::size_t>(target - origins_.begin())];
  facts.warnings = {fmt::format("the same file as \"{}\" (a hard link)", target->path)};
  const auto next = [this, at = same.first,
                     end = same.first + same.pages.value()](PageBytes page) mutable -> Input<bool> {
    if (at == end) return false;
    contents_->fill(numbers_[at++], page);
    return true;
  };
  return add_image(file, origin, std::move(facts), next);
}

Input<> ImageReader::read_archive(ImageFile& file, const Origin& origin, const Wanted& wanted, int depth) {
  const std::string& name = file.source.name();
  if (depth == kLayersMost) return bad_input(fmt::format("{}: archives in archives; unpack them", name));
  ArchiveReader archive(file.source, ArchiveReader::Kind::kArchive);
  for (;;) {
    const auto member = PAGODA_TRY(archive.next());
    if (!member) return {};
    if (member->kind == ArchiveReader::MemberKind::kFolder || !wanted(member->name)) continue;
    const Origin place{.path = fmt::format("{}/{}", origin.path, member->name), .shown = member->name.size()};
    if (member->kind == ArchiveReader::MemberKind::kHardLink) {
      PAGODA_TRY(add_link(name, fmt::format("{}/{}", origin.path, member->link), place));
      continue;
    }
    if (member->kind == ArchiveReader::MemberKind::kOther) {
      passed_over_.push_back(fmt::format("{}: \"{}\" is a link or a device and holds nothing", name, member->name));
      continue;
    }
    auto source = PAGODA_TRY(ByteSource::from_reader(
        fmt::format("{}: {}", name, member->name),
        [&archive](std::span<std::byte> bytes) { return archive.read(bytes); }, kImageWindowLogMost));
    auto inner = PAGODA_TRY(ImageFile::from_source(std::move(source), as_));
    PAGODA_TRY(read_file(inner, inner.unpacked ? std::nullopt : member->size, place, wanted, depth + 1));
  }
}

Input<> ImageReader::read_file(ImageFile& file, std::optional<std::uint64_t> size, const Origin& origin,
                               const Wanted& wanted, int depth) {
  switch (file.format->use) {
    case FormatUse::kMemory:
      return read_dump(file, origin);
    case FormatUse::kRaw:
      return read_raw(file.source, size, origin);
    case FormatUse::kArchive:
      return read_archive(file, origin, wanted, depth);
    default:
      return bad_input(fmt::format("{}: {}; give it by itself", file.source.name(), file.format->name));
  }
}

Input<> ImageReader::read(ImageFile& file, const Wanted& wanted) {
  const std::filesystem::path path = std::filesystem::path(file.source.name()).lexically_normal();
  const Origin origin{.path = path.string(), .shown = path.filename().string().size()};
  return read_file(file, plain_size(file.source), origin, wanted, 0);
}

// Puts folders in front of names until no two are equal: paths are not.
void ImageReader::name_images() {
  const auto lengthen = [](Origin& origin) {
    const std::size_t hidden = origin.path.size() - origin.shown;
    if (hidden == 0) return;
    const std::size_t slash = hidden < 2 ? std::string::npos : origin.path.rfind('/', hidden - 2);
    origin.shown = slash == std::string::npos ? origin.path.size() : origin.path.size() - slash - 1;
  };
  for (bool again = true; std::exchange(again, false);) {
    std::map<std::string, std::vector<Origin*>> by_name;
    for (Origin& origin : origins_) by_name[origin.path.substr(origin.path.size() - origin.shown)].push_back(&origin);
    for (const auto& [name, same] : by_name) {
      if (same.size() == 1) continue;
      std::ranges::for_each(same, [&](Origin* origin) { lengthen(*origin); });
      again = true;
    }
  }
  for (std::size_t i = 0; i < images_.size(); ++i)
    images_[i].name = origins_[i].path.substr(origins_[i].path.size() - origins_[i].shown);
}

PageMap ImageReader::take_map() {
  name_images();
  origins_.clear();
  return PageMap(std::exchange(images_, {}), contents_->contents(), std::exchange(numbers_, {}));
}

}  // namespace pagoda::sim
