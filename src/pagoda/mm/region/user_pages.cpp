#include "pagoda/mm/region/user_pages.h"

#include <algorithm>

#include "pagoda/mm/backing/kept.h"
#include "pagoda/mm/backing/nonpageable.h"
#include "pagoda/mm/region/private_region.h"

namespace pagoda::mm {

namespace {

// Frames taken and zeroed while the PFN lock is held once.
constexpr PageCount kBatch{256};
constexpr Pfn kNothing{0};  // In place of a frame: unmap. Frame 0 is nobody's.

// The frame is in no window any more; its owner keeps it.
void unmap_frame(Core& core, Pfn frame) PAGODA_REQUIRES(core.pfns.lock) {
  drop_resident(core, core.pfns.entry(frame).containing_page(), 0_pages);
  core.pfns.unmap_awe(frame);
}

void release_window_page(AddressSpace& space, const Processor& /*cpu*/, const FlushBatch::Change& change) {
  space.core().pfns.lock.assert_held();
  unmap_frame(space.core(), space.core().codec.frame(change.was));
}

bool has_repeats(std::vector<Pfn>& frames) {
  std::ranges::sort(frames);
  return std::ranges::adjacent_find(frames) != frames.end();
}

}  // namespace

PageCount UserPages::room() const {
  const PageCount available = space_.core().pfns.available();
  return available > space_.core().kept_pageable() ? available - space_.core().kept_pageable() : 0_pages;
}

PageCount UserPages::charge(PageCount wanted) {
  Core& core = space_.core();
  const LockGuard guard(core.pfns.lock);
  space_.core().pfns.lock.assert_held();  // The analysis does not know that it is the same.
  return charge_nonpageable(core.resident, core.commit, std::min(wanted, room()));
}

void UserPages::give_back(PageCount pages) {
  give_back_nonpageable(space_.core().resident, space_.core().commit, pages);
}

Result<std::vector<Pfn>> UserPages::allocate(Processor& cpu, PageCount count) {
  const LockGuard guard(space_.lock);
  PageCount missing = charge(count);
  if (missing.is_zero()) return fail(Status::kInsufficientResources);
  std::vector<Pfn> frames;
  std::vector<Pfn> not_zeroed;
  if (!try_reserve(frames, missing.value()) || !try_reserve(not_zeroed, kBatch.value()) || !frames_.reserve(missing)) {
    const LockGuard pfn_guard(space_.core().pfns.lock);
    give_back(missing);
    return fail(Status::kInsufficientResources);
  }
  while (!missing.is_zero()) {
    {
      const LockGuard pfn_guard(space_.core().pfns.lock);
      // Others may have taken frames since they were counted.
      PageCount batch = std::min({missing, kBatch, room()});
      if (batch.is_zero()) {
        give_back(missing);
        break;
      }
      for (missing -= batch; !batch.is_zero(); --batch) {
        const PfnDatabase::TakenFrame taken = *space_.core().pfns.take(cpu, Contents::kZeroed);
        frames_.add(space_.core().pfns, taken.frame);
        frames.push_back(taken.frame);
        if (!taken.zeroed) not_zeroed.push_back(taken.frame);
      }
    }
    for (const Pfn frame : not_zeroed) cpu.physical().zero(frame);
    cpu.charge(space_.core().machine.costs().zero_page * not_zeroed.size());
    not_zeroed.clear();
  }
  if (frames.empty()) return fail(Status::kInsufficientResources);
  return frames;
}

Vpn UserPages::page_of_entry(PhysicalAddress pte) const {
  std::uint64_t page = 0;
  for (unsigned level = 1; level <= space_.core().mode.levels; ++level) {
    page |= pte.page_offset() / space_.core().mode.entry_bytes << (space_.core().mode.level[level].shift - kPageShift);
    pte = space_.core().pfns.entry(pte.pfn()).pte();
  }
  return Vpn(page);
}

UserPages::FreeResult UserPages::free(Processor& cpu, std::span<const Pfn> frames) {
  const LockGuard guard(space_.lock);
  FreeResult result;
  std::vector<FlushBatch::Change> unmapped;
  std::vector<Pfn> freed;
  const std::size_t most = std::min<std::size_t>(frames.size(), frames_.count().value());
  if (!try_reserve(unmapped, most) || !try_reserve(freed, most)) {
    result.status = Status::kInsufficientResources;
    return result;
  }
  {
    const LockGuard pfn_guard(space_.core().pfns.lock);
    for (const Pfn frame : frames) {
      // Those before it are on their way: named twice is foreign the second time.
      if (!frames_.owns(space_.core().pfns, frame) || space_.core().pfns.entry(frame).deleted != 0) {
        result.status = Status::kConflictingAddresses;
        break;
      }
      const PfnEntry& e = space_.core().pfns.entry(frame);
      space_.core().pfns.begin_remove_awe(frame);
      freed.push_back(frame);
      if (e.share_count == 0) continue;
      const PhysicalAddress pte = e.pte();
      unmapped.push_back({.page = page_of_entry(pte), .pte = pte, .was = space_.core().load(cpu, pte)});
      space_.tables().store(cpu, pte, 0);
      unmap_frame(space_.core(), frame);
    }
  }
  flush(cpu, unmapped);
  const LockGuard pfn_guard(space_.core().pfns.lock);
  for (const Pfn frame : freed) frames_.remove(space_.core().pfns, frame);
  result.count = PageCount(freed.size());
  give_back(result.count);
  return result;
}

Result<> UserPages::map(Processor& cpu, VirtualAddress base, std::span<const Pfn> frames) {
  if (std::ranges::find(frames, kNothing) != frames.end()) return fail(Status::kInvalidParameter3);
  return map(cpu, base, PageCount(frames.size()), frames);
}

Result<> UserPages::unmap(Processor& cpu, VirtualAddress base, PageCount count) { return map(cpu, base, count, {}); }

Result<> UserPages::map(Processor& cpu, VirtualAddress base, PageCount count, std::span<const Pfn> frames) {
  if (count.is_zero()) return {};
  if (count > space_.range().count) return fail(Status::kInvalidParameter2);
  return with_memory(space_.relief(), cpu, [&]() -> Result<> {
    const LockGuard guard(space_.lock);
    const Vad* vad = nullptr;
    do {
      vad = space_.vads().find(base.vpn());
      if (vad == nullptr || vad->type != VadType::kAwe || base.vpn() + count > vad->range.end())
        return fail(Status::kInvalidParameter1);
    } while (!PAGODA_TRY(have_tables(cpu, {base.vpn(), count})));
    std::vector<WindowPage> pages;
    if (!try_reserve(pages, count.value())) return fail(Status::kInsufficientResources);
    for (std::uint64_t i = 0; i < count.value(); ++i)
      pages.push_back({.page = base.vpn() + PageCount(i), .frame = frames.empty() ? kNothing : frames[i]});
    return map_pages(cpu, pages);
  });
}

Result<> UserPages::are_in_windows(std::span<const VirtualAddress> addresses) const {
  const LockGuard guard(space_.lock);
  for (const VirtualAddress address : addresses) {
    const Vad* const vad = space_.vads().find(address.vpn());
    if (vad == nullptr || vad->type != VadType::kAwe) return fail(Status::kInvalidParameter1);
  }
  return {};
}

Result<> UserPages::map_scatter(Processor& cpu, std::span<const VirtualAddress> addresses,
                                std::span<const Pfn> frames) {
  if (!frames.empty() && frames.size() != addresses.size()) return fail(Status::kInvalidParameter2);
  return with_memory(space_.relief(), cpu, [&]() -> Result<> {
    const LockGuard guard(space_.lock);
    std::vector<WindowPage> pages;
    if (!try_reserve(pages, addresses.size())) return fail(Status::kInsufficientResources);
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      const Vad* const vad = space_.vads().find(addresses[i].vpn());
      if (vad == nullptr || vad->type != VadType::kAwe) return fail(Status::kInvalidParameter1);
      pages.push_back({.page = addresses[i].vpn(), .frame = frames.empty() ? kNothing : frames[i]});
    }
    std::ranges::sort(pages, {}, &WindowPage::page);
    if (std::ranges::adjacent_find(pages, {}, &WindowPage::page) != pages.end())
      return fail(Status::kInvalidParameter1);
    return map_pages(cpu, pages);
  });
}

