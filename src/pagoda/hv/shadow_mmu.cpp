#include "pagoda/hv/shadow_mmu.h"

#include <algorithm>

namespace pagoda::hv {

using machine::Access;
using machine::Asid;
using machine::PageFault;
using machine::Privilege;
using machine::Translation;

namespace {

ShadowRole role_of(const machine::Processor& cpu) {
  const machine::WalkRules& rules = cpu.walk_rules();
  return {.root = to_gfn(cpu.root()), .write_protect = rules.write_protect, .no_execute = rules.no_execute};
}

}  // namespace

ShadowMmu::ShadowMmu(SecondLevel& second_level, TableFrames& frames, machine::PhysicalView host_memory,
                     const PartitionConfig& config, PartitionCounts& counts)
    : config_(config),
      second_level_(second_level),
      slat_(second_level.slat()),
      vmmem_(second_level.memory().vmmem()),
      frames_(frames),
      host_memory_(host_memory),
      mode_(machine::paging_mode(config.paging)),
      counts_(counts),
      traced_(second_level.memory().map().end()) {
  second_level_.attach(this);
}

ShadowMmu::~ShadowMmu() { second_level_.attach(nullptr); }

void ShadowMmu::attach(HypervisorView& view) {
  views_.push_back(&view);
  view.world().guest().attach(this);
}

std::expected<Translation, PageFault> ShadowMmu::walk(machine::Processor& cpu, VirtualAddress va, Access access,
                                                      Privilege privilege, std::uint64_t& loads) {
  HypervisorView& view = view_of(cpu);
  const ShadowRole role = role_of(cpu);
  for (;;) {
    {
      const LockGuard guard(vmmem_.lock);
      if (const ShadowTree* const tree = find_tree(role)) {
        if (auto found = tree->walk(va, access, privilege, loads)) {
          const Gfn table = tree->guest_tables().at({base_of(va, found->level).value(), found->level});
          found->entry = mode_.entry_address(to_guest_pfn(table), va, found->level);
          return *found;
        }
      } else {
        ++loads;  // A root without entries.
      }
    }
    const auto answer = PAGODA_TRY(exit(view.world(), [&] { return fill(view, role, va, access, privilege); }));
    if (answer) return *answer;
  }
}

bool ShadowMmu::is_memory(Gfn frame, Access access) const {
  const GpaRange* const range = second_level_.memory().map().find(frame);
  return range != nullptr && (access != Access::kWrite || range->kind == GpaKind::kMemory);
}

ShadowMmu::Path ShadowMmu::path_to(HypervisorView& view, Gfn root, VirtualAddress va, unsigned leaf_level) const {
  Path path{root};
  for (unsigned level = mode_.levels; level > leaf_level; --level) {
    const PhysicalAddress at = mode_.entry_address(to_guest_pfn(path.back()), va, level);
    path.push_back(frame_in(machine::load_entry(view.memory(), mode_, at)));
  }
  return path;
}

void ShadowMmu::reserve_tables(machine::Processor& host) {
  constexpr PageCount kWanted = ShadowTree::kTablesPerPath + 1_pages;
  if (frames_.reserve(host, kWanted)) return;
  // The host has none: the oldest trees make room, then everything.
  const LockGuard guard(vmmem_.lock);
  while (frames_.spare() < kWanted && evict_oldest(nullptr)) {
  }
  if (frames_.spare() < kWanted) second_level_.forget_all();
}

std::expected<std::optional<Translation>, PageFault> ShadowMmu::fill(HypervisorView& view, const ShadowRole& role,
                                                                     VirtualAddress va, Access access,
                                                                     Privilege privilege) {
  const machine::WalkRules rules{.write_protect = role.write_protect, .no_execute = role.no_execute};
  for (;;) {
    std::uint64_t loads = 0;  // Software's: part of what an exit costs.
    const auto walked =
        machine::walk(view.memory(), mode_, to_guest_pfn(role.root), va, access, privilege, rules, loads);
    if (!walked) {
      // The entry to the guest that ends this exit injects it: no exit of its own (AMD APM vol. 2, 15.20).
      ++counts_.true_faults;
      return std::unexpected(walked.error());
    }
    std::optional<Translation> answer;
    if (const Gfn frame = to_gfn(walked->frame); is_memory(frame, access)) {
      const Path path = path_to(view, role.root, va, walked->level);
      reserve_tables(view.world().host());
      view.reach(frame, access);
      const LockGuard guard(vmmem_.lock);
      const Derivation derived = derive(role, view.world().guest().asid(), va, access, *walked, path);
      if (derived == Derivation::kAgain) continue;
      if (derived == Derivation::kCannot) answer = *walked;
    } else {
      answer = *walked;
    }
    ++counts_.hidden_faults;
    return answer;
  }
}

ShadowMmu::Derivation ShadowMmu::derive(const ShadowRole& role, Asid asid, VirtualAddress va, Access access,
                                        const Translation& walked, const Path& path) {
  const bool write = access == Access::kWrite;
  const Gfn frame = to_gfn(walked.frame);
  const machine::RawPte second = slat_.entry(frame);
  const bool host_writable = (second & machine::pte_bits::kWrite) != 0;
  // The host may have taken the page away again, or the frames for tables.
  if (second == 0 || (write && !host_writable)) return Derivation::kAgain;
  if (frames_.spare() < ShadowTree::kTablesPerPath + 1_pages) return Derivation::kAgain;
  if (write && !make_writable(frame, path, walked.level)) return Derivation::kCannot;
  ShadowTree& tree = tree_for(role, asid);
  if (const auto old = tree.find(va);
      old && (old->guest != frame || old->guest_level != walked.level || !derives_from(tree, va, path)))
    drop(tree, va);
  make_room(tree.missing_tables(va), &tree);
  use_tables(tree, va, path);
  // A table that maps itself.
  if (write && traced_.is_traced(frame)) allow_writes(frame);
  const bool may_write = host_writable && !traced_.is_traced(frame) && walked.dirty;
  // A supervisor's write without write protection.
  const bool supervisors = write && !walked.writable;
  add(tree, va,
      {.host = slat_.frame_of(frame),
       .guest = frame,
       .guest_level = walked.level,
       .writable = may_write && (walked.writable || supervisors),
       .user = walked.user && !supervisors,
       .executable = walked.executable,
       .global = walked.global,
       .cache_disable = walked.cache_disable,
       .write_through = walked.write_through});
  return Derivation::kDone;
}

bool ShadowMmu::make_writable(Gfn frame, const Path& path, unsigned leaf_level) {
  const bool leaf_may_be_written = leaf_level == 1 && config_.unsync;
  const auto end = leaf_may_be_written ? path.end() - 1 : path.end();
  if (std::find(path.begin(), end, frame) != end) {
    unshadow(frame);
    return false;
  }
  allow_writes(frame);
  return true;
}

// --- Invalidations ---

void ShadowMmu::root_loaded(machine::Processor& cpu) {
  if (cpu.root() == kNoPfn) return;
  exit(view_of(cpu).world(), [&] {
    ++counts_.root_loads;
    const LockGuard guard(vmmem_.lock);
    ShadowTree* const tree = find_tree(role_of(cpu));
    if (tree == nullptr) return;
    ++counts_.root_hits;
    loaded_under(*tree, cpu.asid());
    tree->last_use = ++uses_;
    // A load under a tag of its own flushes nothing; to be in sync is more than asked.
    resync(*tree);
  });
}

void ShadowMmu::rules_changed(machine::Processor& cpu) { all_invalidated(cpu); }

void ShadowMmu::page_invalidated(machine::Processor& cpu, VirtualAddress va, Asid asid) {
  exit(view_of(cpu).world(), [&] {
    ++counts_.page_invalidations;
    const LockGuard guard(vmmem_.lock);
    for_each_under(asid, [&](ShadowTree& tree) {
      vmmem_.lock.assert_held();
      drop_page(tree, va);
    });
  });
}

void ShadowMmu::space_invalidated(machine::Processor& cpu, Asid asid) {
  exit(view_of(cpu).world(), [&] {
    ++counts_.page_invalidations;
    const LockGuard guard(vmmem_.lock);
    // Some flushes of a space are of global entries of a range too.
    for_each_under(asid, [&](ShadowTree& tree) {
      vmmem_.lock.assert_held();
      resync(tree);
    });
  });
}

void ShadowMmu::all_invalidated(machine::Processor& cpu) {
  exit(view_of(cpu).world(), [&] {
    ++counts_.page_invalidations;
    const LockGuard guard(vmmem_.lock);
    for (const auto& [role, tree] : trees_) resync(*tree);
  });
}

void ShadowMmu::tlb_written(WorldSwitch& world) {
  exit(world, [&] { ++counts_.refill_exits; });
}

// --- The host ---

void ShadowMmu::forget(Gfn frame) {
  vmmem_.lock.assert_held();
  const auto found = reverse_map_.find(frame);
  if (found == reverse_map_.end()) return;
  const std::vector<Mapping> mappings = found->second;
  for (const Mapping& mapping : mappings) drop(*mapping.tree, mapping.va);
}

bool ShadowMmu::test_and_clear_accessed(Gfn frame) {
  vmmem_.lock.assert_held();
  bool accessed = false;
  if (const auto found = reverse_map_.find(frame); found != reverse_map_.end())
    for (const Mapping& mapping : found->second) accessed |= mapping.tree->test_and_clear_accessed(mapping.va);
  return accessed;
}

void ShadowMmu::contents_lost(GfnRange frames) {
  vmmem_.lock.assert_held();
  for (Gfn frame = frames.first; frame < frames.end(); ++frame) unshadow(frame);
}

void ShadowMmu::forget_all() {
  vmmem_.lock.assert_held();
  while (!trees_.empty()) evict(trees_.begin());
}

// --- Trees ---

PageCount ShadowMmu::table_count() const {
  PageCount count;
  for (const auto& [role, tree] : trees_) count += tree->table_count();
  return count;
}

ShadowTree* ShadowMmu::find_tree(const ShadowRole& role) {
  const auto found = trees_.find(role);
  return found == trees_.end() ? nullptr : found->second.get();
}

void ShadowMmu::loaded_under(ShadowTree& tree, Asid asid) {
  if (tree.loaded_under(asid)) index_.by_tag[asid].push_back(&tree);
}

template <class Visit>
void ShadowMmu::for_each_under(Asid asid, Visit&& visit) {
  if (const auto found = index_.by_tag.find(asid); found != index_.by_tag.end())
    for (ShadowTree* const tree : found->second) visit(*tree);
  if (index_.with_global.empty()) return;
  // The visit may take a tree's last global entry.
  const std::vector<ShadowTree*> with_global = index_.with_global;
  for (ShadowTree* const tree : with_global)
    if (!tree->was_loaded_under(asid)) visit(*tree);
}

void ShadowMmu::note_global(ShadowTree& tree, bool had) {
  if (tree.has_global() == had) return;
  if (had) {
    std::erase(index_.with_global, &tree);
  } else {
    index_.with_global.push_back(&tree);
  }
}

ShadowTree& ShadowMmu::tree_for(const ShadowRole& role, Asid asid) {
  ShadowTree* tree = find_tree(role);
  if (tree == nullptr) {
    make_room(1_pages, nullptr);
    auto made = std::make_unique<ShadowTree>(host_memory_, frames_, role);
    tree = trees_.emplace(role, std::move(made)).first->second.get();
  }
  loaded_under(*tree, asid);
  tree->last_use = ++uses_;
  return *tree;
}

void ShadowMmu::make_room(PageCount tables, ShadowTree* keep) {
  while (table_count() + tables > config_.shadow_limit) {
    if (evict_oldest(keep)) continue;
    PAGODA_CHECK(keep != nullptr);
    drop_entries(*keep);
    return;
  }
}

bool ShadowMmu::evict_oldest(const ShadowTree* keep) {
  auto oldest = trees_.end();
  for (auto at = trees_.begin(); at != trees_.end(); ++at)
    if (at->second.get() != keep && (oldest == trees_.end() || at->second->last_use < oldest->second->last_use))
      oldest = at;
  if (oldest == trees_.end()) return false;
  evict(oldest);
  return true;
}

void ShadowMmu::evict(Trees::iterator tree) {
  ++counts_.shadow_evictions;
  drop_entries(*tree->second);
  for (const Asid asid : tree->second->tags()) {
    const auto found = index_.by_tag.find(asid);
    std::erase(found->second, tree->second.get());
    if (found->second.empty()) index_.by_tag.erase(found);
  }
  tree->second->release();
  trees_.erase(tree);
}

void ShadowMmu::drop_entries(ShadowTree& tree) {
  for (const VirtualAddress va : tree.addresses()) drop(tree, va);
  while (!tree.guest_tables().empty()) {
    const auto [base, level] = tree.guest_tables().begin()->first;
    remove_use(tree, level, VirtualAddress(base));
  }
}

// --- Entries ---

void ShadowMmu::add(ShadowTree& tree, VirtualAddress va, const ShadowTree::Leaf& leaf) {
  const VirtualAddress page = va.page_base();
  const bool is_new = !tree.find(page).has_value();
  const bool had_global = tree.has_global();
  tree.install(page, leaf);
  note_global(tree, had_global);
  if (!is_new) return;
  reverse_map_[leaf.guest].push_back({&tree, page});
  for (unsigned level = leaf.guest_level; level <= mode_.levels; ++level) {
    const VirtualAddress base = base_of(page, level);
    TracedTables::Table* const table = traced_.find(tree.guest_tables().at({base.value(), level}));
    ++table->find(tree, level, base)->entries;
  }
}

void ShadowMmu::drop(ShadowTree& tree, VirtualAddress va) {
  const VirtualAddress page = va.page_base();
  const auto leaf = tree.find(page);
  if (!leaf) return;
  if (leaf->accessed) {
    // The host will ask the Slat whether the page was used: it takes what the entry knows, if it has one still.
    std::uint64_t loads = 0;
    [[maybe_unused]] const auto walked = slat_.walk(leaf->guest, Access::kRead, loads);
  }
  const bool had_global = tree.has_global();
  tree.clear(page);
  note_global(tree, had_global);
  const auto mappings = reverse_map_.find(leaf->guest);
  PAGODA_CHECK(mappings != reverse_map_.end());
  std::erase(mappings->second, Mapping{&tree, page});
  if (mappings->second.empty()) reverse_map_.erase(mappings);
  for (unsigned level = leaf->guest_level; level <= mode_.levels; ++level) {
    const VirtualAddress base = base_of(page, level);
    TracedTables::Table* const table = traced_.find(tree.guest_tables().at({base.value(), level}));
    TracedTables::Use* const use = table->find(tree, level, base);
    // A table that is out of sync stays so: its next entry needs no tracing.
    if (--use->entries == 0 && table->state == TracedTables::State::kTraced) remove_use(tree, level, base);
  }
}

void ShadowMmu::drop_range(ShadowTree& tree, VirtualAddress base, ByteCount bytes) {
  for (const VirtualAddress va : tree.addresses(base, bytes)) drop(tree, va);
}

void ShadowMmu::drop_page(ShadowTree& tree, VirtualAddress va) {
  drop(tree, va);
  for (unsigned level = 2; level <= machine::kMaxPagingLevels; ++level) {
    if (!tree.has_large(level)) continue;
    const ByteCount page = mode_.coverage(level);
    for (const VirtualAddress piece : tree.addresses(VirtualAddress(va.value() & ~(page.value() - 1)), page))
      if (tree.find(piece)->guest_level == level) drop(tree, piece);
  }
}

}  // namespace pagoda::hv
