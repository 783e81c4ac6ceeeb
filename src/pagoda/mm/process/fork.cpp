// Forking: a child that shares every page of its parent until one of them writes. NT: MiCloneProcessAddressSpace.
//
//   before   parent PTE ── private page
//   after    parent PTE ─┬─> clone entry (a prototype PTE, counted twice) ── the same page
//            child PTE  ─┘
//
// A private page, in memory or in a paging file, moves into a clone entry, writable becomes write-copy, and both PTEs
// lead there: the parent's stays valid if it was. What leads to a clone entry already, from a fork before, is counted
// once more. Pages of views that nobody copied are shared through their section as they were, large pages too; device
// frames through the region. Whatever has no page (demand zero, holes, guards on nothing) is copied as it is. The
// pages' contents are not touched.
//
// What has been moved when a fork fails stays so: nobody but the parent shares it then, and it reads the same.
// Source: reference/nt.md section 5, "Fork".
#include "pagoda/mm/section/sections.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

// Gives out clone entries, one after the other, and the pages for them, each charged.
class CloneEntries {
 public:
  CloneEntries(Core& core, Processor& cpu) : core_(core), cpu_(cpu) {}

  // Under the PFN lock.
  Result<VirtualAddress> next() {
    core_.pfns.lock.assert_held();
    if (used_ == 0 || used_ == core_.prototypes.entries_per_page()) {
      if (core_.pfns.available() < kFaultReserve) return fail(Status::kNoMemory);
      PAGODA_TRY(core_.commit.charge(1_pages));
      const auto page = core_.prototypes.make_clone_page(cpu_);
      if (!page) {
        core_.commit.give_back(1_pages);
        return page;
      }
      page_ = *page;
      used_ = 0;
    }
    return page_ + ByteCount(used_++ * core_.mode.entry_bytes);
  }

 private:
  Core& core_;
  Processor& cpu_;
  VirtualAddress page_;
  std::uint64_t used_ = 0;
};

namespace {

// The entry of the parent, which holds a private page, before and after.
struct Moved {
  VirtualAddress prototype;
  Protection protection = Protection::kNone;  // Of both who share it.
};

// Under the PFN lock: of an invalid entry, which may have changed since it was looked at.
Result<Moved> move_unmapped(Core& core, const Processor& cpu, PhysicalAddress pte, RawPte raw, CloneEntries& entries)
    PAGODA_REQUIRES(core.pfns.lock) {
  const auto prototype = entries.next();
  if (!prototype) return std::unexpected(prototype.error());
  raw = core.load(cpu, pte);  // A frame that was taken for the entries may have been this one.
  const PteCodec& codec = core.codec;
  const Protection protection = shared_by_fork(codec.protection(raw));
  const PhysicalAddress to = core.prototypes.find(*prototype);
  core.prototypes.add_clone_reference(*prototype, 2);
  machine::store_entry(cpu.physical(), core.mode, to, codec.with_protection(raw, protection, PteHome::kSegment));
  if (codec.has_slot(raw)) core.backings.moved(codec.file(raw), codec.slot(raw), to);
  if (PteCodec::is_transition(raw)) {
    const Pfn frame = codec.frame(raw);
    core.pfns.move_to_prototype(
        frame, to, codec.with_protection(core.pfns.entry(frame).original_pte, protection, PteHome::kSegment));
  }
  return Moved{*prototype, protection};
}

Result<Moved> move_mapped(Core& core, const Processor& cpu, RawPte raw, CloneEntries& entries)
    PAGODA_REQUIRES(core.pfns.lock) {
  const auto prototype = entries.next();
  if (!prototype) return std::unexpected(prototype.error());
  const PteCodec& codec = core.codec;
  const Pfn frame = codec.frame(raw);
  const PhysicalAddress to = core.prototypes.find(*prototype);
  if (PteCodec::is_dirty(raw)) core.pfns.make_dirty(frame);
  const RawPte original = core.pfns.entry(frame).original_pte;
  const Protection protection = shared_by_fork(codec.protection(original));
  core.prototypes.add_clone_reference(*prototype, 2);
  core.pfns.move_to_prototype(frame, to, codec.with_protection(original, protection, PteHome::kSegment));
  machine::store_entry(cpu.physical(), core.mode, to,
                       codec.valid(frame, protection, PteCodec::Owner::kKernel, PteCodec::Dirty::kNo));
  return Moved{*prototype, protection};
}

bool is_forked(const Vad& vad) {
  if (vad.control_area != nullptr || has_device_frames(vad)) return vad.inherit == Inherit::kShare;
  return vad.type != VadType::kAwe && vad.type != VadType::kLargePages;
}

}  // namespace