// Whether no table of the range is out. False: one was, and the lock was let go to bring it in.
Result<bool> UserPages::have_tables(Processor& cpu, VpnRange pages) {
  bool all_in = true;
  PAGODA_TRY(space_.for_each_table(pages, [&](VpnRange part) -> Result<> {
    space_.lock.assert_held();
    if (!space_.tables().find_out(cpu, part.first).any()) return {};
    all_in = false;
    const Status status = space_.bring_in(cpu, part.first, AddressSpace::For::kLook);
    return status == Status::kSuccess ? Result<>{} : fail(status);
  }));
  return all_in;
}

// Whether the frames may be mapped at these pages, whatever is mapped there now.
Result<> UserPages::may_map(std::span<const WindowPage> pages) {
  std::vector<Pfn> frames;
  std::vector<PhysicalAddress> replaced;
  if (!try_reserve(frames, pages.size()) || !try_reserve(replaced, pages.size()))
    return fail(Status::kInsufficientResources);
  for (const WindowPage& p : pages) {
    if (p.pte != PageTables::kNone) replaced.push_back(p.pte);
    if (p.frame != kNothing) frames.push_back(p.frame);
  }
  std::ranges::sort(replaced);
  const LockGuard guard(space_.core().pfns.lock);
  for (const Pfn frame : frames)
    if (!frames_.owns(space_.core().pfns, frame)) return fail(Status::kInvalidParameter3);
  if (has_repeats(frames)) return fail(Status::kConflictingAddresses);
  for (const Pfn frame : frames) {
    const PfnEntry& e = space_.core().pfns.entry(frame);
    if (e.share_count != 0 && !std::ranges::binary_search(replaced, e.pte()))
      return fail(Status::kConflictingAddresses);
  }
  return {};
}

