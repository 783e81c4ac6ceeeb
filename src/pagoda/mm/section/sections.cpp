#include "pagoda/mm/section/sections.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "pagoda/mm/space/page_tables.h"

namespace pagoda::mm {

namespace {

// What a PTE's page number, a VAD and NT's tests agree on: sections of 128 TB and more are refused as such
// (reference/nt.md section 6).
constexpr ByteCount kTooBig = 128_TiB;

// Where the addresses of subsections begin, and what lies between two of them: nonpaged pool and the size that NT's
// structure has on 64-bit systems, rounded up.
constexpr ByteCount kSubsectionSize = 64_B;
VirtualAddress subsection_base(const machine::PagingMode& mode) {
  return mode.format == machine::PteFormat::kAmd64 ? VirtualAddress(0xFFFFFA80'00000000)
                                                   : VirtualAddress(PoolBases{}.nonpaged_pool_start);
}
// What an x86 PTE can name above the start of nonpaged pool (reference/nt.md 2.3); enough for the others too.
constexpr std::size_t kMostSubsections = (128_MiB).value() / kSubsectionSize.value();

// In the order of reference/nt.md 6.1.
Result<> may_be_large(const machine::PagingMode& mode, const SectionRequest& request) {
  if (request.kind != SectionKind::kPagingFile || request.flags.reserve) return fail(Status::kInvalidParameter6);
  if (request.size.value() % large_page_size(mode).value() != 0) return fail(Status::kInvalidParameter4);
  if (cache_attribute(request.protection) != CacheAttribute::kCached) return fail(Status::kInvalidPageProtection);
  return {};
}

}  // namespace

Sections::Sections(Core& core, ShortageRelief& relief, AllViews& views)
    : lock(LockRank(LockClass::kSection, core.depth)), core_(core), relief_(relief), views_(views) {}

Sections::~Sections() = default;

Sections::Use::Use(Sections& sections, Processor& cpu, ControlArea& area)
    : sections_(&sections), cpu_(&cpu), area_(&area) {
  const LockGuard guard(sections.core_.pfns.lock);
  ++area.users;
}

Sections::Use::~Use() {
  if (area_ == nullptr) return;
  const LockGuard guard(sections_->lock);
  {
    const LockGuard pfn_guard(sections_->core_.pfns.lock);
    --area_->users;
  }
  sections_->end_if_unused(*cpu_, *area_);
}

Sections::FileChange::FileChange(Sections& sections, FileStream& file) : sections_(sections), file_(file) {
  const LockGuard guard(sections_.lock);
  sections_.wait_for_change(file_);
  file_.changing_ = true;
}

Sections::FileChange::~FileChange() {
  const LockGuard guard(sections_.lock);
  file_.changing_ = false;
  sections_.changed_.wake_all();
}

ControlArea& Sections::new_area(SectionKind kind, const SectionFlags& flags, std::shared_ptr<FileStream> file) {
  areas_.push_back(std::make_unique<ControlArea>(next_area_++, kind, flags, std::move(file)));
  ControlArea& area = *areas_.back();
  area.place_ = std::prev(areas_.end());
  const LockGuard guard(core_.pfns.lock);
  core_.prototypes.add_owner(area);
  return area;
}

Result<> Sections::may_add_subsections(std::size_t count) const {
  const std::size_t room = kMostSubsections - next_place_ + free_places_.size();
  return count <= room ? Result<>{} : fail(Status::kInsufficientResources);
}

Subsection& Sections::add_subsection(ControlArea& area, const Subsection& what) {
  std::size_t place = next_place_;
  if (free_places_.empty()) {
    PAGODA_CHECK_LT(place, kMostSubsections);
    ++next_place_;
  } else {
    place = free_places_.back();
    free_places_.pop_back();
  }
  auto subsection = std::make_unique<Subsection>(what);
  subsection->address = subsection_base(core_.mode) + kSubsectionSize * place;
  area.subsections_.push_back(std::move(subsection));
  return *area.subsections_.back();
}

Result<> Sections::charge(ControlArea& area, PageCount pages, PageCount prototypes) {
  const LockGuard guard(core_.pfns.lock);
  PAGODA_TRY(core_.commit.charge(pages));
  if (!core_.commit.charge(prototypes)) {
    core_.commit.give_back(pages);
    return fail(Status::kInsufficientResources);
  }
  area.charge += pages + prototypes;
  return {};
}

// The last subsection goes on as far as the last run has entries; what is more gets a run and a subsection of its own.
// Entries of pages that exist already and are beyond the old end become what a new page would have.
Result<> Sections::grow(Processor& cpu, ControlArea& area, PageCount pages) {
  PAGODA_TRY(may_add_subsections(1));
  const LockGuard guard(core_.pfns.lock);
  PrototypePool& pool = core_.prototypes;
  const PageCount end = area.runs_.empty() ? 0_pages : area.runs_.back().first + area.runs_.back().pages;
  if (pages > end) {
    const PageCount pool_pages = pool.pages_for(pages - end);
    const auto at = pool.reserve(pool_pages);
    if (!at) return std::unexpected(at.error());
    area.runs_.push_back({end, PageCount(pool_pages.value() * pool.entries_per_page()), *at});
  }
  const PageCount old = area.pages_;
  if (area.subsections_.empty()) {
    area.pages_ = pages;
    return {};
  }
  // Only a file's data grows: one place, one after the other.
  if (pages > end && !end.is_zero()) {
    lock.assert_held();
    const Subsection& last = *area.subsections_.back();
    add_subsection(area, {.first = end,
                          .pages = {},
                          .file_offset = last.file_offset + bytes_of(end - last.first),
                          .file_bytes = {},
                          .protection = last.protection,
                          .address = {}});
  }
  area.set_end(pages);
  for (PageCount page = old; page < std::min(pages, end); ++page) {
    const PhysicalAddress pte = pool.find(area.prototype_of(core_.codec, page));
    if (pte != PrototypePool::kNone)
      machine::store_entry(cpu.physical(), core_.mode, pte, area.template_of(core_.codec, page));
  }
  return {};
}

Result<> Sections::file_for(const Processor& cpu, const SectionRequest& request, ByteCount size) {
  FileStream& file = *request.file;
  if (file.size().is_zero() && request.size.is_zero()) return fail(Status::kMappedFileSizeZero);
  if (size <= file.size()) return {};
  if (!is_writable(request.protection)) return fail(Status::kSectionTooBig);
  return resize_file(cpu, file, size);
}

Result<ControlArea*> Sections::area_for(Processor& cpu, const SectionRequest& request, PageCount pages) {
  PAGODA_TRY(may_add_subsections(1));
  if (request.kind == SectionKind::kData) {
    FileStream& file = *request.file;
    const PageCount whole = pages_of(file.size());
    if (file.data_ == nullptr) {
      ControlArea& area =
          new_area(SectionKind::kData,
                   {.no_cache = request.flags.no_cache, .write_combine = request.flags.write_combine}, request.file);
      if (const auto grown = grow(cpu, area, whole); !grown) {
        destroy(cpu, area);
        return std::unexpected(grown.error());
      }
      // Whoever may write to the file shows it by the view; the pages' own right is all of them.
      add_subsection(area, {.first = {},
                            .pages = whole,
                            .file_offset = {},
                            .file_bytes = {},
                            .protection = cached_as(Protection::kExecuteReadWrite, area.flags().cache()),
                            .address = {}});
      file.data_ = &area;
    } else if (whole > file.data_->pages()) {
      PAGODA_TRY(grow(cpu, *file.data_, whole));
    }
    return file.data_;
  }
  ControlArea& area = new_area(SectionKind::kPagingFile, request.flags, nullptr);
  auto made = charge(area, request.flags.reserve ? 0_pages : pages, core_.prototypes.pages_for(pages));
  if (made) made = grow(cpu, area, pages);
  if (!made) {
    destroy(cpu, area);
    return std::unexpected(made.error());
  }
  add_subsection(area, {.first = {},
                        .pages = pages,
                        .file_offset = {},
                        .file_bytes = {},
                        .protection = cached_as(request.protection, area.flags().cache()),
                        .address = {}});
  if (request.flags.large_pages) {
    if (const auto taken = take_large_pages(cpu, area); !taken) {
      destroy(cpu, area);
      return std::unexpected(taken.error());
    }
  }
  return &area;
}

Result<Section*> Sections::create(Processor& cpu, const SectionRequest& request) {
  reap(cpu);
  if (request.kind != SectionKind::kImage) {
    const LockGuard guard(lock);
    if (request.file != nullptr) wait_for_change(*request.file);
    return create_locked(cpu, request, nullptr);
  }
  // What the image's pages are read from is the file. NT: MiFlushDataSection.
  if (const Use data = use_data_if_any(cpu, *request.file); data.get() != nullptr) views_.collect_writes(cpu, *data);
  PAGODA_TRY(flush(cpu, *request.file, FileOffset{}, ByteCount{}));
  return with_memory(relief_, cpu, [&]() -> Result<Section*> {
    const FileChange change(*this, *request.file);
    const Use image = PAGODA_TRY(image_area(cpu, request.file));
    const LockGuard guard(lock);
    return create_locked(cpu, request, image.get());
  });
}

Result<Section*> Sections::create_locked(Processor& cpu, const SectionRequest& request, ControlArea* image) {
  ByteCount size = request.size;
  if (request.flags.large_pages) PAGODA_TRY(may_be_large(core_.mode, request));
  if (image != nullptr) {
    size = bytes_of(image->pages());
    if (request.size > size) return fail(Status::kSectionTooBig);
  } else if (request.kind == SectionKind::kPagingFile) {
    if (size.is_zero()) return fail(Status::kInvalidParameter4);
    if (size >= kTooBig) return fail(Status::kSectionTooBig);
    size = bytes_of(pages_of(size));
  } else {
    if (size.is_zero()) size = request.file->size();
    if (size >= kTooBig) return fail(Status::kSectionTooBig);
    PAGODA_TRY(file_for(cpu, request, size));
  }
  std::optional<VirtualAddress> based_at;
  if (request.flags.based && image == nullptr) {
    constexpr PageCount kSmallest{kAllocationGranularity >> kPageShift};
    const PageCount granule = request.flags.large_pages ? pages_of(large_page_size(core_.mode)) : kSmallest;
    const Vpn first(kSmallest.value());
    const Vpn last = (core_.mode.highest_user - ByteCount(kAllocationGranularity)).vpn();
    const Vpn at = based_.find_highest(pages_of(size), {first, last - first + 1_pages}, granule);
    if (at == VadTree::kNoVpn) return fail(Status::kNoMemory);
    based_at = VirtualAddress(at);
  }
  const auto area = image != nullptr ? image : area_for(cpu, request, pages_of(size));
  if (!area) return std::unexpected(area.error());
  {
    const LockGuard pfn_guard(core_.pfns.lock);
    ++(*area)->section_references;
  }
  if (based_at) {
    Vad place;
    place.range = {based_at->vpn(), pages_of(size)};
    based_.insert(place);
  }
  auto section = std::make_unique<Section>();
  section->control_area_ = *area;
  section->kind_ = request.kind;
  section->size_ = size;
  if (image != nullptr && !request.size.is_zero()) section->asked_size_ = request.size;
  section->protection_ = request.protection;
  section->flags_ = request.flags;
  section->based_at_ = based_at;
  sections_.push_back(std::move(section));
  sections_.back()->place_ = std::prev(sections_.end());
  return sections_.back().get();
}

void Sections::reference(Section& section) {
  const LockGuard guard(lock);
  ++section.references_;
}

void Sections::dereference(Processor& cpu, Section& section) {
  const LockGuard guard(lock);
  if (--section.references_ > 0) return;
  ControlArea& area = *section.control_area_;
  if (section.based_at_) based_.erase(*based_.find(section.based_at_->vpn()));
  sections_.erase(section.place_);
  {
    const LockGuard pfn_guard(core_.pfns.lock);
    --area.section_references;
  }
  end_if_unused(cpu, area);
}

void Sections::view_unmapped(Processor& cpu, ControlArea& area) {
  const LockGuard guard(lock);
  {
    const LockGuard pfn_guard(core_.pfns.lock);
    --area.mapped_views;
  }
  end_if_unused(cpu, area);
}

// A file's pages stay, for the next who opens it, and the control area with them.
void Sections::end_if_unused(Processor& cpu, ControlArea& area) {
  {
    const LockGuard guard(core_.pfns.lock);
    if (area.is_used()) return;
    if (area.kind() != SectionKind::kPagingFile && !area.delete_when_unused && !area.resident.is_zero()) return;
  }
  destroy(cpu, area);
}

void Sections::destroy(Processor& cpu, ControlArea& area) {
  if (area.flags().large_pages) drop_large_pages(cpu, area);
  const std::uint64_t width = core_.mode.entry_bytes;
  for (const ControlArea::Run& run : area.runs_) {
    const PageCount pool_pages = core_.prototypes.pages_for(run.pages);
    for (PageCount n; n < pool_pages; ++n) {
      const LockGuard guard(core_.pfns.lock);
      const VirtualAddress address = run.prototypes + bytes_of(n);
      const PhysicalAddress first = core_.prototypes.find(address);
      if (first == PrototypePool::kNone) {
        if (core_.prototypes.is_out(address)) core_.prototypes.give_up(address);
        continue;
      }
      {
        const PrototypePool::Pin pin(core_.prototypes, first);
        for (std::uint64_t offset = 0; offset < kPageBytes; offset += width)
          core_.pfns.drop_prototype(cpu, first + ByteCount(offset));
      }
      core_.prototypes.free_page(address);  // Unless the pin's end has.
    }
    const LockGuard guard(core_.pfns.lock);
    core_.prototypes.release(run.prototypes, pool_pages);
  }
  for (const auto& subsection : area.subsections_) {
    const std::uint64_t place = (subsection->address - subsection_base(core_.mode)) / kSubsectionSize;
    free_places_.push_back(static_cast<std::uint32_t>(place));
  }
  if (area.file_ != nullptr) {
    if (area.file_->data_ == &area) area.file_->data_ = nullptr;
    if (area.file_->image_ == &area) area.file_->image_ = nullptr;
  }
  {
    const LockGuard guard(core_.pfns.lock);
    core_.commit.give_back(area.charge);
    core_.prototypes.remove_owner(area);
  }
  areas_.erase(area.place_);
}

void Sections::reap(Processor& cpu) {
  std::vector<std::uint32_t> emptied;
  {
    const LockGuard guard(core_.pfns.lock);
    if (!core_.prototypes.any_emptied()) return;
    emptied = core_.prototypes.take_emptied();
  }
  const LockGuard guard(lock);
  for (const std::uint32_t number : emptied) {
    ControlArea* area = nullptr;
    {
      const LockGuard pfn_guard(core_.pfns.lock);
      area = static_cast<ControlArea*>(core_.prototypes.owner(number));
    }
    if (area != nullptr) end_if_unused(cpu, *area);
  }
}

Result<> Sections::commit(const Processor& cpu, ControlArea& area, PageCount first, PageCount count) {
  const LockGuard guard(core_.pfns.lock);
  const PageCount end = first + count;
  const PageCount promised = count - area.committed.count_in(first, end);
  PAGODA_TRY(core_.commit.charge(promised));
  area.charge += promised;
  area.committed.add(first, end);
  for (PageCount page = first; page < end;) {
    const VirtualAddress prototype = area.prototype_of(core_.codec, page);
    const PhysicalAddress pte = core_.prototypes.find(prototype);
    if (pte == PrototypePool::kNone) {
      page += core_.prototypes.entries_left(prototype);
      continue;
    }
    if (core_.load(cpu, pte) == 0)
      machine::store_entry(cpu.physical(), core_.mode, pte, area.template_of(core_.codec, page));
    ++page;
  }
  return {};
}

Result<ByteCount> Sections::extend(Processor& cpu, Section& section, ByteCount size) {
  if (section.kind() != SectionKind::kData) return fail(Status::kSectionNotExtended);
  const LockGuard guard(lock);
  wait_for_change(*section.control_area_->file_);
  if (size <= section.size_) return section.size_;
  if (size >= kTooBig) return fail(Status::kSectionTooBig);
  PAGODA_TRY(lengthen(cpu, *section.control_area_->file_, size));
  section.size_ = size;
  return size;
}

std::size_t Sections::drop_unused(Processor& cpu) {
  std::vector<std::shared_ptr<FileStream>> files;  // Keeps them, and so the control areas' addresses, until the end.
  {
    const LockGuard guard(lock);
    for (const auto& area : areas_)
      if (!is_used(*area)) files.push_back(area->file());
  }
  std::size_t dropped = 0;
  for (const auto& file : files) {
    if (!flush(cpu, *file, FileOffset{}, ByteCount{})) continue;
    const LockGuard guard(lock);
    for (ControlArea* const area : {file->data_, file->image_}) {
      if (area == nullptr || is_used(*area)) continue;
      destroy(cpu, *area);
      ++dropped;
    }
  }
  return dropped;
}

bool Sections::is_used(const ControlArea& area) const {
  const LockGuard guard(core_.pfns.lock);
  return area.is_used();
}

}  // namespace pagoda::mm
