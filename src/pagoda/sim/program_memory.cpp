#include "pagoda/sim/program_memory.h"

#include <algorithm>

#include "pagoda/base/status.h"
#include "pagoda/guest/dax_driver.h"

namespace pagoda::sim {

namespace {

constexpr std::uint64_t kGranulePages = kAllocationGranularity / kPageBytes;

// The runs rounded out to 64 KB units, neighbours joined.
std::vector<VpnRange> granules(const std::vector<VpnRange>& pages) {
  std::vector<VpnRange> result;
  for (const VpnRange& run : pages) {
    const Vpn first(run.first.value() / kGranulePages * kGranulePages);
    const Vpn end((run.last().value() / kGranulePages + 1) * kGranulePages);
    if (!result.empty() && result.back().end() >= first) {
      result.back().count = end - result.back().first;
    } else {
      result.push_back({first, end - first});
    }
  }
  return result;
}

}  // namespace

ProgramMemory::ProgramMemory(const std::vector<VpnRange>& pages) : own_pages_(pages) {
  for (const VpnRange& region : granules(pages)) committed_ += region.count;
}

ProgramMemory::ProgramMemory(const std::vector<VpnRange>& pages, SharedFile& file, FileViewConfig::Kind view)
    : file_(&file), view_(view), file_pages_(file.pages().value()) {
  const VpnRange& run = pages.front();
  // The view takes addresses that the rest might want, so the rest is placed too.
  const VpnRange own{Vpn(0), run.count - file.pages()};
  if (!own.count.is_zero()) own_pages_ = {own};
  for (const VpnRange& region : granules(own_pages_)) committed_ += region.count;
}

ProgramMemory ProgramMemory::fork() const {
  ProgramMemory child(own_pages_);
  child.file_ = file_;
  child.view_ = view_;
  child.file_pages_ = file_pages_;
  child.page_ = page_;
  child.last_interval_ = last_interval_;
  for (std::uint32_t& last : child.last_interval_) last = last == kNever || last == kForgotten ? kNever : kGiven;
  child.model_.resize(model_.size());
  for (std::size_t page = 0; page < model_.size(); ++page)
    if (model_[page]) child.model_[page] = std::make_unique<PageModel>(*model_[page]);
  return child;
}

Result<> ProgramMemory::make(mm::MemoryManager& manager, machine::Processor& cpu, mm::ProcessSpace& space) {
  page_.clear();
  if (file_ != nullptr) PAGODA_TRY(map(manager, cpu, space));
  PAGODA_TRY(reserve(space, cpu));
  last_interval_.assign(page_.size(), kNever);
  std::fill_n(last_interval_.begin(), file_pages_, kGiven);
  return {};
}

Result<> ProgramMemory::map(mm::MemoryManager& manager, machine::Processor& cpu, mm::ProcessSpace& space) {
  const VpnRange view = PAGODA_TRY(view_ == FileViewConfig::Kind::kDirect ? map_directly(manager, cpu, space)
                                                                          : map_section(manager, cpu, space));
  page_.reserve(view.count.value());
  for (PageCount i; i < view.count; ++i) page_.push_back(view.first + i);
  return {};
}

Result<VpnRange> ProgramMemory::map_directly(mm::MemoryManager& manager, machine::Processor& cpu,
                                             mm::ProcessSpace& space) {
  return guest::DaxDriver(manager, cpu).map(space, file_->stream()->name(), mm::Protection::kExecuteWriteCopy);
}

Result<VpnRange> ProgramMemory::map_section(mm::MemoryManager& manager, machine::Processor& cpu,
                                            mm::ProcessSpace& space) {
  const ByteCount size = bytes_of(PageCount(file_pages_));
  auto* const section = PAGODA_TRY(manager.sections().create(cpu, {.file = file_->stream(),
                                                                   .kind = mm::SectionKind::kData,
                                                                   .size = size,
                                                                   .protection = mm::Protection::kReadWrite}));
  const bool copies = view_ == FileViewConfig::Kind::kCopy;
  auto view = space.map_view(
      cpu, *section,
      {.protection = copies ? mm::Protection::kWriteCopy : mm::Protection::kReadWrite, .inherit = mm::Inherit::kShare});
  manager.sections().dereference(cpu, *section);  // The view keeps what it needs.
  return view;
}

Result<> ProgramMemory::reserve(mm::ProcessSpace& space, machine::Processor& cpu) {
  const std::vector<VpnRange> regions = granules(own_pages_);
  if (regions.empty()) return {};
  const Vpn highest = (cpu.machine().paging().highest_user - ByteCount(kAllocationGranularity)).vpn();
  const bool own_addresses = regions.front().first.value() >= kGranulePages && regions.back().last() <= highest;
  std::size_t run = 0;
  for (const VpnRange& region : regions) {
    mm::ReserveRequest request{
        .size = bytes_of(region.count), .protection = mm::Protection::kExecuteReadWrite, .commit = mm::MemCommit::kYes};
    if (own_addresses) request.base = VirtualAddress(region.first);
    const auto reserved = PAGODA_TRY(space.reserve(cpu, request));
    for (; run < own_pages_.size() && own_pages_[run].first < region.end(); ++run) {
      for (PageCount i; i < own_pages_[run].count; ++i)
        page_.push_back(reserved.first + (own_pages_[run].first - region.first) + i);
    }
  }
  return {};
}

}  // namespace pagoda::sim
