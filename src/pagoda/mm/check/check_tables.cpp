// PT1, PT2, PF4: page tables against the database's entries for them. PT3: every level-1 entry against the page that it
// names.
#include <fmt/format.h>

#include <array>
#include <cstring>
#include <span>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm::checking {

void check_transition(Context& c, const Leaf& leaf) {
  const auto frame = c.frame_of(leaf.raw);
  if (!frame) {
    c.find("PT3"_rule, c.text_of(leaf) + " names a frame never used");
    return;
  }
  const PfnEntry& e = c.entry(*frame);
  FrameFacts& facts = c.facts(*frame);
  ++facts.transition;
  if (e.pte() == leaf.pte) facts.owner_is_transition = true;
  const bool in_memory = e.state == PageState::kStandby || e.state == PageState::kModified ||
                         e.state == PageState::kModifiedNoWrite || e.state == PageState::kTransition;
  if (!in_memory || e.deleted != 0) {
    c.find("PF5"_rule, fmt::format("{} names {}", c.text_of(leaf), c.text_of(*frame)));
    return;
  }
  if (leaf.raw != c.core.codec.transition(*frame, c.core.codec.protection(e.original_pte)))
    c.find("PT3"_rule, fmt::format("{} has not the rights of {}", c.text_of(leaf), c.text_of(*frame)));
}

namespace {

class Walk {
 public:
  Walk(Context& c, const PageTables& tables) : c_(c), mode_(c.core.mode), tables_(tables) {}

  // Checks the table and everything below it; `first` is the first page that it translates. The depth is that of the
  // paging mode, and no table is entered twice.
  void table(Pfn frame, unsigned level, Vpn first) {
    c_.core.pfns.lock.assert_held();
    const machine::FrameView view = c_.cpu.physical().bytes(frame, machine::Access::kRead);
    const auto [used, counted] = entries(view.bytes(), PhysicalAddress(frame), level, first);
    const PfnEntry& e = c_.entry(frame);
    if (e.used_entries != used)
      c_.find("PF4"_rule, fmt::format("{} has {} entries that are not zero", c_.text_of(frame), used));
    if (e.share_count != counted + 1)
      c_.find("PF4"_rule, fmt::format("{} has {} valid and transition entries", c_.text_of(frame), counted));
    if (used == 0 && level < mode_.levels)
      c_.find("PT1"_rule, fmt::format("{} of level {} for {} is empty", c_.text_of(frame), level,
                                      to_string(VirtualAddress(first))));
  }

