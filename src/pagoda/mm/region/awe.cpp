#include "pagoda/mm/region/awe.h"

#include <algorithm>

#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

namespace {

// Frames taken and zeroed while the PFN lock is held once.
constexpr PageCount kBatch{256};
constexpr Pfn kNothing{0};  // In place of a frame: unmap. Frame 0 is nobody's.

bool has_repeats(std::vector<Pfn>& frames) {
  std::ranges::sort(frames);
  return std::ranges::adjacent_find(frames) != frames.end();
}

}  // namespace

// Frames that may become nonpageable.
PageCount AddressSpace::room_for_user_pages() const {
  const PageCount available = core_.pfns.available();
  return available > core_.kept_pageable() ? available - core_.kept_pageable() : 0_pages;
}

// As many as can be had, charged.
PageCount AddressSpace::charge_user_pages(PageCount wanted) {
  const LockGuard guard(core_.pfns.lock);
  PageCount count = std::min(wanted, room_for_user_pages());
  if (core_.commit.charge(count)) return count;
  const PageCount limit = core_.commit.limit();
  count = std::min(count, limit > core_.commit.charged() ? limit - core_.commit.charged() : 0_pages);
  return core_.commit.charge(count) ? count : 0_pages;
}

Result<std::vector<Pfn>> AddressSpace::allocate_user_pages(Processor& cpu, PageCount count) {
  const LockGuard guard(lock);
  PageCount missing = charge_user_pages(count);
  if (missing.is_zero()) return fail(Status::kInsufficientResources);
  std::vector<Pfn> frames;
  frames.reserve(missing.value());
  std::vector<Pfn> not_zeroed;
  while (!missing.is_zero()) {
    {
      const LockGuard pfn_guard(core_.pfns.lock);
      // Others may have taken frames since they were counted.
      PageCount batch = std::min({missing, kBatch, room_for_user_pages()});
      if (batch.is_zero()) {
        core_.commit.give_back(missing);
        break;
      }
      for (missing -= batch; !batch.is_zero(); --batch) {
        const PfnDatabase::Taken taken = *core_.pfns.take(cpu, Contents::kZeroed);
        awe_.add(core_.pfns, taken.frame);
        frames.push_back(taken.frame);
        if (!taken.zeroed) not_zeroed.push_back(taken.frame);
      }
    }
    for (const Pfn frame : not_zeroed) cpu.physical().zero(frame);
    cpu.charge(core_.machine.costs().zero_page * not_zeroed.size());
    not_zeroed.clear();
  }
  if (frames.empty()) return fail(Status::kInsufficientResources);
  return frames;
}

Vpn AddressSpace::page_of_entry(PhysicalAddress pte) const {
  std::uint64_t page = 0;
  for (unsigned level = 1; level <= core_.mode.levels; ++level) {
    page |= pte.page_offset() / core_.mode.entry_bytes << (core_.mode.level[level].shift - kPageShift);
    pte = core_.pfns.entry(pte.pfn()).pte();
  }
  return Vpn(page);
}

AddressSpace::UserPagesFreed AddressSpace::free_user_pages(Processor& cpu, std::span<const Pfn> frames) {
  const LockGuard guard(lock);
  UserPagesFreed result;
  std::vector<Vpn> mapped;
  std::vector<Pfn> freed;
  {
    const LockGuard pfn_guard(core_.pfns.lock);
    for (const Pfn frame : frames) {
      // Those before it are on their way: named twice is foreign the second time.
      if (!awe_.owns(core_.pfns, frame) || core_.pfns.entry(frame).deleted != 0) {
        result.status = Status::kConflictingAddresses;
        break;
      }
      const PfnEntry& e = core_.pfns.entry(frame);
      core_.pfns.begin_remove_awe(frame);
      freed.push_back(frame);
      if (e.share_count == 0) continue;
      mapped.push_back(page_of_entry(e.pte()));
      tables_.store(cpu, e.pte(), 0);
      core_.pfns.unmap_awe(frame);
    }
  }
  if (!mapped.empty()) invalidate(cpu, mapped);
  for (const Vpn page : mapped) tables_.free_if_empty(cpu, page);
  const LockGuard pfn_guard(core_.pfns.lock);
  for (const Pfn frame : freed) awe_.remove(core_.pfns, frame);
  result.count = PageCount(freed.size());
  core_.commit.give_back(result.count);
  return result;
}

Result<> AddressSpace::map_user_pages(Processor& cpu, VirtualAddress base, std::span<const Pfn> frames) {
  if (std::ranges::find(frames, kNothing) != frames.end()) return fail(Status::kInvalidParameter3);
  return map_user_pages(cpu, base, PageCount(frames.size()), frames);
}

Result<> AddressSpace::unmap_user_pages(Processor& cpu, VirtualAddress base, PageCount count) {
  return map_user_pages(cpu, base, count, {});
}

Result<> AddressSpace::map_user_pages(Processor& cpu, VirtualAddress base, PageCount count,
                                      std::span<const Pfn> frames) {
  if (count.is_zero()) return {};
  if (count > user_range().count) return fail(Status::kInvalidParameter2);
  return with_memory(core_, cpu, [&]() -> Result<> {
    const LockGuard guard(lock);
    const Vad* const vad = vads_.find(base.vpn());
    if (vad == nullptr || vad->type != VadType::kAwe || base.vpn() + count > vad->range.end())
      return fail(Status::kInvalidParameter1);
    std::vector<WindowPage> pages;
    pages.reserve(count.value());
    for (std::uint64_t i = 0; i < count.value(); ++i)
      pages.push_back({.page = base.vpn() + PageCount(i), .frame = frames.empty() ? kNothing : frames[i]});
    return map_window_pages(cpu, pages);
  });
}

