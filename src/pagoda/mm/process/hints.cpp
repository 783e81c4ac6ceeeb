// What a program, or the hypervisor for its guest, tells about its memory: cold, hot, cold and of no more use.
//
//   trim_range      working set -> standby or modified; zeros -> zeroed list         cold
//   make_resident   wherever the page is -> working set                              hot
//   prefetch        file or paging file -> standby                                   soon to be hot
//   discard         contents, slot, compressed bytes -> nothing; PTE -> demand zero  cold-discard
//
// Source: reference/virtualization.md section 5 ("Host reaction").
#include "pagoda/mm/process/process_space.h"

#include <algorithm>
#include <vector>

#include "pagoda/base/try_reserve.h"
#include "pagoda/mm/backing/entries_in.h"
#include "pagoda/mm/backing/zero_pages.h"
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/section/control_area.h"
#include "pagoda/mm/ws/eviction_batch.h"

namespace pagoda::mm {

namespace {

PageCount available(const Core& core) {
  const LockGuard guard(core.pfns.lock);
  return core.pfns.available();
}

}  // namespace

PageCount ProcessSpace::trim_range(Processor& cpu, VpnRange pages) {
  const LockGuard guard(lock);
  // Eviction may free page tables that are being walked. A hint is not worth more memory than there is.
  std::vector<std::uint32_t> slots;
  if (!try_reserve(slots, std::min(pages.count, working_set_.size()).value())) return {};
  tables_.for_each_in_memory(cpu, pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
    lock.assert_held();
    const std::uint32_t slot = working_set_slot(page, raw);
    if (slot != WorkingSet::kNoSlot && !working_set_[slot].is_locked()) slots.push_back(slot);
  });
  EvictionBatch batch(*this, cpu);
  for (const std::uint32_t slot : slots) batch.add(slot);
  batch.flush();
  tables_.for_each_in_memory(cpu, pages, [&](Vpn, PhysicalAddress pte, RawPte raw) {
    if (!PteCodec::is_transition(raw)) return;
    const LockGuard pfn_guard(core_.pfns.lock);
    raw = core_.load(cpu, pte);
    if (!PteCodec::is_transition(raw)) return;
    const Pfn frame = core_.codec.frame(raw);
    const PfnEntry& entry = core_.pfns.entry(frame);
    if (entry.state == PageState::kModified && !entry.maps_file()) forget_if_zero(core_, cpu, frame, ZeroFinder::kHint);
  });
  return PageCount(slots.size());
}

bool ProcessSpace::may_bring_in(const Processor& cpu, Vpn page, RawPte raw) {
  const Vad* const vad = vads_.find(page);
  if (vad == nullptr || vad->kind->residence() == RegionKind::Residence::kMapped) return false;
  const bool commits = raw == 0 && vad->commits_on_touch;
  const Protection protection = commits ? vad->protection : current_protection(cpu, *vad, page, raw);
  return is_mappable(protection) && allows(protection, machine::Access::kRead, core_.mode.has_no_execute);
}

Result<PageCount> ProcessSpace::make_resident(Processor& cpu, VpnRange pages) {
  PageCount resident;
  for (Vpn page = pages.first; page < pages.end();) {
    {
      const LockGuard guard(lock);
      const RawPte raw = tables_.read(cpu, page);
      if (PteCodec::is_valid(raw)) ++resident;
      if (PteCodec::is_valid(raw) || !may_bring_in(cpu, page, raw)) {
        ++page;
        continue;
      }
      // What is hot must not push out what others use.
      if (available(core_) < core_.tunables.minimum_free + kFaultReserve) return resident;
    }
    const machine::PageFault read{VirtualAddress(page), machine::Access::kRead, machine::Privilege::kUser, false,
                                  false};
    const Status status = resolve_fault(*this, cpu, read);
    if (cpu.is_blocked()) return fail(Status::kPending);
    if (status != Status::kSuccess) ++page;
  }
  return resident;
}

bool ProcessSpace::is_on_disk(const Processor& cpu, const Vad& vad, Vpn page) {
  const PageInfo info = page_info_locked(cpu, page);
  if (info.place == PagePlace::kPagingFile) return true;
  if (!info.original || info.place == PagePlace::kWorkingSet) return false;
  const ControlArea& area = *vad.control_area;
  const PageCount at = vad.section_page_of(page);
  const LockGuard guard(core_.pfns.lock);
  RawPte raw = peek_prototype(core_, cpu, area.prototype_of(core_.codec, at));
  if (raw == 0) raw = area.template_of(core_.codec, at);  // Not made yet.
  const PteKind kind = core_.codec.kind(raw, PteHome::kSegment);
  return kind == PteKind::kSubsection || (kind == PteKind::kPageFile && !core_.is_compressed(raw));
}

Vpn ProcessSpace::next_on_disk(const Processor& cpu, VpnRange pages) {
  for (Vpn page = pages.first; page < pages.end();) {
    const Vad* const vad = vads_.first_ending_after(page);
    if (vad == nullptr || vad->range.first >= pages.end()) break;
    page = std::max(page, vad->range.first);
    const Vpn end = std::min(vad->range.end(), pages.end());
    Vpn found = end;
    if (vad->source == PageSource::kPrototype) {
      // A page without an entry is where the section has it.
      found = page;
      while (found < end && !is_on_disk(cpu, *vad, found)) ++found;
    } else {
      tables_.for_each_in_memory(cpu, {page, end - page}, [&](Vpn at, PhysicalAddress, RawPte raw) {
        lock.assert_held();
        if (found == end && core_.codec.kind(raw) == PteKind::kPageFile && is_on_disk(cpu, *vad, at)) found = at;
        return found == end;
      });
    }
    if (found < end) return found;
    page = end;
  }
  return pages.end();
}

Result<> ProcessSpace::prefetch(Processor& cpu, VpnRange pages) {
  // More than is available would only push out what came first.
  PageCount room = available(core_);
  for (Vpn page = pages.first; page < pages.end() && !room.is_zero(); ++page, room -= 1_pages) {
    {
      const LockGuard guard(lock);
      page = next_on_disk(cpu, {page, pages.end() - page});
      if (page == pages.end()) return {};
    }
    if (!PAGODA_TRY(make_resident(cpu, {page, 1_pages})).is_zero()) trim_range(cpu, {page, 1_pages});
  }
  return {};
}

Result<> ProcessSpace::discard(Processor& cpu, VpnRange pages) {
  if (pages.empty()) return {};
  const ChangeGuard guard(*this);
  Vad& vad = *PAGODA_TRY(region_of(pages));
  return vad.kind->discard(*this, cpu, vad, pages);
}

}  // namespace pagoda::mm
