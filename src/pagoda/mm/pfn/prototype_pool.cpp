#include "pagoda/mm/pfn/prototype_pool.h"

#include <algorithm>
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
  const auto begin = pages_.number_of(first);
  const auto end = begin + static_cast<std::uint32_t>(pages.value());
  auto next = begin;
  for (auto out = pages_.given_up().lower_bound(begin); out != pages_.given_up().end() && *out < end; ++out) {
    if (*out > next) release_run(next, *out - next);
    next = *out + 1;
  }
  if (end > next) release_run(next, end - next);
}

void PrototypePool::release_run(std::uint64_t start, std::uint64_t size) {
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
  PAGODA_CHECK(!is_out(prototype));
  const std::uint32_t page = pages_.number_of(prototype);
  PhysicalAddress pte(PAGODA_TRY(make_page(cpu, page, owner.number())));
  std::array<RawPte, kMostEntries> entries{};
  owner.fill_template(codec_, pages_.address_of(page), std::span(entries).first(entries_per_page()));
  const ByteCount width(codec_.mode().entry_bytes);
  for (std::uint64_t i = 0; i < entries_per_page(); ++i, pte += width)
    if (entries[i] != 0) machine::store_entry(cpu.physical(), codec_.mode(), pte, entries[i]);
  return find(prototype);
}

PhysicalAddress PrototypePool::out_entry(VirtualAddress prototype) const {
  const auto page = pages_.number_of(prototype);
  const auto entries = static_cast<std::uint32_t>(entries_per_page());
  const Pfn table = pages_.tables().at(page / entries);
  return PhysicalAddress(table) + ByteCount(std::uint64_t{page % entries} * codec_.mode().entry_bytes);
}

bool PrototypePool::page_out(machine::Processor& cpu, std::uint32_t page) {
  pfns_.lock.assert_held();
  const Pfn frame = pages_.frame(page);
  const std::uint32_t block = page / static_cast<std::uint32_t>(entries_per_page());
  if (!pages_.tables().contains(block)) {
    const auto taken = pfns_.take_kept(cpu, Contents::kZeroed);  // It gives back more.
    if (!taken) return false;
    if (!taken->zeroed) {
      cpu.physical().zero(taken->frame);
      cpu.charge(cpu.machine().costs().zero_page);
    }
    pfns_.make_page_table(taken->frame, PhysicalAddress(taken->frame));
    pages_.tables().emplace(block, taken->frame);
  }
  const std::uint64_t owner = pfns_.entry(frame).original_pte;
  pages_.add_out(page, owner);
  // Nothing new is put where it cannot be reached.
  if (const auto number = static_cast<std::uint32_t>(owner); (owner & PrototypePages::kClone) != 0)
    if (!clones_[number]->free.empty()) remove_partial(number);
  const PhysicalAddress entry = out_entry(pages_.address_of(page));
  machine::store_entry(cpu.physical(), codec_.mode(), entry, codec_.transition(frame, Protection::kReadWrite));
  pfns_.add_table_use(entry.pfn());
  pfns_.page_out_prototypes(frame, entry, codec_.demand_zero(Protection::kReadWrite));
  return true;
}

std::uint64_t PrototypePool::leave_pool_table(const machine::Processor& cpu, VirtualAddress prototype) {
  const PhysicalAddress entry = out_entry(prototype);
  const std::uint32_t page = pages_.number_of(prototype);
  const std::uint64_t owner = pages_.owner_of_out(page);
  machine::store_entry(cpu.physical(), codec_.mode(), entry, 0);
  pfns_.drop_table_use(entry.pfn());
  pages_.remove_out(page);
  return owner;
}

void PrototypePool::free_pool_table_if_empty(VirtualAddress prototype) {
  pfns_.lock.assert_held();
  const auto table = pages_.tables().find(pages_.number_of(prototype) / static_cast<std::uint32_t>(entries_per_page()));
  if (pfns_.entry(table->second).used_entries > 0) return;
  pfns_.free_page_table(table->second);
  pages_.tables().erase(table);
}

PageCount PrototypePool::page_in(const machine::Processor& cpu, VirtualAddress prototype) {
  pfns_.lock.assert_held();
  const Pfn frame = codec_.frame(machine::load_entry(cpu.physical(), codec_.mode(), out_entry(prototype)));
  const std::uint64_t owner = leave_pool_table(cpu, prototype);
  pfns_.rescue_prototypes(frame, pages_.number_of(prototype), owner);
  free_pool_table_if_empty(prototype);
  return drop_given_up(cpu, prototype);
}

