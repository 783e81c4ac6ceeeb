#include "pagoda/mm/backing/paging_file.h"

#include <algorithm>
#include <utility>

namespace pagoda::mm {

namespace {

// Growth in steps of at least this, so that one page over the limit does not mean one resize each. NT grows by 1 MB and
// more.
constexpr PageCount kGrowthStep = pages_of(1_MiB);

FileOffset offset_of(PageFileSlot slot) { return FileOffset(bytes_of(PageCount(slot.value())).value()); }

}  // namespace

PagingFile::PagingFile(std::string name, std::unique_ptr<machine::DiskFile> file, PageCount minimum, PageCount maximum)
    : Backing(Medium::kDisk),
      name_(std::move(name)),
      file_(std::move(file)),
      minimum_(minimum),
      maximum_(maximum),
      slots_(minimum.value()) {
  PAGODA_CHECK_GE(minimum, 2_pages);
  PAGODA_CHECK_EQ(file_->size(), bytes_of(minimum));
  slots_.set(0);
}

SlotRange PagingFile::allocate(PageCount wanted) {
  const auto run = slots_.find_clear_run(wanted.value(), hint_);
  if (!run) return {};
  slots_.set(*run);
  hint_ = run->first + run->count;
  peak_used_ = std::max(peak_used_, used());
  return {PageFileSlot(static_cast<std::uint32_t>(run->first)), PageCount(run->count)};
}

void PagingFile::free(PageFileSlot slot) {
  PAGODA_CHECK_GT(slot.value(), 0U);
  slots_.clear(slot.value());
}

void PagingFile::retire(PageFileSlot slot) {
  PAGODA_CHECK(slots_.test(slot.value()));
  ++retired_;
}

machine::DiskTransfer PagingFile::read(machine::Processor& cpu, PageFileSlot first, std::span<const Pfn> frames) {
  return file_->read(cpu, offset_of(first), frames);
}

machine::DiskTransfer PagingFile::write(machine::Processor& cpu, PageFileSlot first, std::span<const Pfn> frames) {
  return file_->write(cpu, offset_of(first), frames);
}

bool PagingFile::is_used(PageFileSlot slot) const { return slot.value() < slots_.size() && slots_.test(slot.value()); }

bool PagingFile::peek(const machine::PhysicalView& /*memory*/, PageFileSlot slot, Page page) const {
  return file_->peek(offset_of(slot), page);
}

PageCount PagingFile::grow(PageCount pages) {
  const PageCount room = maximum_ - size();
  PageCount step = std::min(room, std::max(pages, kGrowthStep));
  // A nearly full disk may still have room for what is needed, if not for the whole step.
  while (!step.is_zero()) {
    if (file_->resize(bytes_of(size() + step))) {
      slots_.resize((size() + step).value());
      return step;
    }
    step = step > pages ? pages : step / 2;
  }
  return 0_pages;
}

Result<> PagingFiles::add(std::unique_ptr<PagingFile> file) {
  if (!has_room()) return fail(Status::kTooManyPagingFiles);
  backings_.add(static_cast<unsigned>(files_.size()), *file);
  files_.push_back(std::move(file));
  return {};
}

PagingFiles::Slot PagingFiles::allocate(PageCount wanted) {
  const auto best = std::ranges::max_element(files_, {}, [](const auto& file) { return file->free(); });
  if (best == files_.end()) return {};
  const SlotRange run = (*best)->allocate(wanted);
  return {static_cast<unsigned>(best - files_.begin()), run.first, run.count};
}

PageCount PagingFiles::usable() const {
  PageCount all;
  for (const auto& file : files_) all += file->usable();
  return all;
}

PageCount PagingFiles::used() const {
  PageCount all;
  for (const auto& file : files_) all += file->used();
  return all;
}

PageCount PagingFiles::free_slots() const { return usable() - used(); }

PageCount PagingFiles::grow(PageCount pages) {
  PageCount grown;
  for (const auto& file : files_) {
    if (grown >= pages) break;
    grown += file->grow(pages - grown);
  }
  return grown;
}

}  // namespace pagoda::mm
