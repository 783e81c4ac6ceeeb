#include "pagoda/mm/region/clone_entries.h"

namespace pagoda::mm {

Result<VirtualAddress> CloneEntries::next() {
  core_.pfns.lock.assert_held();
  if (const auto free = core_.prototypes.find_clone_entry()) return *free;
  if (core_.pfns.available() < kFaultReserve) return fail(Status::kNoMemory);
  PAGODA_TRY(core_.commit.charge(1_pages));
  if (const auto page = core_.prototypes.make_clone_page(cpu_); !page) {
    core_.commit.give_back(1_pages);
    return page;
  }
  return *core_.prototypes.find_clone_entry();
}

namespace {

// The PTEs of parent and child.
constexpr std::uint32_t kReferencesOfFork = 2;

// Moves the page of an entry that is not valid, and may have changed since it was read.
Result<ClonedPage> move_unmapped(Core& core, const Processor& cpu, PhysicalAddress pte, RawPte raw,
                                 CloneEntries& entries) PAGODA_REQUIRES(core.pfns.lock) {
  const VirtualAddress prototype = PAGODA_TRY(entries.next());
  raw = core.load(cpu, pte);  // A frame that was taken for the entries may have been this one.
  const PteCodec& codec = core.codec;
  const Protection protection = shared_by_fork(codec.protection(raw));
  const PhysicalAddress to = core.prototypes.find(prototype);
  core.prototypes.use_clone_entry(prototype, protection, kReferencesOfFork);
  machine::store_entry(cpu.physical(), core.mode, to, codec.with_protection(raw, protection, PteHome::kSegment));
  if (codec.has_slot(raw)) core.backings.moved(codec.file(raw), codec.slot(raw), to);
  if (PteCodec::is_transition(raw)) {
    const Pfn frame = codec.frame(raw);
    core.pfns.move_to_prototype(
        frame, to, codec.with_protection(core.pfns.entry(frame).original_pte, protection, PteHome::kSegment));
  }
  return ClonedPage{prototype, protection};
}

// The entry of a page that is locked keeps the page of clone entries. That is charged before there is one, so that a
// refusal leaves none that nobody uses.
Result<VirtualAddress> next_for(Core& core, Locked locked, CloneEntries& entries) PAGODA_REQUIRES(core.pfns.lock) {
  if (locked == Locked::kYes) PAGODA_TRY(core.resident.charge(1_pages));
  auto prototype = entries.next();
  if (!prototype && locked == Locked::kYes) core.resident.give_back(1_pages);
  return prototype;
}

}  // namespace

Result<ClonedPage> move_mapped(Core& core, const Processor& cpu, RawPte raw, Locked locked, std::uint32_t references,
                               CloneEntries& entries) {
  const VirtualAddress prototype = PAGODA_TRY(next_for(core, locked, entries));
  const PteCodec& codec = core.codec;
  const Pfn frame = codec.frame(raw);
  const PhysicalAddress to = core.prototypes.find(prototype);
  if (PteCodec::is_dirty(raw)) core.pfns.make_dirty(frame);
  const RawPte original = core.pfns.entry(frame).original_pte;
  const Protection protection = shared_by_fork(codec.protection(original));
  core.prototypes.use_clone_entry(prototype, protection, references);
  core.pfns.move_to_prototype(frame, to, codec.with_protection(original, protection, PteHome::kSegment));
  machine::store_entry(cpu.physical(), core.mode, to,
                       codec.valid(frame, protection, PteCodec::Owner::kKernel, PteCodec::Dirty::kNo));
  if (locked == Locked::kYes) {
    core.resident.give_back(1_pages - core.pfns.tables_to_keep(to.pfn()));  // Others of it do already.
    core.pfns.keep_table(to.pfn());
  }
  return ClonedPage{prototype, protection};
}

// Analysed by hand: the locks are let go in the middle.
Result<> clone_entries(RegionSpace& child, RegionSpace& parent, Processor& cpu, VpnRange pages,
                       CloneEntries& entries) PAGODA_NO_THREAD_SAFETY {
  Core& core = child.core();
  const PteCodec& codec = core.codec;
  Status status = Status::kSuccess;          // Else the walk ends.
  PhysicalAddress mine = PageTables::kNone;  // This space's entry for the page, once its table exists.
  Vpn mine_end;                              // Where that table ends.
  bool child_needs = false;                  // The walk ended for want of the child's table for `child_page`.
  Vpn child_page;
  const auto share = [&](Vpn page, PhysicalAddress pte, RawPte raw) {
    child.lock.assert_held();
    parent.lock.assert_held();
    if (mine != PageTables::kNone) mine = page < mine_end ? mine + ByteCount(core.mode.entry_bytes) : PageTables::kNone;
    // The child finds device frames by its region, as the parent did.
    const bool mapped = PteCodec::is_valid(raw);
    if (raw == 0 || (mapped && !core.pfns.contains(codec.frame(raw)))) return true;
    if (mine == PageTables::kNone) {
      // One of the child's tables has gone out while its parent's were brought in.
      if (child.tables().find_out(cpu, page).any()) {
        child_needs = true;
        child_page = page;
        return false;
      }
      const auto made = child.tables().make(cpu, page);
      if (!made) {
        status = made.error();
        return false;
      }
      mine = *made;
      mine_end = Vpn((page.value() / core.mode.entries(1) + 1) * core.mode.entries(1));
    }
    const PteKind kind = codec.kind(raw);
    if (kind == PteKind::kDemandZero || kind == PteKind::kDecommitted) {
      child.tables().store(cpu, mine, raw);
      return true;
    }
    if (kind == PteKind::kPrototype || (mapped && PteCodec::is_shared(raw))) {
      RawPte pointer = raw;
      if (mapped) {
        const Wsle& wsle = parent.working_set()[parent.working_set().find_shared(page)];
        pointer = parent.unmapped_form(codec.frame(raw), raw, wsle);
      }
      if (child.is_clone(pointer)) {
        const LockGuard guard(core.pfns.lock);
        const VirtualAddress clone = codec.prototype_address(pointer);
        if (core.prototypes.clone_references(clone) >= PfnEntry::kMostCounted) {
          status = Status::kInsufficientResources;
          return false;
        }
        core.prototypes.add_clone_reference(clone);
      }
      child.tables().store(cpu, mine, pointer);
      return true;
    }
    const std::uint32_t slot = parent.working_set_slot(page, raw);
    ClonedPage moved;
    {
      const LockGuard guard(core.pfns.lock);
      const auto locked = mapped && parent.working_set()[slot].is_locked() ? Locked::kYes : Locked::kNo;
      const auto result = mapped ? move_mapped(core, cpu, raw, locked, kReferencesOfFork, entries)
                                 : move_unmapped(core, cpu, pte, raw, entries);
      if (!result) {
        status = result.error();
        return false;
      }
      moved = *result;
    }
    const RawPte pointer = codec.prototype(moved.prototype, moved.protection, PteCodec::ReadOnly::kNo);
    if (mapped) {
      const Pfn frame = codec.frame(raw);
      if (PteCodec::is_dirty(raw)) parent.record_write(page);
      parent.working_set().make_shared(slot, moved.protection);
      parent.tables().replace(
          cpu, pte, codec.valid(frame, moved.protection, parent.owner(), PteCodec::Dirty::kNo) | soft_bits::kPrototype);
    } else {
      parent.tables().replace(cpu, pte, pointer);
    }
    child.tables().store(cpu, mine, pointer);
    return true;
  };
  for (Vpn page = pages.first;;) {
    page = parent.tables().for_each(cpu, {page, pages.end() - page}, share);
    if (child_needs) page = child_page;
    if (page == pages.end()) break;
    // A table is out. What is shared so far has lost Write before anybody runs on.
    parent.invalidate(cpu, {parent.range(), kNoPfn});
    child.lock.release();
    Status in = Status::kSuccess;
    if (child_needs) {
      const PauseGuard pause(parent);
      const LockGuard guard(child.lock);
      in = child.bring_in(cpu, page, AddressSpace::For::kLook);
    } else {
      in = parent.bring_in(cpu, page, AddressSpace::For::kChange);
    }
    child.lock.take_next();
    child_needs = false;
    mine = PageTables::kNone;
    if (in != Status::kSuccess) return fail(in);
  }
  return status == Status::kSuccess ? Result<>{} : fail(status);
}

}  // namespace pagoda::mm
