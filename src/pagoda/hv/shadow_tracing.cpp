// ShadowMmu's tracing of the guest's page tables: what derives from them, when they may be written, and how they come
// back in sync.
#include <algorithm>

#include "pagoda/hv/shadow_mmu.h"

namespace pagoda::hv {

using machine::RawPte;

namespace {

// A write of whole entries, which page tables get; data are written in other sizes too.
bool is_of_entries(machine::FrameExtent part, const machine::PagingMode& mode) {
  return part.bytes <= sizeof(RawPte) && part.bytes % mode.entry_bytes == 0 && part.offset % mode.entry_bytes == 0;
}

// Memory that a table of the level translates.
ByteCount reach_of(const machine::PagingMode& mode, unsigned level) {
  return mode.coverage(level) * mode.entries(level);
}

constexpr std::uint64_t kAddressMask = (std::uint64_t{1} << 48) - 1;

}  // namespace

VirtualAddress ShadowMmu::base_of(VirtualAddress va, unsigned level) const {
  // The root translates both halves of the address space.
  return VirtualAddress(level == mode_.levels ? 0 : va.value() & ~(reach_of(mode_, level).value() - 1));
}

bool ShadowMmu::derives_from(const ShadowTree& tree, VirtualAddress va, const Path& path) const {
  unsigned level = mode_.levels;
  return std::ranges::all_of(path, [&](Gfn table) {
    const auto known = tree.guest_tables().find({base_of(va, level).value(), level});
    --level;
    return known != tree.guest_tables().end() && known->second == table;
  });
}

void ShadowMmu::use_tables(ShadowTree& tree, VirtualAddress va, const Path& path) {
  // First, since it drops entries, and uses with them.
  for (std::size_t above = 0; above < path.size() && above + 1 < mode_.levels; ++above)
    if (traced_.unsync().contains(path[above])) resync(path[above]);
  unsigned level = mode_.levels;
  for (const Gfn table : path) {
    add_use(tree, level, base_of(va, level), table);
    traced_.find(table)->writes = 0;
    --level;
  }
}

void ShadowMmu::add_use(ShadowTree& tree, unsigned level, VirtualAddress base, Gfn frame) {
  const ShadowTree::Key key{base.value(), level};
  if (const auto known = tree.guest_tables().find(key); known != tree.guest_tables().end()) {
    if (known->second == frame) return;
    // An unsync table that nothing derived from any more, which another has replaced.
    drop_range(tree, base, reach_of(mode_, level));
    remove_use(tree, level, base);
  }
  if (traced_.find(frame) == nullptr) {
    traced_.add(frame);
    trace(frame);
  }
  tree.guest_tables()[key] = frame;
  traced_.find(frame)->uses.push_back({.tree = &tree, .level = level, .base = base});
}

void ShadowMmu::remove_use(ShadowTree& tree, unsigned level, VirtualAddress base) {
  const auto known = tree.guest_tables().find({base.value(), level});
  if (known == tree.guest_tables().end()) return;
  const Gfn frame = known->second;
  tree.guest_tables().erase(known);
  TracedTables::Table* const table = traced_.find(frame);
  std::erase_if(table->uses, [&](const TracedTables::Use& use) {
    return use.tree == &tree && use.level == level && use.base == base;
  });
  if (table->uses.empty()) traced_.remove(frame);
}

void ShadowMmu::trace(Gfn frame) {
  if (const auto found = reverse_map_.find(frame); found != reverse_map_.end())
    for (const Mapping& mapping : found->second) mapping.tree->write_protect(mapping.va);
  second_level_.forget_in_tlbs(frame);
}

void ShadowMmu::unshadow(Gfn frame) {
  TracedTables::Table* const table = traced_.find(frame);
  if (table == nullptr) return;
  ++counts_.unshadowed;
  const std::vector<TracedTables::Use> uses = table->uses;
  for (const TracedTables::Use& use : uses) {
    drop_range(*use.tree, use.base, reach_of(mode_, use.level));
    // Unless its last entry took it along.
    const auto known = use.tree->guest_tables().find({use.base.value(), use.level});
    if (known != use.tree->guest_tables().end() && known->second == frame) remove_use(*use.tree, use.level, use.base);
  }
}

void ShadowMmu::allow_writes(Gfn frame) {
  if (!traced_.is_traced(frame)) return;
  if (!config_.unsync || !traced_.find(frame)->is_leaf()) return unshadow(frame);
  ++counts_.unsyncs;
  traced_.set_state(frame, TracedTables::State::kUnsync);
}

void ShadowMmu::table_write(WorldSwitch& world, Gfn frame, machine::FrameExtent part) {
  exit(world, [&] {
    ++counts_.table_writes;
    const LockGuard guard(vmmem_.lock);
    TracedTables::Table& table = *traced_.find(frame);
    if (!is_of_entries(part, mode_)) return unshadow(frame);
    if (table.is_leaf()) {
      if (config_.unsync) allow_writes(frame);
    } else if (++table.writes >= kWriteFlood) {
      unshadow(frame);
    }
  });
}

void ShadowMmu::table_written(Gfn frame, machine::FrameExtent part) {
  const LockGuard guard(vmmem_.lock);
  const std::vector<TracedTables::Use> uses = traced_.find(frame)->uses;
  const std::uint64_t first = part.offset / mode_.entry_bytes;
  const std::uint64_t last = (part.offset + part.bytes - 1) / mode_.entry_bytes;
  for (const TracedTables::Use& use : uses) {
    const ByteCount coverage = mode_.coverage(use.level);
    // PAE's root has four entries.
    const std::uint64_t end = std::min(last + 1, mode_.entries(use.level));
    for (std::uint64_t index = first; index < end; ++index) {
      const VirtualAddress base = use.base + coverage * index;
      drop_range(*use.tree, base, coverage);
      // Tables below that are out of sync: nothing derives from them here any more.
      std::vector<ShadowTree::Key> below;
      for (const auto& [key, table] : use.tree->guest_tables())
        if (key.second < use.level && (key.first & kAddressMask) - (base.value() & kAddressMask) < coverage.value())
          below.push_back(key);
      for (const auto& [at, level] : below) remove_use(*use.tree, level, VirtualAddress(at));
    }
  }
}

bool ShadowMmu::still_allows(const ShadowTree& tree, RawPte raw, const ShadowTree::Leaf& leaf) const {
  using namespace machine::pte_bits;
  const ShadowRole& role = tree.role();
  const bool nx_works = mode_.has_no_execute && role.no_execute;
  const RawPte reserved = mode_.level[1].reserved | (mode_.has_no_execute && !nx_works ? kNoExecute : 0);
  if ((raw & kValid) == 0 || (raw & reserved) != 0 || frame_in(raw) != leaf.guest) return false;
  if ((raw & kAccessed) == 0 || (leaf.writable && (raw & kDirty) == 0)) return false;
  if (leaf.user && (raw & kUser) == 0) return false;
  if (leaf.writable && (raw & kWrite) == 0 && (leaf.user || role.write_protect)) return false;
  if (leaf.executable && nx_works && (raw & kNoExecute) != 0) return false;
  return leaf.global == ((raw & kGlobal) != 0) && leaf.cache_disable == ((raw & kCacheDisable) != 0) &&
         leaf.write_through == ((raw & kWriteThrough) != 0);
}

void ShadowMmu::resync(Gfn frame) {
  ++counts_.resyncs;
  // A table that the host has taken away is not brought in for this.
  const Pfn host = slat_.frame_of(frame);
  const std::vector<TracedTables::Use> uses = traced_.find(frame)->uses;
  for (const TracedTables::Use& use : uses) {
    for (const VirtualAddress va : use.tree->addresses(use.base, reach_of(mode_, use.level))) {
      const auto leaf = use.tree->find(va);
      if (host == kNoPfn || leaf->guest_level != use.level ||
          !still_allows(*use.tree, machine::load_entry(host_memory_, mode_, mode_.entry_address(host, va, use.level)),
                        *leaf))
        drop(*use.tree, va);
    }
  }
  traced_.set_state(frame, TracedTables::State::kTraced);
  trace(frame);
  for (const TracedTables::Use& use : uses)
    if (traced_.find(frame)->find(*use.tree, use.level, use.base)->entries == 0)
      remove_use(*use.tree, use.level, use.base);
}

void ShadowMmu::resync(const ShadowTree& tree) {
  const std::vector<Gfn> unsync(traced_.unsync().begin(), traced_.unsync().end());
  for (const Gfn frame : unsync) {
    // What was brought in sync before it may have taken it along.
    const TracedTables::Table* const table = traced_.find(frame);
    if (table == nullptr || table->state != TracedTables::State::kUnsync) continue;
    if (std::ranges::any_of(table->uses, [&](const TracedTables::Use& use) { return use.tree == &tree; }))
      resync(frame);
  }
}

}  // namespace pagoda::hv