Result<> UserPages::make_tables(Processor& cpu, std::span<WindowPage> pages) {
  for (WindowPage& p : pages) {
    if (p.frame == kNothing || p.pte != PageTables::kNone) continue;
    const auto made = space_.tables().make(cpu, p.page);
    if (!made) return std::unexpected(made.error());
    p.pte = *made;
  }
  return {};
}

Result<> UserPages::keep_tables(std::span<const WindowPage> pages) {
  Core& core = space_.core();
  const LockGuard guard(core.pfns.lock);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    if (pages[i].frame == kNothing) continue;
    if (const auto kept = keep_resident(core, pages[i].pte.pfn(), 0_pages); !kept) {
      for (const WindowPage& before : pages.first(i))
        if (before.frame != kNothing) drop_resident(core, before.pte.pfn(), 0_pages);
      return kept;
    }
  }
  return {};
}

// All or nothing; every page is one of a window, and no page comes twice.
Result<> UserPages::map_pages(Processor& cpu, std::span<WindowPage> pages) {
  for (WindowPage& p : pages) p.pte = space_.tables().find(cpu, p.page);
  PAGODA_TRY(may_map(pages));
  std::vector<FlushBatch::Change> unmapped;
  if (!try_reserve(unmapped, pages.size())) return fail(Status::kInsufficientResources);
  Result<> ready = make_tables(cpu, pages);
  if (ready) ready = keep_tables(pages);
  if (!ready) {
    for (const WindowPage& page : pages) space_.free_empty_tables(cpu, page.page);
    return ready;
  }
  {
    const LockGuard guard(space_.core().pfns.lock);
    for (const WindowPage& p : pages) {
      const RawPte old = p.pte == PageTables::kNone ? 0 : space_.core().load(cpu, p.pte);
      if (old == 0) continue;
      unmap_frame(space_.core(), space_.core().codec.frame(old));
      unmapped.push_back({.page = p.page, .pte = p.pte, .was = old});
    }
    for (const WindowPage& p : pages) {
      if (p.pte == PageTables::kNone) continue;
      if (p.frame == kNothing) {
        space_.tables().store(cpu, p.pte, 0);
        continue;
      }
      space_.tables().store(
          cpu, p.pte,
          space_.core().codec.valid(p.frame, Protection::kReadWrite, space_.owner(), PteCodec::Dirty::kYes));
      space_.core().pfns.map_awe(p.frame, p.pte);
    }
  }
  flush(cpu, unmapped);
  return {};
}

