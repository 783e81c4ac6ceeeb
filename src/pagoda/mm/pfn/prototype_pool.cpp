#include "pagoda/mm/pfn/prototype_pool.h"

#include <algorithm>

#include "pagoda/machine/page_walker.h"

namespace pagoda::mm {

namespace {

struct Place {
  VirtualAddress base;
  PageCount size;
};

// Paged pool of each mode, as far as PTEs can point: reference/nt.md 2.3 and 2.5.
Place place_of(const machine::PagingMode& mode) {
  switch (mode.format) {
    case machine::PteFormat::kX86:
      return {VirtualAddress(PoolBases{}.paged_pool_start), pages_of(1_GiB)};
    case machine::PteFormat::kPae:
      return {VirtualAddress(PoolBases{}.paged_pool_start),
              pages_of(ByteCount((std::uint64_t{1} << 32) - PoolBases{}.paged_pool_start))};
    case machine::PteFormat::kAmd64:
      return {VirtualAddress(0xFFFFF8A0'00000000), pages_of(128_GiB)};
  }
  return {};
}

}  // namespace

PrototypePool::PrototypePool(PfnDatabase& pfns, const PteCodec& codec)
    : pfns_(pfns),
      codec_(codec),
      base_(place_of(codec.mode()).base),
      size_(place_of(codec.mode()).size),
      frames_(size_.value()) {
  // Page 0 stays free: on x86 a pointer to its first entry would have no bits set but the form's.
  free_.emplace(1, size_.value() - 1);
}

Result<VirtualAddress> PrototypePool::reserve(PageCount pages) {
  pfns_.lock.assert_held();
  for (auto run = free_.begin(); run != free_.end(); ++run) {
    if (run->second < pages.value()) continue;
    const auto [first, size] = *run;
    free_.erase(run);
    if (size > pages.value()) free_.emplace(first + pages.value(), size - pages.value());
    return page_address(static_cast<std::uint32_t>(first));
  }
  return fail(Status::kInsufficientResources);
}

void PrototypePool::release(VirtualAddress first, PageCount pages) {
  pfns_.lock.assert_held();
  std::uint64_t start = page_number(first);
  std::uint64_t size = pages.value();
  const auto after = free_.lower_bound(start);
  if (after != free_.end() && after->first == start + size) {
    size += after->second;
    free_.erase(after);
  }
  const auto next = free_.lower_bound(start);
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == start) {
      start = before->first;
      size += before->second;
      free_.erase(before);
    }
  }
  free_.emplace(start, size);
}

Result<Pfn> PrototypePool::make_page(machine::Processor& cpu, std::uint32_t page, std::uint64_t owner) {
  pfns_.lock.assert_held();
  const auto taken = pfns_.take(cpu, Contents::kZeroed);
  if (!taken) return std::unexpected(taken.error());
  if (!taken->zeroed) {
    cpu.physical().zero(taken->frame);
    cpu.charge(cpu.machine().costs().zero_page);
  }
  pfns_.make_prototype_page(taken->frame, page, owner);
  frames_[page] = taken->frame.value();
  ++pages_;
  return taken->frame;
}

Result<PhysicalAddress> PrototypePool::make(machine::Processor& cpu, VirtualAddress prototype,
                                            const ControlArea& owner) {
  if (const PhysicalAddress there = find(prototype); there != kNone) return there;
  const std::uint32_t page = page_number(prototype);
  const auto frame = make_page(cpu, page, owner.number());
  if (!frame) return std::unexpected(frame.error());
  const std::uint64_t width = codec_.mode().entry_bytes;
  const PageCount first = owner.page_of(codec_, page_address(page));
  const PageCount end = std::min(first + PageCount(entries_per_page()), owner.pages());
  PhysicalAddress pte(*frame);
  for (PageCount at = first; at < end; ++at, pte += ByteCount(width)) {
    const RawPte raw = owner.template_of(codec_, at);
    if (raw != 0) machine::store_entry(cpu.physical(), codec_.mode(), pte, raw);
  }
  return find(prototype);
}

ControlArea* PrototypePool::owner_of(PhysicalAddress pte) const {
  const std::uint64_t owner = pfns_.entry(pte.pfn()).original_pte;
  if ((owner & kClone) != 0) return nullptr;
  const auto found = owners_.find(static_cast<std::uint32_t>(owner));
  return found == owners_.end() ? nullptr : found->second;
}

void PrototypePool::add_owner(ControlArea& owner) { owners_.emplace(owner.number(), &owner); }

void PrototypePool::free_page(VirtualAddress prototype) {
  pfns_.lock.assert_held();
  const Pfn frame = frame_of(prototype);
  if (frame == kNoPfn) return;
  frames_[page_number(prototype)] = 0;
  --pages_;
  pfns_.free_page_table(frame);
}

void PrototypePool::entry_resident(Pfn page) {
  pfns_.lock.assert_held();
  if (ControlArea* const owner = owner_of(PhysicalAddress(page)); owner != nullptr) ++owner->resident;
}

void PrototypePool::entry_left(Pfn page) {
  pfns_.lock.assert_held();
  ControlArea* const owner = owner_of(PhysicalAddress(page));
  if (owner == nullptr) return;
  --owner->resident;
  if (owner->resident.is_zero() && !owner->is_used()) emptied_.push_back(owner->number());
  free_if_template(page);
}

bool PrototypePool::writes_back(Pfn page) const {
  const ControlArea* const owner = owner_of(PhysicalAddress(page));
  return owner != nullptr && owner->kind() == SectionKind::kData;
}

void PrototypePool::free_if_template(Pfn page) {
  pfns_.lock.assert_held();
  if (pfns_.entry(page).share_count > 1) return;
  const ControlArea* const owner = owner_of(PhysicalAddress(page));
  if (owner != nullptr && owner->kind() == SectionKind::kData) free_page(page_address(pfns_.entry(page).used_entries));
}

void PrototypePool::unpin(Pfn page) {
  pfns_.lock.assert_held();
  pfns_.unpin_table(page);
  free_if_template(page);
}

Result<VirtualAddress> PrototypePool::make_clone_page(machine::Processor& cpu) {
  pfns_.lock.assert_held();
  const auto address = reserve(1_pages);
  if (!address) return address;
  std::uint32_t number = static_cast<std::uint32_t>(clones_.size());
  if (free_clones_.empty()) {
    clones_.push_back(nullptr);
  } else {
    number = free_clones_.back();
    free_clones_.pop_back();
  }
  const auto frame = make_page(cpu, page_number(*address), kClone | number);
  if (!frame) {
    release(*address, 1_pages);
    free_clones_.push_back(number);
    return std::unexpected(frame.error());
  }
  clones_[number] = std::make_unique<ClonePage>();
  clones_[number]->address = *address;
  clones_[number]->references.resize(entries_per_page());
  ++clone_pages_;
  return address;
}

PrototypePool::ClonePage& PrototypePool::clone_page(VirtualAddress prototype) {
  return *clones_[static_cast<std::size_t>(pfns_.entry(frame_of(prototype)).original_pte & ~kClone)];
}

void PrototypePool::add_clone_reference(VirtualAddress prototype, std::uint32_t references) {
  ClonePage& page = clone_page(prototype);
  std::uint32_t& count = page.references[prototype.page_offset() / codec_.mode().entry_bytes];
  if (count == 0) ++page.used;
  count += references;
}

std::uint32_t PrototypePool::clone_references(VirtualAddress prototype) const {
  const auto& page = clones_[static_cast<std::size_t>(pfns_.entry(frame_of(prototype)).original_pte & ~kClone)];
  return page->references[prototype.page_offset() / codec_.mode().entry_bytes];
}

PageCount PrototypePool::drop_clone_reference(const machine::Processor& cpu, VirtualAddress prototype) {
  pfns_.lock.assert_held();
  ClonePage& page = clone_page(prototype);
  std::uint32_t& count = page.references[prototype.page_offset() / codec_.mode().entry_bytes];
  PAGODA_DCHECK_GT(count, 0U);
  if (--count > 0) return {};
  --page.used;
  const PhysicalAddress pte = find(prototype);
  pfns_.drop_prototype(cpu, pte);
  if (page.used > 0) return {};
  const auto number = static_cast<std::uint32_t>(pfns_.entry(pte.pfn()).original_pte & ~kClone);
  const VirtualAddress address = page.address;
  free_page(address);
  release(address, 1_pages);
  clones_[number].reset();
  free_clones_.push_back(number);
  --clone_pages_;
  return 1_pages;
}

}  // namespace pagoda::mm
