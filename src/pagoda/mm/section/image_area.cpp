// Image sections: a PE file's control area for its image, beside the one for its data.
//
// Headers are read through the pages of the file's data, not by a transfer into a page of nobody's: they take the
// disk's time, they are found in memory when the call is repeated after a wait, and they are what the views of the data
// show. All other pages are read from the file when they are touched, so the data was flushed before.
//
// Choices: views reach all of the image, whatever size the section was asked to have; SEC_BASED is ignored; the pages
// between the end of a section and the next one are not committed (as in NT, whose prototype PTEs there are zero), so
// they are reported as reserved; an image with pages that processes share for writing goes with its last user, so that
// the next one finds them as they are in the file.
#include <utility>

#include "pagoda/mm/section/sections.h"

namespace pagoda::mm {

Result<ImageLayout> Sections::read_layout(Processor& cpu, const std::shared_ptr<FileStream>& file) {
  const Use data = PAGODA_TRY(use_data(cpu, file));
  const auto read = [&](FileOffset at, std::span<std::byte> into) -> Result<> {
    while (!into.empty()) {
      const auto moved = read_in_page(cpu, *data, at, into);
      if (!moved) return fail(moved.error() == Status::kInPageError ? Status::kIoDeviceError : moved.error());
      at += ByteCount(*moved);
      into = into.subspan(*moved);
    }
    return {};
  };
  const bool wide = core_.mode.format == machine::PteFormat::kAmd64;
  return parse_pe_image(file->size(), read, wide ? PeFormat::kPe32Plus : PeFormat::kPe32);
}

Result<Sections::Use> Sections::image_area(Processor& cpu, const std::shared_ptr<FileStream>& file) {
  {
    const LockGuard guard(lock);
    if (ControlArea* const there = file->image_; there != nullptr) {
      bool is_good = false;
      {
        const LockGuard pfn_guard(core_.pfns.lock);
        is_good = there->is_used() || there->is_current();
      }
      if (is_good) return Use(*this, cpu, *there);
      destroy(cpu, *there);
    }
  }
  auto layout = PAGODA_TRY(read_layout(cpu, file));
  const LockGuard guard(lock);
  return Use(*this, cpu, *PAGODA_TRY(make_image_area(cpu, file, std::move(layout))));
}

Result<ControlArea*> Sections::make_image_area(Processor& cpu, const std::shared_ptr<FileStream>& file,
                                               ImageLayout layout) {
  PAGODA_TRY(may_add_subsections(2 * layout.subsections.size()));

  PageCount shared;
  for (const ImageSubsection& part : layout.subsections)
    if (is_writable(part.protection)) shared += part.pages;
  ControlArea& area = new_area(SectionKind::kImage, {}, file);
  auto made = charge(area, shared, core_.prototypes.pages_for(layout.pages));
  if (made) made = grow(cpu, area, layout.pages);
  if (!made) {
    destroy(cpu, area);
    return std::unexpected(made.error());
  }
  for (const ImageSubsection& part : layout.subsections) {
    add_subsection(area, {.first = part.first_page,
                          .pages = part.pages,
                          .file_offset = part.file_offset,
                          .file_bytes = part.file_bytes,
                          .protection = part.protection,
                          .address = {}});
    if (part.unused_pages.is_zero()) continue;
    add_subsection(area, {.first = part.first_page + part.pages,
                          .pages = part.unused_pages,
                          .file_offset = {},
                          .file_bytes = {},
                          .protection = Protection::kNone,
                          .address = {}});
  }
  area.image_ = std::move(layout);
  file->image_ = &area;
  const LockGuard guard(core_.pfns.lock);
  area.file_writes_ = file->writes;
  area.delete_when_unused = !shared.is_zero();
  return &area;
}

bool Sections::flush_image(Processor& cpu, FileStream& file) {
  const LockGuard guard(lock);
  if (file.image_ == nullptr) return true;
  if (is_used(*file.image_)) return false;
  destroy(cpu, *file.image_);
  return true;
}

}  // namespace pagoda::mm
