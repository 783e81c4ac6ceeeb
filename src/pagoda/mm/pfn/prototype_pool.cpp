#include "pagoda/mm/pfn/prototype_pool.h"

#include <array>
#include <span>

#include "pagoda/machine/page_walker.h"

namespace pagoda::mm {

namespace {

constexpr std::size_t kMostEntries = kPageBytes / sizeof(std::uint32_t);  // x86's; other modes have half as many.

}  // namespace

PrototypePool::PrototypePool(PfnDatabase& pfns, const PteCodec& codec)
    : pfns_(pfns), codec_(codec), pages_(pfns.prototype_pages()) {
  // Page 0 stays free: on x86 a pointer to its first entry would have no bits set but the form's.
  add_free(1, pages_.size().value() - 1);
}

void PrototypePool::add_free(std::uint64_t first, std::uint64_t pages) {
  free_.emplace(first, pages);
  free_by_size_.emplace(pages, first);
}

void PrototypePool::remove_free(std::map<std::uint64_t, std::uint64_t>::iterator run) {
  free_by_size_.erase({run->second, run->first});
  free_.erase(run);
}

Result<VirtualAddress> PrototypePool::reserve(PageCount pages) {
  pfns_.lock.assert_held();
  const auto found = free_by_size_.lower_bound({pages.value(), 0});
  if (found == free_by_size_.end()) return fail(Status::kInsufficientResources);
  const auto [size, first] = *found;
  remove_free(free_.find(first));
  if (size > pages.value()) add_free(first + pages.value(), size - pages.value());
  return pages_.address_of(static_cast<std::uint32_t>(first));
}

void PrototypePool::release(VirtualAddress first, PageCount pages) {
  pfns_.lock.assert_held();
  std::uint64_t start = pages_.number_of(first);
  std::uint64_t size = pages.value();
  const auto after = free_.lower_bound(start);
  if (after != free_.end() && after->first == start + size) {
    size += after->second;
    remove_free(after);
  }
  const auto next = free_.lower_bound(start);
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == start) {
      start = before->first;
      size += before->second;
      remove_free(before);
    }
  }
  add_free(start, size);
}

Result<Pfn> PrototypePool::make_page(machine::Processor& cpu, std::uint32_t page, std::uint64_t owner) {
  pfns_.lock.assert_held();
  const auto [frame, zeroed] = PAGODA_TRY(pfns_.take(cpu, Contents::kZeroed));
  if (!zeroed) {
    cpu.physical().zero(frame);
    cpu.charge(cpu.machine().costs().zero_page);
  }
  pfns_.make_prototype_page(frame, page, owner);
  return frame;
}

Result<PhysicalAddress> PrototypePool::make(machine::Processor& cpu, VirtualAddress prototype,
                                            const PrototypeOwner& owner) {
  if (const PhysicalAddress there = find(prototype); there != kNone) return there;
  const std::uint32_t page = pages_.number_of(prototype);
  PhysicalAddress pte(PAGODA_TRY(make_page(cpu, page, owner.number())));
  std::array<RawPte, kMostEntries> entries{};
  owner.fill_template(codec_, pages_.address_of(page), std::span(entries).first(entries_per_page()));
  const ByteCount width(codec_.mode().entry_bytes);
  for (std::uint64_t i = 0; i < entries_per_page(); ++i, pte += width)
    if (entries[i] != 0) machine::store_entry(cpu.physical(), codec_.mode(), pte, entries[i]);
  return find(prototype);
}

void PrototypePool::free_page(VirtualAddress prototype) {
  pfns_.lock.assert_held();
  if (const Pfn frame = frame_of(prototype); frame != kNoPfn) pfns_.free_prototype_page(frame);
}

Result<VirtualAddress> PrototypePool::make_clone_page(machine::Processor& cpu) {
  pfns_.lock.assert_held();
  const VirtualAddress address = PAGODA_TRY(reserve(1_pages));
  std::uint32_t number = static_cast<std::uint32_t>(clones_.size());
  if (free_clones_.empty()) {
    clones_.push_back(nullptr);
  } else {
    number = free_clones_.back();
    free_clones_.pop_back();
  }
  if (const auto made = make_page(cpu, pages_.number_of(address), PrototypePages::kClone | number); !made) {
    release(address, 1_pages);
    free_clones_.push_back(number);
    return fail(made.error());
  }
  clones_[number] = std::make_unique<ClonePage>();
  clones_[number]->address = address;
  clones_[number]->references.resize(entries_per_page());
  ++clone_pages_;
  return address;
}

PrototypePool::ClonePage& PrototypePool::clone_page(VirtualAddress prototype) {
  return *clones_[clone_number(frame_of(prototype))];
}

void PrototypePool::add_clone_reference(VirtualAddress prototype, std::uint32_t references) {
  ClonePage& page = clone_page(prototype);
  std::uint32_t& count = page.references[prototype.page_offset() / codec_.mode().entry_bytes];
  if (count == 0) ++page.used;
  count += references;
}

std::uint32_t PrototypePool::clone_references(VirtualAddress prototype) const {
  return clones_[clone_number(frame_of(prototype))]->references[prototype.page_offset() / codec_.mode().entry_bytes];
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
  const std::uint32_t number = clone_number(pte.pfn());
  const VirtualAddress address = page.address;
  free_page(address);
  release(address, 1_pages);
  clones_[number].reset();
  free_clones_.push_back(number);
  --clone_pages_;
  return 1_pages;
}

}  // namespace pagoda::mm
