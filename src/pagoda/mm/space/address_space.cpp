#include "pagoda/mm/space/address_space.h"

#include <algorithm>

#include "pagoda/mm/section/sections.h"

namespace pagoda::mm {

namespace {

// More single invalidations than this cost more than a flush of the space; as SimMachine's shoot-down.
constexpr std::size_t kSingleInvalidations = 33;

}  // namespace

std::optional<VpnRange> pages_covering(VirtualAddress base, ByteCount size) {
  const std::uint64_t last = base.value() + size.value() - 1;
  if (size.is_zero() || last < base.value()) return std::nullopt;
  const Vpn first = base.vpn();
  return VpnRange{first, VirtualAddress(last).vpn() - first + 1_pages};
}

AddressSpace::AddressSpace(Core& core, std::uint32_t id, Pfn root, machine::Asid asid, UserRange range,
                           const WorkingSet::Limits& limits)
    : lock(LockRank(LockClass::kSpace, core.depth)),
      core_(core),
      id_(id),
      asid_(asid),
      highest_user_(highest_user_address(core.mode, range)),
      tables_(core, root),
      working_set_(core.pfns.frames(), limits, core.tunables.victim_seed + id),
      table_charge_(1_pages) {}

VpnRange AddressSpace::user_range() const {
  const Vpn first(kAllocationGranularity >> kPageShift);
  // The highest VAD ends 64 KB below the highest user address (reference/nt.md section 1).
  const Vpn last = (highest_user_ - ByteCount(kAllocationGranularity)).vpn();
  return {first, last - first + 1_pages};
}

Result<Vad*> AddressSpace::region_of(VpnRange pages) {
  Vad* const vad = vads_.find(pages.first);
  if (vad == nullptr || pages.last() > vad->range.last()) return fail(Status::kConflictingAddresses);
  return vad;
}

AddressSpace::Statistics AddressSpace::statistics() const {
  const LockGuard guard(lock);
  return {.working_set = working_set_.size(),
          .shared = working_set_.shared(),
          .peak_working_set = working_set_.peak(),
          .commit = commit_,
          .peak_commit = peak_commit_,
          .faults = faults_,
          .insertions = working_set_.insertions()};
}

void AddressSpace::add_observer(SecondaryMmu& observer) {
  const LockGuard guard(lock);
  observers_.push_back(&observer);
}

void AddressSpace::remove_observer(SecondaryMmu& observer) {
  const LockGuard guard(lock);
  std::erase(observers_, &observer);
}

void AddressSpace::forget_in_tlbs(Processor& cpu, VpnRange pages) {
  core_.machine.shoot_down(cpu, loaded_on_, asid_, pages);
}

void AddressSpace::invalidate(Processor& cpu, std::span<const Vpn> pages) {
  if (pages.size() > kSingleInvalidations) {
    forget_in_tlbs(cpu, user_range());
  } else {
    for (const Vpn page : pages) forget_in_tlbs(cpu, {page, 1_pages});
  }
  for (SecondaryMmu* observer : observers_)
    for (const Vpn page : pages) observer->invalidate({page, 1_pages});
}

bool AddressSpace::test_and_clear_accessed(const Processor& cpu, const Wsle& entry) {
  bool accessed = PteCodec::is_accessed(core_.load(cpu, entry.pte()));
  if (accessed) machine::clear_entry_bits(cpu.physical(), core_.mode, entry.pte(), machine::pte_bits::kAccessed);
  for (SecondaryMmu* observer : observers_) accessed |= observer->test_and_clear_accessed(entry.page());
  return accessed;
}

bool AddressSpace::is_accessed(const Processor& cpu, const Wsle& entry) {
  for (SecondaryMmu* observer : observers_)
    if (observer->test_and_clear_accessed(entry.page()))
      machine::set_entry_bits(cpu.physical(), core_.mode, entry.pte(), machine::pte_bits::kAccessed);
  return PteCodec::is_accessed(core_.load(cpu, entry.pte()));
}

PageCount AddressSpace::tables_spanned(VpnRange pages, const Vad* before, const Vad* after) const {
  PageCount tables;
  for (unsigned level = 1; level < core_.mode.levels; ++level) {
    PageCount first = tables_.table_number(pages.first, level);
    PageCount end = tables_.table_number(pages.last(), level) + 1_pages;
    if (before != nullptr && tables_.table_number(before->range.last(), level) == first) ++first;
    if (after != nullptr && end > first && tables_.table_number(after->range.first, level) + 1_pages == end) --end;
    tables += end - first;
  }
  return tables;
}

const Vad* AddressSpace::previous_charged(const Vad* vad) {
  while (vad != nullptr && vad->tables_on_demand) vad = VadTree::previous(vad);
  return vad;
}

const Vad* AddressSpace::next_charged(const Vad* vad) {
  while (vad != nullptr && vad->tables_on_demand) vad = VadTree::next(vad);
  return vad;
}

PageCount AddressSpace::tables_charged(const Vad& vad, const Vad* before, const Vad* after) const {
  return vad.tables_on_demand ? 0_pages : tables_spanned(vad.range, previous_charged(before), next_charged(after));
}

Result<> AddressSpace::charge_commit(PageCount pages) {
  const LockGuard guard(core_.pfns.lock);
  return core_.commit.charge(pages);
}

void AddressSpace::give_back_commit(PageCount pages) {
  const LockGuard guard(core_.pfns.lock);
  core_.commit.give_back(pages);
}

// Takes the VAD's charge and that of the page tables it adds.
Result<Vad*> AddressSpace::insert_vad(const Vad& vad) {
  const Vad* const after = vads_.first_ending_after(vad.range.first);
  const Vad* before = nullptr;
  if (vads_.size() > 0) before = after != nullptr ? VadTree::previous(after) : vads_.last();
  const PageCount tables = tables_charged(vad, before, after);
  PAGODA_TRY(charge_commit(vad.commit_charge + tables));
  table_charge_ += tables;
  commit_ += vad.commit_charge;
  peak_commit_ = std::max(peak_commit_, commit_);
  return &vads_.insert(vad);
}

void AddressSpace::erase_vad(Vad& vad) {
  const PageCount tables = tables_charged(vad, VadTree::previous(&vad), VadTree::next(&vad));
  table_charge_ -= tables;
  commit_ -= vad.commit_charge;
  give_back_commit(vad.commit_charge + tables);
  extras_.drop(vad);
  vads_.erase(vad);
}

void AddressSpace::take_back(Vad& vad) {
  if (vad.from_placeholder) {
    leave_placeholder(vad);
  } else {
    erase_vad(vad);
  }
}

RawPte AddressSpace::unmapped_form(Pfn frame, RawPte raw, const Wsle& wsle) const {
  const PfnEntry& entry = core_.pfns.entry(frame);
  if (!PteCodec::is_shared(raw)) return core_.codec.transition(frame, core_.codec.protection(entry.original_pte));
  const LockGuard guard(core_.pfns.lock);
  if (core_.codec.protection(entry.original_pte, PteHome::kSegment) != wsle.protection() &&
      !core_.prototypes.is_clone(entry.pte()))
    return core_.codec.lookup_needed(wsle.protection());
  return core_.codec.prototype(core_.prototypes.address_of(entry.pte()), wsle.protection(), PteCodec::ReadOnly::kNo);
}

bool AddressSpace::is_clone(RawPte raw) const {
  if (PteCodec::is_valid(raw)) {
    if (!PteCodec::is_shared(raw)) return false;
    const LockGuard guard(core_.pfns.lock);
    return core_.prototypes.is_clone(core_.pfns.entry(core_.codec.frame(raw)).pte());
  }
  if (core_.codec.kind(raw) != PteKind::kPrototype || core_.codec.is_lookup_needed(raw)) return false;
  const LockGuard guard(core_.pfns.lock);
  return core_.prototypes.is_clone(core_.codec.prototype_address(raw));
}

Protection AddressSpace::protection_of_view(const Vad& vad, Vpn page) const {
  if (has_device_frames(vad)) return vad.extra->device->rights(page);
  const ControlArea& area = *vad.control_area;
  if (area.kind() != SectionKind::kImage) return vad.protection;
  return area.subsection_of(vad.section_page_of(page)).protection;  // Images do not grow.
}

Protection AddressSpace::protection_of_pointer(const Processor& cpu, const Vad& vad, Vpn page, RawPte raw) const {
  if (const Protection own = core_.codec.protection(raw); own != Protection::kNone) return own;
  // x86 pointers have no room for it: it is the prototype's.
  const LockGuard guard(core_.pfns.lock);
  const VirtualAddress address = core_.codec.prototype_address(raw);
  if (!core_.prototypes.is_clone(address)) return vad.control_area->subsection_of(vad.section_page_of(page)).protection;
  const RawPte prototype = core_.load(cpu, core_.prototypes.find(address));
  return PteCodec::is_valid(prototype)
             ? core_.codec.protection(core_.pfns.entry(core_.codec.frame(prototype)).original_pte, PteHome::kSegment)
             : core_.codec.protection(prototype, PteHome::kSegment);
}

Protection AddressSpace::current_protection(const Processor& cpu, const Vad& vad, Vpn page, RawPte raw) const {
  const PteCodec& codec = core_.codec;
  switch (codec.kind(raw)) {
    case PteKind::kZero:
      return protection_of_zero_pte(vad, page);
    case PteKind::kDecommitted:
      return Protection::kNone;
    case PteKind::kValid:
      return protection_of_valid(page, raw);
    case PteKind::kPrototype:
      return protection_of_pointer(cpu, vad, page, raw);
    default:
      return codec.protection(raw);
  }
}

Result<RegionInfo> AddressSpace::query(const Processor& cpu, VirtualAddress address) {
  if (address > highest_user_) return fail(Status::kInvalidParameter);
  const LockGuard guard(lock);
  const Vpn page = address.vpn();
  const Vad* const vad = vads_.find(page);
  if (vad == nullptr) {
    const Vad* const after = vads_.first_ending_after(page);
    const Vpn end = after != nullptr ? after->range.first : highest_user_.vpn() + 1_pages;
    return RegionInfo{.base = VirtualAddress(page), .size = bytes_of(end - page)};
  }
  RegionInfo info{.base = VirtualAddress(page),
                  .allocation_base = VirtualAddress(vad->range.first),
                  .allocation_protection = vad->protection};
  if (has_large_pages(*vad)) {
    info.size = bytes_of(vad->range.end() - page);
    info.state = MemoryState::kCommitted;
    info.protection = protection_of_large_pages(cpu, *vad);
    if (!vad->is_private) info.type = MemoryType::kMapped;
    return info;
  }
  std::optional<Protection> region;
  Vpn end = page;
  const auto extend = [&](Vpn to, Protection protection) {
    if (!region) region = protection;
    if (*region != protection) return false;
    end = to;
    return true;
  };
  // Pages without a page table are like pages whose entry is zero.
  const auto extend_by_default = [&](Vpn to) {
    while (end < to) {
      const DefaultRun run = default_run(cpu, *vad, end);
      if (!extend(std::min(run.end, to), run.protection)) return false;
    }
    return true;
  };
  bool same = true;
  tables_.for_each(cpu, {page, vad->range.end() - page}, [&](Vpn at, PhysicalAddress, RawPte raw) {
    lock.assert_held();
    if (!same || raw == 0) return;
    same = extend_by_default(at) && extend(at + 1_pages, shown_protection(cpu, *vad, at, raw));
  });
  if (same) extend_by_default(vad->range.end());
  info.size = bytes_of(end - page);
  info.state = *region == Protection::kNone ? MemoryState::kReserved : MemoryState::kCommitted;
  info.protection = *region;
  if (!vad->is_private) info.type = vad->type == VadType::kImage ? MemoryType::kImage : MemoryType::kMapped;
  return info;
}

void AddressSpace::tear_down(Processor& cpu) {
  const LockGuard guard(lock);
  while (Vad* const vad = vads_.first()) {
    if (is_physical(*vad)) free_physical(cpu, *vad);
    free_pages(cpu, *vad, vad->range, 0);
    ControlArea* const area = vad->control_area;
    erase_vad(*vad);
    if (area != nullptr) core_.sections->view_unmapped(cpu, *area);
  }
  free_all_user_pages();
  PAGODA_CHECK_EQ(working_set_.size(), 0_pages);
  PAGODA_CHECK_EQ(commit_, 0_pages);
  core_.machine.shoot_down(cpu, loaded_on_, asid_, user_range());
}

}  // namespace pagoda::mm