// The frames are still the space's.
void UserPages::flush(Processor& cpu, std::span<const FlushBatch::Change> unmapped) {
  FlushBatchOf<kRangeBatch> batch(space_, cpu);
  for (const FlushBatch::Change& change : unmapped) {
    batch.add(change, nullptr);
    batch.unlink_tables(change.page);
  }
  batch.flush();
}

void UserPages::free_all() {
  PfnDatabase& pfns = space_.core().pfns;
  const LockGuard guard(pfns.lock);
  give_back(frames_.count());
  while (!frames_.all().empty()) frames_.remove(pfns, frames_.all().back());
}

const WindowRegion& window_region() {
  static const WindowRegion kind;
  return kind;
}

DefaultRun WindowRegion::rights(const Vad& vad, Vpn /*page*/) const { return {vad.range.end(), Protection::kNone}; }

Result<PageCount> WindowRegion::committed(RegionSpace& space, Processor& cpu, const Vad& /*vad*/,
                                          VpnRange pages) const {
  space.lock.assert_held();
  PageCount mapped;
  space.tables().for_each_in_memory(cpu, pages, [&](Vpn, PhysicalAddress, RawPte raw) {
    if (raw != 0) ++mapped;
  });
  return mapped;
}

Result<Protection> WindowRegion::shown_protection(RegionSpace& /*space*/, Processor& /*cpu*/, const Vad& vad,
                                                  Vpn /*page*/) const {
  return vad.protection;
}

Result<> WindowRegion::may_protect(RegionSpace& /*space*/, Processor& /*cpu*/, const Vad& /*vad*/, VpnRange /*pages*/,
                                   Protection protection) const {
  return is_allowed_on_private(protection) ? Result<>{} : fail(Status::kInvalidParameter4);
}

Result<> WindowRegion::protect(RegionSpace& /*space*/, Processor& /*cpu*/, Vad& /*vad*/, VpnRange /*pages*/,
                               Protection protection) const {
  return protection == Protection::kReadWrite ? Result<>{} : fail(Status::kInvalidPageProtection);
}

void WindowRegion::unmap(RegionSpace& space, Processor& cpu, Vad& /*vad*/, VpnRange pages) const {
  space.lock.assert_held();
  FlushBatchOf<kRangeBatch> batch(space, cpu);
  // What is mapped is resident.
  space.tables().for_each_in_memory(cpu, pages, [&](Vpn page, PhysicalAddress pte, RawPte raw) {
    space.lock.assert_held();
    if (raw == 0) return;
    space.tables().store(cpu, pte, 0);
    batch.add({.page = page, .pte = pte, .was = raw}, release_window_page);
  });
  batch.flush();
  space.free_empty_tables(cpu, pages);
}

bool WindowRegion::is_forked(const Vad& /*vad*/) const { return false; }

}  // namespace pagoda::mm