 private:
  struct Count {
    std::uint32_t used = 0;
    std::uint32_t resident = 0;  // Valid and transition entries.
  };
  // `base`: where the bytes are in physical memory; PageTables::kNone: they are a table's that is out.
  Count entries(std::span<const std::byte, kPageBytes> bytes, PhysicalAddress base, unsigned level, Vpn first)
      PAGODA_REQUIRES(c_.core.pfns.lock) {
    const std::uint64_t pages = mode_.coverage(level).value() / kPageBytes;
    Count count;
    for (std::uint64_t i = 0; i < mode_.entries(level); ++i) {
      RawPte raw = 0;  // Little-endian, as the machine is.
      std::memcpy(&raw, bytes.data() + i * mode_.entry_bytes, mode_.entry_bytes);
      if (raw == 0) continue;
      ++count.used;
      if (PteCodec::is_valid(raw) || PteCodec::is_transition(raw)) ++count.resident;
      const Leaf entry{Vpn(first.value() + i * pages),
                       base == PageTables::kNone ? base : base + ByteCount(i * mode_.entry_bytes), raw};
      if (level == 1) {
        c_.leaves.push_back(entry);
      } else {
        directory_entry(entry, level);
      }
    }
    return count;
  }
  // An entry above a table that is out: its page's owner, as a level-1 entry is of its page.
  void table_out(const Leaf& entry, unsigned level) PAGODA_REQUIRES(c_.core.pfns.lock) {
    const PteCodec& codec = c_.core.codec;
    RawPte out = entry.raw;
    if (PteCodec::is_transition(entry.raw)) {
      check_transition(c_, entry);
      const auto frame = c_.frame_of(entry.raw);
      if (!frame) return;
      out = c_.entry(*frame).original_pte;
    } else if (codec.has_slot(entry.raw)) {
      c_.slots.push_back({codec.file(entry.raw), codec.slot(entry.raw), entry.pte, kNoPfn});
    } else {
      c_.find("PT2"_rule, fmt::format("level {}: {} points to no page table", level, c_.text_of(entry)));
      return;
    }
    std::array<std::byte, kPageBytes> bytes{};
    if (!tables_.are_pageable(level - 1) || !peek_entries(c_.core, c_.cpu, entry.raw, bytes)) {
      c_.find("PT5"_rule, fmt::format("level {}: {} names a table that cannot be out", level, c_.text_of(entry)));
      return;
    }
    const auto [used, resident] = entries(bytes, PageTables::kNone, level - 1, entry.page);
    const std::uint32_t said = tables_.use_count(entry.page, out);
    if (resident != 0 || used != said || used == 0) {
      c_.find("PT5"_rule, fmt::format("level {}: the table that {} names has {} entries, {} of them resident, and is "
                                      "said to have {}",
                                      level, c_.text_of(entry), used, resident, said));
    }
  }
  void large_page(const Leaf& entry) {
    c_.large_pages.push_back(entry);
    const PageCount count = pages_of(mode_.coverage(PageTables::kLargeLevel));
    const auto first = c_.frame_of(entry.raw);
    if (!first || first->value() % count.value() != 0 || first->value() + count.value() > c_.frames.size()) {
      c_.find("PT2"_rule, c_.text_of(entry) + " maps a large page of frames never used or out of line");
      return;
    }
    // What a view's entries carry its VAD knows: check_spaces.
    const bool shared = c_.entry(*first).prototype_pte != 0;
    const RawPte original = c_.entry(*first).original_pte;
    const Protection protection = c_.core.codec.protection(original);
    if (!shared &&
        (!is_mappable(protection) || entry.raw != c_.core.codec.large(*first, protection, PteCodec::Owner::kUser)))
      c_.find("PT2"_rule, fmt::format("{} has not the rights of {}", c_.text_of(entry), c_.text_of(*first)));
    for (Pfn frame = *first; frame < *first + count; ++frame) {
      const PfnEntry& e = c_.entry(frame);
      ++c_.facts(frame).valid;
      if (!shared) c_.facts(frame).owner_is_valid = e.pte() == entry.pte;
      if ((e.prototype_pte != 0) != shared || e.state != PageState::kActive || e.page_table != 0 || e.modified == 0 ||
          e.original_pte != original || e.ws_index != PfnEntry::kNoWsIndex) {
        c_.find("PT2"_rule, fmt::format("{} maps {}, which is no large page's", c_.text_of(entry), c_.text_of(frame)));
      }
    }
  }
  void directory_entry(const Leaf& entry, unsigned level) PAGODA_REQUIRES(c_.core.pfns.lock) {
    if (PageTables::is_large(entry.raw, level)) {
      large_page(entry);
      return;
    }
    if (!PteCodec::is_valid(entry.raw)) {
      table_out(entry, level);
      return;
    }
    const auto below = c_.frame_of(entry.raw);
    if (!below) {
      c_.find("PT2"_rule, fmt::format("level {}: {} points to no page table", level, c_.text_of(entry)));
      return;
    }
    if (entry.raw != c_.core.codec.table(*below, level, PteCodec::Owner::kUser))
      c_.find("PT2"_rule,
              fmt::format("level {}: {} has the wrong bits for {}", level, c_.text_of(entry), to_string(*below)));
    const PfnEntry& e = c_.entry(*below);
    const bool is_table = e.page_table != 0 && e.state == PageState::kActive;
    const bool is_owner = e.pte() == entry.pte;
    if (!is_table || !is_owner)
      c_.find("PT2"_rule, fmt::format("level {}: {} points to {}", level, c_.text_of(entry), c_.text_of(*below)));
    if (++c_.facts(*below).tables > 1) {
      c_.find("PT2"_rule, fmt::format("level {}: {} points to a table that another entry points to, {}", level,
                                      c_.text_of(entry), c_.text_of(*below)));
      return;
    }
    if (is_table || is_owner) table(*below, level - 1, entry.page);
  }