PageCount PrototypePool::page_in(const machine::Processor& cpu, VirtualAddress prototype, Pfn frame) {
  pfns_.lock.assert_held();
  const std::uint64_t owner = leave_pool_table(cpu, prototype);
  pfns_.make_prototype_page(frame, pages_.number_of(prototype), owner);
  free_pool_table_if_empty(prototype);
  return drop_given_up(cpu, prototype);
}

template <class Unused>
void PrototypePool::drop_entries(const machine::Processor& cpu, PhysicalAddress first, Unused&& unused) {
  pfns_.lock.assert_held();
  for (std::size_t entry = 0; entry < entries_per_page(); ++entry)
    if (unused(entry)) pfns_.drop_prototype(cpu, first + ByteCount(entry * codec_.mode().entry_bytes));
}

PageCount PrototypePool::drop_given_up(const machine::Processor& cpu, VirtualAddress prototype) {
  pfns_.lock.assert_held();
  const std::uint32_t page = pages_.number_of(prototype);
  const bool given_up = pages_.given_up().erase(page) > 0;
  const VirtualAddress address = pages_.address_of(page);
  const PhysicalAddress first = find(address);
  if (owner_word(address) == PrototypePages::kNobody) {
    drop_entries(cpu, first, [](std::size_t) { return true; });
    pfns_.free_prototype_page(first.pfn());
    release_run(page, 1);
    return {};
  }
  if (!is_clone(address)) return {};
  const std::uint32_t number = clone_number(address);
  ClonePage& clones = *clones_[number];
  if (given_up) {
    std::vector<bool> known(entries_per_page());
    for (const std::uint16_t entry : clones.free) known[entry] = true;
    drop_entries(cpu, first, [&](std::size_t entry) {
      if (clones.references[entry] > 0 || known[entry]) return false;
      clones.free.push_back(static_cast<std::uint16_t>(entry));
      return true;
    });
  }
  if (clones.free.empty()) return {};
  add_partial(number);
  return clones.free.size() == clones.references.size() ? free_clone_page(number) : 0_pages;
}

std::optional<VirtualAddress> PrototypePool::given_up_from(VirtualAddress prototype) const {
  const auto found = pages_.given_up().lower_bound(pages_.number_of(prototype));
  if (found == pages_.given_up().end()) return std::nullopt;
  return pages_.address_of(*found);
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
  ClonePage& page = *clones_[number];
  page.address = address;
  page.references.resize(entries_per_page());
  page.protections.resize(entries_per_page(), Protection::kNone);
  page.free.reserve(entries_per_page());
  for (std::size_t entry = entries_per_page(); entry-- > 0;) page.free.push_back(static_cast<std::uint16_t>(entry));
  add_partial(number);
  ++clone_pages_;
  return address;
}

void PrototypePool::add_partial(std::uint32_t number) {
  clones_[number]->place = partial_.size();
  partial_.push_back(number);
}

void PrototypePool::remove_partial(std::uint32_t number) {
  const std::size_t place = clones_[number]->place;
  clones_[partial_.back()]->place = place;
  partial_[place] = partial_.back();
  partial_.pop_back();
}

PrototypePool::ClonePage& PrototypePool::clone_page(VirtualAddress prototype) {
  return *clones_[clone_number(prototype)];
}

std::optional<VirtualAddress> PrototypePool::find_clone_entry() const {
  if (partial_.empty()) return std::nullopt;
  const ClonePage& page = *clones_[partial_.back()];
  return page.address + ByteCount(std::uint64_t{page.free.back()} * codec_.mode().entry_bytes);
}

void PrototypePool::use_clone_entry(VirtualAddress prototype, Protection protection, std::uint32_t references) {
  ClonePage& page = clone_page(prototype);
  const std::size_t entry = entry_of(prototype);
  PAGODA_DCHECK_EQ(std::size_t{page.free.back()}, entry);
  page.free.pop_back();
  if (page.free.empty()) remove_partial(clone_number(prototype));
  page.references[entry] = references;
  page.protections[entry] = protection;
}

void PrototypePool::add_clone_reference(VirtualAddress prototype) {
  ClonePage& page = clone_page(prototype);
  std::uint32_t& count = page.references[entry_of(prototype)];
  PAGODA_DCHECK_GT(count, 0U);
  ++count;
  if (!page.tags.empty() && page.tags[entry_of(prototype)] != 0) ++tagged_references_;
}