Result<> AddressSpace::clone_region(Processor& cpu, AddressSpace& parent, const Vad& vad, CloneEntries& entries) {
  const PteCodec& codec = core_.codec;
  Status status = Status::kSuccess;
  PhysicalAddress mine = PageTables::kNone;  // This space's entry for the page, once its table exists.
  Vpn mine_end;                              // Where that table ends.
  parent.tables_.for_each(cpu, vad.range, [&](Vpn page, PhysicalAddress pte, RawPte raw) {
    lock.assert_held();
    parent.lock.assert_held();
    if (status != Status::kSuccess) return;
    if (mine != PageTables::kNone)
      mine = page < mine_end ? mine + ByteCount(core_.mode.entry_bytes) : PageTables::kNone;
    // The child finds device frames by its region, as the parent did.
    const bool mapped = PteCodec::is_valid(raw);
    if (raw == 0 || (mapped && !core_.pfns.contains(codec.frame(raw)))) return;
    if (mine == PageTables::kNone) {
      const auto made = tables_.make(cpu, page);
      if (!made) {
        status = made.error();
        return;
      }
      mine = *made;
      mine_end = Vpn((page.value() / core_.mode.entries(1) + 1) * core_.mode.entries(1));
    }
    const PteKind kind = codec.kind(raw);
    if (kind == PteKind::kDemandZero || kind == PteKind::kDecommitted) {
      tables_.store(cpu, mine, raw);
      return;
    }
    if (kind == PteKind::kPrototype || (mapped && PteCodec::is_shared(raw))) {
      RawPte pointer = raw;
      if (mapped) {
        const Wsle& wsle = parent.working_set_[parent.working_set_.find_shared(page)];
        pointer = unmapped_form(codec.frame(raw), raw, wsle);
      }
      if (is_clone(pointer)) {
        const LockGuard guard(core_.pfns.lock);
        core_.prototypes.add_clone_reference(codec.prototype_address(pointer));
      }
      tables_.store(cpu, mine, pointer);
      return;
    }
    const std::uint32_t slot = parent.working_set_slot(page, raw);
    Moved moved;
    {
      const LockGuard guard(core_.pfns.lock);
      const auto result = mapped ? move_mapped(core_, cpu, raw, entries) : move_unmapped(core_, cpu, pte, raw, entries);
      if (!result) {
        status = result.error();
        return;
      }
      moved = *result;
    }
    const RawPte pointer = codec.prototype(moved.prototype, moved.protection, PteCodec::ReadOnly::kNo);
    if (mapped) {
      const Pfn frame = codec.frame(raw);
      if (PteCodec::is_dirty(raw)) parent.record_write(page);
      parent.working_set_.make_shared(slot, moved.protection);
      parent.tables_.replace(
          cpu, pte,
          codec.valid(frame, moved.protection, PteCodec::Owner::kUser, PteCodec::Dirty::kNo) | soft_bits::kPrototype);
    } else {
      parent.tables_.replace(cpu, pte, pointer);
    }
    tables_.store(cpu, mine, pointer);
  });
  return status == Status::kSuccess ? Result<>{} : fail(status);
}

Result<> AddressSpace::clone_from(Processor& cpu, AddressSpace& parent) {
  const LockGuard guard(parent.lock);
  const NextLockGuard child_guard(lock);
  CloneEntries entries(core_, cpu);
  Result<> result;
  for (const Vad* vad = parent.vads_.first(); vad != nullptr && result; vad = VadTree::next(vad)) {
    if (!is_forked(*vad)) continue;
    Vad copy = *vad;
    copy.extra = nullptr;
    if (copy.type == VadType::kWriteWatch) copy.type = VadType::kNone;
    const auto inserted = insert_vad(copy);
    if (!inserted) {
      result = std::unexpected(inserted.error());
      break;
    }
    if (has_device_frames(copy)) extras_.map_device(**inserted, *vad->extra->device);
    if (copy.control_area != nullptr) {
      const LockGuard pfn_guard(core_.pfns.lock);
      ++copy.control_area->mapped_views;
    }
    result = is_physical(copy) ? map_large_view(cpu, **inserted) : clone_region(cpu, parent, *vad, entries);
  }
  // The parent writes to none of what it shares now.
  parent.invalidate_range(cpu, parent.user_range());
  return result;
}

}  // namespace pagoda::mm