  Context& c_;
  const machine::PagingMode& mode_;
  const PageTables& tables_;
};

void check_valid(Context& c, const Leaf& leaf, ProcessSpace& space) PAGODA_REQUIRES(space.lock) {
  if (c.names_device_frame(leaf.raw)) return;  // Its region says whether it may: check_device_frames.
  const auto frame = c.frame_of(leaf.raw);
  if (!frame) {
    c.find("PT3"_rule, c.text_of(leaf) + " maps a frame never used");
    return;
  }
  const PfnEntry& e = c.entry(*frame);
  FrameFacts& facts = c.facts(*frame);
  ++facts.valid;
  if (e.pte() == leaf.pte) facts.owner_is_valid = true;
  if (PteCodec::is_dirty(leaf.raw)) facts.dirty = true;
  if (e.state != PageState::kActive || e.page_table != 0) {
    c.find("PF2"_rule, fmt::format("{} maps {}", c.text_of(leaf), c.text_of(*frame)));
    return;
  }
  if (PteCodec::cache_attribute(leaf.raw) != e.cache)
    c.find("PF11"_rule, fmt::format("{} has not the cache attribute of {}", c.text_of(leaf), c.text_of(*frame)));
  const bool shared = PteCodec::is_shared(leaf.raw);
  Protection protection = c.core.codec.protection(e.original_pte);
  if (shared) {
    const std::uint32_t slot = space.working_set().find_shared(leaf.page);
    protection = slot == WorkingSet::kNoSlot ? Protection::kNone : space.working_set()[slot].protection();
    if (c.is_used(e.containing_page()) && c.core.prototypes.is_clone(e.pte()))
      c.name_clone(c.core.prototypes.address_of(e.pte()));
    protection = cached_as(protection, e.cache);  // As its segment, whatever the view says.
  }
  if (shared != (e.prototype_pte != 0))
    c.find("PF2"_rule, fmt::format("{} maps {}, of which one is shared", c.text_of(leaf), c.text_of(*frame)));
  // Write comes with Dirty. Dirty may come alone, from a kernel that ignores write protection.
  const bool writable = (leaf.raw & machine::pte_bits::kWrite) != 0;
  const RawPte free_bits = machine::pte_bits::kAccessed | (writable ? 0 : machine::pte_bits::kDirty);
  if (!is_mappable(protection) ||
      ((leaf.raw ^ (c.core.codec.valid(*frame, protection, PteCodec::Owner::kUser,
                                       writable ? PteCodec::Dirty::kYes : PteCodec::Dirty::kNo) |
                    (shared ? soft_bits::kPrototype : 0))) &
       ~free_bits) != 0) {
    c.find("PT3"_rule, fmt::format("{} has not the rights of {}", c.text_of(leaf), c.text_of(*frame)));
  }
  // The entry of a file's page that was flushed through another view says that the page may be dirty again.
  if (writable && e.modified == 0 && !e.maps_file())
    c.find("PF6"_rule, fmt::format("{} lets the processor write to {}", c.text_of(leaf), c.text_of(*frame)));
}

}  // namespace

void check_tables(Context& c, const PageTables& tables) {
  const Pfn root = tables.root();
  c.leaves.clear();
  c.large_pages.clear();
  if (!c.is_used(root)) {
    c.find("PT2"_rule, "the root is " + to_string(root) + ", a frame never used");
    return;
  }
  const PfnEntry& e = c.entry(root);
  if (e.state != PageState::kActive || e.page_table == 0 || e.pte() != PhysicalAddress(root))
    c.find("PT2"_rule, "the root is " + c.text_of(root));
  if (++c.facts(root).tables > 1) {
    c.find("PT2"_rule, "the root is a page table already, " + c.text_of(root));
    return;
  }
  Walk(c, tables).table(root, c.core.mode.levels, Vpn(0));
}

// A pointer to a prototype PTE, or the form that says that the VAD knows.
RawPte right_pointer(Context& c, const Leaf& leaf) {
  const PteCodec& codec = c.core.codec;
  const Protection protection = codec.protection(leaf.raw);
  if (codec.is_lookup_needed(leaf.raw)) return codec.lookup_needed(protection);
  const VirtualAddress address = codec.prototype_address(leaf.raw);
  if (!c.core.prototypes.contains(address)) return 0;  // Nothing that a pointer can say.
  return codec.prototype(address, protection, PteCodec::ReadOnly::kNo);
}

void check_entries(Context& c, ProcessSpace& space) {
  const PteCodec& codec = c.core.codec;
  for (const Leaf& leaf : c.leaves) {
    RawPte right = leaf.raw;
    switch (codec.kind(leaf.raw)) {
      case PteKind::kValid:
        check_valid(c, leaf, space);
        break;
      case PteKind::kTransition:
        check_transition(c, leaf);
        break;
      case PteKind::kPageFile:
        c.slots.push_back({codec.file(leaf.raw), codec.slot(leaf.raw), leaf.pte, kNoPfn});
        if (leaf.pte == PageTables::kNone && c.core.is_compressed(leaf.raw))
          c.find("PT5"_rule, c.text_of(leaf) + " is in the compression store, and its table out");
        right = codec.page_file(codec.file(leaf.raw), codec.slot(leaf.raw), codec.protection(leaf.raw));
        break;
      case PteKind::kDemandZero:
        right = codec.protection(leaf.raw) == Protection::kNone ? 0 : codec.demand_zero(codec.protection(leaf.raw));
        break;
      case PteKind::kDecommitted:
        right = codec.decommitted();
        break;
      case PteKind::kPrototype:
        right = right_pointer(c, leaf);
        break;
      case PteKind::kZero:
      case PteKind::kSubsection:
        right = 0;
        break;
    }
    if (leaf.raw != right) c.find("PT3"_rule, c.text_of(leaf) + " is in a form that no page takes");
  }
}

}  // namespace pagoda::mm::checking