void PrototypePool::set_clone_tag(VirtualAddress prototype, std::uint32_t tag) {
  ClonePage& page = clone_page(prototype);
  const std::size_t entry = entry_of(prototype);
  PAGODA_DCHECK_GT(page.references[entry], 0U);
  if (page.tags.empty()) page.tags.resize(entries_per_page());
  PAGODA_DCHECK_EQ(page.tags[entry], 0U);
  page.tags[entry] = tag;
  tagged_references_ += page.references[entry];
}

std::uint32_t PrototypePool::clone_tag(VirtualAddress prototype) const {
  const ClonePage& page = *clones_[clone_number(prototype)];
  return page.tags.empty() ? 0 : page.tags[entry_of(prototype)];
}

void PrototypePool::note_dropped(const ClonePage& page, std::size_t entry) {
  if (!page.tags.empty() && page.tags[entry] != 0) --tagged_references_;
}

void PrototypePool::end_tag(ClonePage& page, std::size_t entry) {
  if (page.tags.empty() || page.tags[entry] == 0) return;
  clone_watch_->clone_ended(page.tags[entry]);
  page.tags[entry] = 0;
}

std::uint32_t PrototypePool::clone_references(VirtualAddress prototype) const {
  return clones_[clone_number(prototype)]->references[entry_of(prototype)];
}

PageCount PrototypePool::drop_clone_reference(const machine::Processor& cpu, VirtualAddress prototype) {
  pfns_.lock.assert_held();
  ClonePage& page = clone_page(prototype);
  std::uint32_t& count = page.references[entry_of(prototype)];
  PAGODA_DCHECK_GT(count, 0U);
  if (count > 1) {
    --count;
    note_dropped(page, entry_of(prototype));
    return {};
  }
  if (is_out(prototype)) {
    count = 0;
    note_dropped(page, entry_of(prototype));
    end_tag(page, entry_of(prototype));
    pages_.given_up().insert(pages_.number_of(prototype));
    return {};
  }
  pfns_.drop_prototype(cpu, find(prototype));
  return drop_moved_clone(prototype);
}

PageCount PrototypePool::drop_moved_clone(VirtualAddress prototype) {
  pfns_.lock.assert_held();
  const std::uint32_t number = clone_number(prototype);
  ClonePage& page = *clones_[number];
  std::uint32_t& count = page.references[entry_of(prototype)];
  PAGODA_DCHECK_EQ(count, 1U);
  count = 0;
  note_dropped(page, entry_of(prototype));
  end_tag(page, entry_of(prototype));
  if (page.free.empty()) add_partial(number);
  page.free.push_back(static_cast<std::uint16_t>(entry_of(prototype)));
  return page.free.size() == page.references.size() ? free_clone_page(number) : 0_pages;
}

PageCount PrototypePool::free_clone_page(std::uint32_t number) {
  remove_partial(number);
  const VirtualAddress address = clones_[number]->address;
  free_page(address);
  release(address, 1_pages);
  clones_[number].reset();
  free_clones_.push_back(number);
  --clone_pages_;
  return 1_pages;
}

void PrototypePool::check_clones(const std::function<void(const std::string&)>& finding) const {
  std::size_t pages_with_free = 0;
  for (std::size_t number = 0; number < clones_.size(); ++number) {
    if (clones_[number] == nullptr) continue;
    const ClonePage& page = *clones_[number];
    const auto unused = static_cast<std::size_t>(std::ranges::count(page.references, 0U));
    const bool knows_them = std::ranges::all_of(
        page.free, [&](std::uint16_t entry) { return entry < page.references.size() && page.references[entry] == 0; });
    std::vector<std::uint16_t> entries = page.free;
    std::ranges::sort(entries);
    // Of a page that is out some may have been given up.
    const bool all = page.free.size() == unused ||
                     (page.free.size() < unused && pages_.given_up().contains(pages_.number_of(page.address)));
    if (!knows_them || !all || std::ranges::adjacent_find(entries) != entries.end()) {
      finding(to_string(page.address) + " has " + std::to_string(unused) + " clone entries that are not in use, and " +
              std::to_string(page.free.size()) + " in its list");
    }
    if (page.free.empty() || is_out(page.address)) continue;
    ++pages_with_free;
    if (page.place >= partial_.size() || partial_[page.place] != number)
      finding(to_string(page.address) + " has free clone entries and is not where new ones are looked for");
  }
  if (pages_with_free != partial_.size()) {
    finding(std::to_string(pages_with_free) + " clone pages have free entries, and " + std::to_string(partial_.size()) +
            " are looked at for them");
  }
}

}  // namespace pagoda::mm