Result<> AddressSpace::map_user_pages_scatter(Processor& cpu, std::span<const VirtualAddress> addresses,
                                              std::span<const Pfn> frames) {
  if (!frames.empty() && frames.size() != addresses.size()) return fail(Status::kInvalidParameter2);
  return with_memory(core_, cpu, [&]() -> Result<> {
    const LockGuard guard(lock);
    std::vector<WindowPage> pages;
    pages.reserve(addresses.size());
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      const Vad* const vad = vads_.find(addresses[i].vpn());
      if (vad == nullptr || vad->type != VadType::kAwe) return fail(Status::kInvalidParameter1);
      pages.push_back({.page = addresses[i].vpn(), .frame = frames.empty() ? kNothing : frames[i]});
    }
    std::ranges::sort(pages, {}, &WindowPage::page);
    if (std::ranges::adjacent_find(pages, {}, &WindowPage::page) != pages.end())
      return fail(Status::kInvalidParameter1);
    return map_window_pages(cpu, pages);
  });
}

// Whether the frames may be mapped at these pages, whatever is mapped there now.
Result<> AddressSpace::may_map_user_pages(std::span<const WindowPage> pages) {
  std::vector<Pfn> frames;
  std::vector<PhysicalAddress> replaced;
  for (const WindowPage& p : pages) {
    if (p.pte != PageTables::kNone) replaced.push_back(p.pte);
    if (p.frame != kNothing) frames.push_back(p.frame);
  }
  std::ranges::sort(replaced);
  const LockGuard guard(core_.pfns.lock);
  for (const Pfn frame : frames)
    if (!awe_.owns(core_.pfns, frame)) return fail(Status::kInvalidParameter3);
  if (has_repeats(frames)) return fail(Status::kConflictingAddresses);
  for (const Pfn frame : frames) {
    const PfnEntry& e = core_.pfns.entry(frame);
    if (e.share_count != 0 && !std::ranges::binary_search(replaced, e.pte()))
      return fail(Status::kConflictingAddresses);
  }
  return {};
}

// All or nothing; every page is one of a window, and no page comes twice.
Result<> AddressSpace::map_window_pages(Processor& cpu, std::span<WindowPage> pages) {
  for (WindowPage& p : pages) p.pte = tables_.find(cpu, p.page);
  PAGODA_TRY(may_map_user_pages(pages));
  for (WindowPage& p : pages) {
    if (p.frame == kNothing || p.pte != PageTables::kNone) continue;
    const auto made = tables_.make(cpu, p.page);
    if (!made) {
      for (const WindowPage& other : pages) tables_.free_if_empty(cpu, other.page);
      return std::unexpected(made.error());
    }
    p.pte = *made;
  }
  std::vector<Vpn> were_mapped;
  {
    const LockGuard guard(core_.pfns.lock);
    for (const WindowPage& p : pages) {
      const RawPte old = p.pte == PageTables::kNone ? 0 : core_.load(cpu, p.pte);
      if (old == 0) continue;
      core_.pfns.unmap_awe(core_.codec.frame(old));
      were_mapped.push_back(p.page);
    }
    for (const WindowPage& p : pages) {
      if (p.pte == PageTables::kNone) continue;
      if (p.frame == kNothing) {
        tables_.store(cpu, p.pte, 0);
        continue;
      }
      tables_.store(cpu, p.pte,
                    core_.codec.valid(p.frame, Protection::kReadWrite, PteCodec::Owner::kUser, PteCodec::Dirty::kYes));
      core_.pfns.map_awe(p.frame, p.pte);
    }
  }
  if (!were_mapped.empty()) invalidate(cpu, were_mapped);
  for (const WindowPage& p : pages)
    if (p.frame == kNothing) tables_.free_if_empty(cpu, p.page);
  return {};
}

void AddressSpace::free_physical(Processor& cpu, const Vad& vad) {
  if (has_large_pages(vad)) {
    free_large_pages(cpu, vad);
    return;
  }
  tables_.for_each(
      cpu, vad.range,
      [&](Vpn, PhysicalAddress pte, RawPte raw) {
        lock.assert_held();
        if (raw == 0) return;
        tables_.store(cpu, pte, 0);
        const LockGuard guard(core_.pfns.lock);
        core_.pfns.unmap_awe(core_.codec.frame(raw));
      },
      [&](Vpn page) {
        lock.assert_held();
        tables_.free_if_empty(cpu, page);
      });
  invalidate_range(cpu, vad.range);
}

Result<Protection> AddressSpace::protect_physical(Processor& cpu, Vad& vad, VpnRange pages, Protection protection) {
  if (has_large_pages(vad)) return protect_large_pages(cpu, vad, pages, protection);
  if (protection != Protection::kReadWrite) return fail(Status::kInvalidPageProtection);
  return protection;
}

void AddressSpace::free_all_user_pages() {
  const LockGuard guard(core_.pfns.lock);
  core_.commit.give_back(awe_.count());
  while (!awe_.all().empty()) awe_.remove(core_.pfns, awe_.all().back());
}

}  // namespace pagoda::mm
