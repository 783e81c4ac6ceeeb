// Contents that the program no longer wants, and may want again. Source: reference/nt.md 7.1 (MEM_RESET,
// MEM_RESET_UNDO).
//
// A page of a reset range is old or zero from now on. What is in memory stays there as a reset page (PfnEntry::reset):
// clean, though no slot has its contents. Nobody writes it anywhere; whoever repurposes it leaves demand zero behind;
// the program's next write makes it an ordinary modified page. What is only in a paging file is demand zero at once.
#include <array>

#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

namespace {

// Mapped pages are reset in batches, one shoot-down for each.
constexpr std::size_t kResetBatch = 64;

bool may_reset(const Vad& vad) {
  return vad.is_private && (vad.type == VadType::kNone || vad.type == VadType::kWriteWatch);
}

}  // namespace

Result<> AddressSpace::reset(Processor& cpu, VirtualAddress base, ByteCount size) {
  if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
  const auto pages = pages_covering(base, size);
  if (!pages) return fail(Status::kInvalidParameter4);
  const LockGuard guard(lock);
  const auto region = region_of(*pages);
  if (!region || !may_reset(**region)) return fail(Status::kConflictingAddresses);

  std::array<Vpn, kResetBatch> mapped;
  std::array<Pfn, kResetBatch> frames;
  std::size_t count = 0;
  // Entries first, shoot-down second, frames third.
  const auto flush = [&] {
    lock.assert_held();
    if (count == 0) return;
    invalidate(cpu, std::span(mapped).first(count));
    const LockGuard pfn_guard(core_.pfns.lock);
    for (const Pfn frame : std::span(frames).first(count)) core_.pfns.reset(frame);
    count = 0;
  };
  tables_.for_each(cpu, *pages, [&](Vpn page, PhysicalAddress pte, RawPte raw) {
    lock.assert_held();
    // What a fork shares keeps its contents, for the others.
    if (PteCodec::is_valid(raw) && PteCodec::is_shared(raw)) return;
    if (PteCodec::is_valid(raw)) {
      constexpr RawPte kForgotten =
          machine::pte_bits::kWrite | machine::pte_bits::kDirty | machine::pte_bits::kAccessed;
      if (PteCodec::is_dirty(machine::clear_entry_bits(cpu.physical(), core_.mode, pte, kForgotten)))
        record_write(page);
      const Pfn frame = core_.codec.frame(raw);
      working_set_[working_set_slot(page, raw)].set_age(Wsle::kOldest);  // The first to go.
      mapped[count] = page;
      frames[count++] = frame;
      if (count == kResetBatch) flush();
      return;
    }
    // Transition and page-file entries change under the PFN lock.
    const LockGuard pfn_guard(core_.pfns.lock);
    raw = core_.load(cpu, pte);
    if (PteCodec::is_transition(raw)) {
      core_.pfns.reset(core_.codec.frame(raw));
    } else if (core_.codec.has_slot(raw)) {
      core_.paging_files.free(core_.codec.file(raw), core_.codec.slot(raw));
      tables_.replace(cpu, pte, core_.codec.demand_zero(core_.codec.protection(raw)));
    }
  });
  flush();
  return {};
}

Result<> AddressSpace::undo_reset(const Processor& cpu, VirtualAddress base, ByteCount size) {
  if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
  const auto pages = pages_covering(base, size);
  if (!pages) return fail(Status::kInvalidParameter4);
  const LockGuard guard(lock);
  const auto region = region_of(*pages);
  if (!region || !may_reset(**region)) return fail(Status::kConflictingAddresses);

  // Nobody may repurpose a page between the count and the rest.
  const LockGuard pfn_guard(core_.pfns.lock);
  PageCount there;
  tables_.for_each(cpu, *pages, [&](Vpn, PhysicalAddress, RawPte raw) {
    if (PteCodec::is_valid(raw) || PteCodec::is_transition(raw) || core_.codec.has_slot(raw)) ++there;
  });
  if (there != pages->count) return fail(kResetContentsLost);
  tables_.for_each(cpu, *pages, [&](Vpn, PhysicalAddress, RawPte raw) {
    core_.pfns.lock.assert_held();
    if (!PteCodec::is_valid(raw) && !PteCodec::is_transition(raw)) return;
    const Pfn frame = core_.codec.frame(raw);
    if (core_.pfns.entry(frame).reset != 0) core_.pfns.undo_reset(frame);
  });
  return {};
}

}  // namespace pagoda::mm
