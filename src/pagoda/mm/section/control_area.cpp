#include "pagoda/mm/section/control_area.h"

#include <algorithm>
#include <ranges>

namespace pagoda::mm {

const Subsection& ControlArea::subsection_of(PageCount page) const {
  const auto after = std::ranges::upper_bound(subsections_, page, {}, [](const auto& s) { return s->first; });
  PAGODA_DCHECK(after != subsections_.begin());
  return **std::prev(after);
}

VirtualAddress ControlArea::prototype_of(const PteCodec& codec, PageCount page) const {
  const auto after = std::ranges::upper_bound(runs_, page, {}, &Run::first);
  PAGODA_DCHECK(after != runs_.begin());
  const Run& run = *std::prev(after);
  return run.prototypes + ByteCount((page - run.first).value() * codec.mode().entry_bytes);
}

PageCount ControlArea::page_of(const PteCodec& codec, VirtualAddress prototype) const {
  const std::uint64_t width = codec.mode().entry_bytes;
  for (const Run& run : runs_) {
    const std::uint64_t bytes = prototype.value() - run.prototypes.value();
    if (prototype >= run.prototypes && bytes < run.pages.value() * width) return run.first + PageCount(bytes / width);
  }
  PAGODA_CHECK(false);
  return {};
}

void ControlArea::set_end(PageCount pages) {
  const PageCount same = std::min(pages_, pages);
  pages_ = pages;
  PageCount end = pages;
  for (const auto& part : subsections_ | std::views::reverse) {
    part->pages = end - std::min(part->first, end);
    if (part->first <= same) return;  // Those before reach as far as they did.
    end = std::min(part->first, end);
  }
}

RawPte ControlArea::template_of(const PteCodec& codec, PageCount page) const {
  const Subsection& subsection = subsection_of(page);
  if (subsection.protection == Protection::kNone || (flags_.reserve && !committed.contains(page))) return 0;
  if (kind_ != SectionKind::kPagingFile && (kind_ == SectionKind::kData || subsection.in_file(page)))
    return codec.subsection(subsection.address, subsection.protection);
  return codec.demand_zero(subsection.protection);
}

void ControlArea::fill_template(const PteCodec& codec, VirtualAddress first, std::span<RawPte> entries) const {
  const PageCount from = page_of(codec, first);
  if (from >= pages_) return;  // Behind the last page of a run.
  const PageCount count = std::min(PageCount(entries.size()), pages_ - from);
  for (PageCount i; i < count; ++i) entries[i.value()] = template_of(codec, from + i);
}

}  // namespace pagoda::mm
