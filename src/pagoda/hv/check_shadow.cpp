#include "pagoda/hv/check_shadow.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "pagoda/hv/shadow_mmu.h"

namespace pagoda::hv {

namespace {

using machine::RawPte;
using State = TracedTables::State;
using namespace machine::pte_bits;

class ShadowChecker {
 public:
  ShadowChecker(Partition& partition, std::vector<mm::Finding>& findings)
      : partition_(partition),
        shadow_(*partition.shadow()),
        mode_(machine::paging_mode(partition.config().paging)),
        memory_(partition.memory().host_memory()),
        findings_(findings) {}

  void run() {
    const LockGuard guard(partition_.vmmem().lock);
    for (const auto& [role, tree] : shadow_.trees()) {
      healthy_ = true;
      std::set<Pfn> seen;
      check_table(*tree, tree->root(), machine::kMaxPagingLevels, seen);
      for (const auto& [frame, table] : tree->tables())
        if (!seen.contains(frame)) find("SH1", fmt::format("table {:#x} is in no entry of its tree", frame.value()));
      // Entries are not to be asked for in a tree that is broken.
      if (healthy_) check_entries(*tree);
    }
    check_uses();
    check_reverse_map();
    check_tlbs();
    check_sizes();
    check_index();
  }

 private:
  using UseKey = std::pair<const ShadowTree*, ShadowTree::Key>;

  void find(const char* rule, std::string text) {
    healthy_ = false;
    findings_.push_back({rule, std::move(text)});
  }
  static std::string text(const ShadowTree& tree, VirtualAddress va) {
    return fmt::format("the entry for {:#x} under root {:#x}", va.value(), tree.role().root.value());
  }

  // [SH1]
  void check_table(const ShadowTree& tree, Pfn frame, unsigned level, std::set<Pfn>& seen) {
    const auto known = tree.tables().find(frame);
    if (known == tree.tables().end()) {
      return find("SH1",
                  fmt::format("frame {:#x} is no table of its tree, and an entry of it points there", frame.value()));
    }
    if (!seen.insert(frame).second) return find("SH1", fmt::format("table {:#x} is in two places", frame.value()));
    unsigned used = 0;
    for (std::uint64_t index = 0; index < ShadowTree::mode().entries(level); ++index) {
      const auto raw = memory_.load<std::uint64_t>(PhysicalAddress(frame) + ByteCount(index * sizeof(RawPte)));
      if ((raw & kValid) == 0) continue;
      ++used;
      if (level > 1) check_table(tree, ShadowTree::mode().frame(raw), level - 1, seen);
    }
    if (used != known->second.used || (used == 0 && frame != tree.root()))
      find("SH1", fmt::format("table {:#x} counts {} entries and has {}", frame.value(), known->second.used, used));
  }

  void check_entries(ShadowTree& tree) {
    for (const VirtualAddress va : tree.addresses()) {
      const ShadowTree::Leaf leaf = *tree.find(va);
      ++entries_;
      for (unsigned level = leaf.guest_level; level <= mode_.levels; ++level) ++derived_[{&tree, key(va, level)}];
      const auto mappings = shadow_.reverse_map().find(leaf.guest);
      const ShadowMmu::Mapping here{&tree, va};
      if (mappings == shadow_.reverse_map().end() || std::ranges::count(mappings->second, here) != 1)
        find("SH6", text(tree, va) + " is not once in the reverse map");
      const RawPte second = partition_.slat().entry(leaf.guest);
      if (second == 0 || partition_.slat().frame_of(leaf.guest) != leaf.host)
        find("SH5", fmt::format("{} leads from guest frame {:#x} to {:#x}, the second level to {:#x}", text(tree, va),
                                leaf.guest.value(), leaf.host.value(), partition_.slat().frame_of(leaf.guest).value()));
      else if (leaf.writable && (second & kWrite) == 0)
        find("SH5", text(tree, va) + " is writable, the second level is not");
      if (leaf.writable && shadow_.traced().is_traced(leaf.guest))
        find("SH7", fmt::format("{} may write the table in guest frame {:#x}", text(tree, va), leaf.guest.value()));
      check_rights(tree, va, leaf);
    }
  }

  [[nodiscard]] ShadowTree::Key key(VirtualAddress va, unsigned level) const {
    const std::uint64_t bytes = mode_.coverage(level).value() * mode_.entries(level);
    return {level == mode_.levels ? 0 : va.value() & ~(bytes - 1), level};
  }

  // An entry of the guest's. None: the host has its table elsewhere.
  [[nodiscard]] std::optional<RawPte> guest_entry(Gfn table, VirtualAddress va, unsigned level) const {
    const Pfn host = partition_.slat().frame_of(table);
    if (host == kNoPfn) return std::nullopt;
    return machine::load_entry(memory_, mode_, mode_.entry_address(host, va, level));
  }

  // [SH4]. What the host has taken away cannot be looked at, and did not change.
  void check_rights(const ShadowTree& tree, VirtualAddress va, const ShadowTree::Leaf& leaf) {
    const ShadowRole& role = tree.role();
    const bool nx_works = mode_.has_no_execute && role.no_execute;
    for (unsigned level = mode_.levels; level >= leaf.guest_level; --level) {
      const auto table = tree.guest_tables().find(key(va, level));
      const TracedTables::Table* const traced =
          table == tree.guest_tables().end() ? nullptr : known_table(table->second);
      if (traced == nullptr) return find("SH2", text(tree, va) + " derives from a table that is not known");
      if (level == mode_.levels && table->second != role.root) find("SH4", text(tree, va) + " has another root");
      if (traced->state == State::kUnsync) continue;
      const auto raw = guest_entry(table->second, va, level);
      if (!raw) continue;
      const machine::PagingLevel& format = mode_.level[level];
      const bool is_leaf = level == leaf.guest_level;
      RawPte reserved = is_leaf && level > 1 ? format.reserved_large : format.reserved;
      if (mode_.has_no_execute && !nx_works) reserved |= kNoExecute;
      bool allowed = (*raw & kValid) != 0 && (*raw & reserved) == 0;
      if (format.carries_rights) {
        allowed &= (*raw & kAccessed) != 0;
        allowed &= !leaf.user || (*raw & kUser) != 0;
        allowed &= !leaf.writable || (*raw & kWrite) != 0 || (!leaf.user && !role.write_protect);
        allowed &= !leaf.executable || !nx_works || (*raw & kNoExecute) == 0;
      }
      if (is_leaf) {
        allowed &= !leaf.writable || (*raw & kDirty) != 0;
        allowed &= leaf.global == ((*raw & kGlobal) != 0);
        allowed &= level == 1 || (*raw & kLarge) != 0;
        const std::uint64_t within = mode_.coverage(level).value() - 1;
        const PhysicalAddress target((*raw & mode_.frame_mask & ~within) | (va.value() & within));
        allowed &= to_gfn(target.pfn()) == leaf.guest;
      } else {
        const auto below = tree.guest_tables().find(key(va, level - 1));
        allowed &= !format.may_be_large || (*raw & kLarge) == 0;
        allowed &= below != tree.guest_tables().end() && below->second == to_gfn(mode_.frame(*raw));
      }
      if (!allowed)
        find("SH4", fmt::format("{} (guest frame {:#x}{}{}{}) is not what the guest's entry of level {} allows: {:#x}",
                                text(tree, va), leaf.guest.value(), leaf.writable ? ", writable" : "",
                                leaf.user ? ", user" : "", leaf.executable ? ", executable" : "", level, *raw));
    }
  }

  [[nodiscard]] const TracedTables::Table* known_table(Gfn frame) const {
    const auto at = shadow_.traced().all().find(frame);
    return at == shadow_.traced().all().end() ? nullptr : &at->second;
  }

  // [SH2], [SH3]
  void check_uses() {
    const TracedTables& traced = shadow_.traced();
    std::set<UseKey> uses;
    for (const auto& [frame, table] : traced.all()) {
      const bool unsync = table.state == State::kUnsync;
      if (unsync != traced.unsync().contains(frame) || (unsync && !table.is_leaf()))
        find("SH3", fmt::format("guest frame {:#x} is unsync and no leaf table, or not on its list", frame.value()));
      if (table.uses.empty()) find("SH2", fmt::format("guest frame {:#x} is a table without uses", frame.value()));
      for (const TracedTables::Use& use : table.uses) {
        const UseKey at{use.tree, {use.base.value(), use.level}};
        const bool alive =
            std::ranges::any_of(shadow_.trees(), [&](const auto& tree) { return tree.second.get() == use.tree; });
        if (!alive || !uses.insert(at).second) {
          find("SH2", fmt::format("guest frame {:#x} has a use of no tree, or twice", frame.value()));
          continue;
        }
        const auto known = use.tree->guest_tables().find(at.second);
        if (known == use.tree->guest_tables().end() || known->second != frame)
          find("SH2", fmt::format("guest frame {:#x} has a use at {:#x} that its tree does not know", frame.value(),
                                  use.base.value()));
        const auto entries = derived_.find(at);
        const std::uint32_t expected = entries == derived_.end() ? 0 : entries->second;
        if (use.entries != expected || (expected == 0 && !unsync))
          find("SH2", fmt::format("guest frame {:#x} counts {} entries at {:#x}, there are {}", frame.value(),
                                  use.entries, use.base.value(), expected));
      }
    }
    for (const auto& [role, tree] : shadow_.trees())
      for (const auto& [at, frame] : tree->guest_tables())
        if (!uses.contains({tree.get(), at}))
          find("SH2", fmt::format("guest frame {:#x} does not know its use at {:#x}", frame.value(), at.first));
    for (const Gfn frame : traced.unsync())
      if (known_table(frame) == nullptr)
        find("SH3", fmt::format("guest frame {:#x} is unsync and no table", frame.value()));
    for (const GpaRange& range : partition_.map().ranges()) {
      for (PageCount i; i < range.frames.count; ++i) {
        const Gfn frame = range.frames.first + i;
        const TracedTables::Table* const table = known_table(frame);
        if (traced.is_traced(frame) != (table != nullptr && table->state == State::kTraced))
          find("SH2", fmt::format("guest frame {:#x} is marked wrongly", frame.value()));
      }
    }
  }

  // [SH6], the other way.
  void check_reverse_map() {
    std::uint64_t mappings = 0;
    for (const auto& [frame, list] : shadow_.reverse_map()) mappings += list.size();
    if (mappings != entries_)
      find("SH6", fmt::format("the reverse map has {} entries, the trees have {}", mappings, entries_));
  }

  // [SH7]
  void check_tlbs() {
    std::map<Pfn, Gfn> traced;  // By host frame.
    for (const auto& [frame, table] : shadow_.traced().all())
      if (const Pfn host = partition_.slat().frame_of(frame); host != kNoPfn && table.state == State::kTraced)
        traced.emplace(host, frame);
    const std::uint64_t write = machine::access_right(machine::Access::kWrite, machine::Privilege::kUser) |
                                machine::access_right(machine::Access::kWrite, machine::Privilege::kKernel);
    for (std::size_t number = 0; number < partition_.processor_count(); ++number) {
      for (const machine::CachedTranslation& held :
           partition_.processor(static_cast<unsigned>(number)).guest().tlb().held()) {
        const auto found = traced.find(memory_.frame_at(held.host));
        if (found != traced.end() && (held.rights & write) != 0)
          find("SH7", fmt::format("processor {} may write the table in guest frame {:#x} at {:#x}", number,
                                  found->second.value(), held.page.value()));
      }
    }
  }

  // [SH8]
  void check_sizes() {
    const PageCount shadow = shadow_.table_count();
    if (shadow > partition_.config().shadow_limit)
      find("SH8", fmt::format("{} shadow tables, more than allowed", shadow.value()));
    const PageCount slat = count_tables(partition_.slat().root(), machine::kMaxPagingLevels);
    if (shadow + slat != partition_.table_frames().in_use())
      find("SH8", fmt::format("{} shadow tables and {} of the second level are not {} frames in use", shadow.value(),
                              slat.value(), partition_.table_frames().in_use().value()));
  }
  // [SH9]
  void check_index() {
    const ShadowMmu::Index& index = shadow_.index();
    std::size_t tags = 0;
    std::size_t with_global = 0;
    for (const auto& [role, tree] : shadow_.trees()) {
      for (const machine::Asid tag : tree->tags()) {
        const auto found = index.by_tag.find(tag);
        if (found == index.by_tag.end() || std::ranges::count(found->second, tree.get()) != 1)
          find("SH9", fmt::format("the tree of root {:#x} is not found once under tag {}", role.root.value(),
                                  static_cast<unsigned>(tag)));
        ++tags;
      }
      if (tree->has_global()) ++with_global;
      if (std::ranges::count(index.with_global, tree.get()) != (tree->has_global() ? 1 : 0))
        find("SH9", fmt::format("the tree of root {:#x} has{} global entries, the index says otherwise",
                                role.root.value(), tree->has_global() ? "" : " no"));
    }
    std::size_t listed = 0;
    for (const auto& [tag, trees] : index.by_tag) listed += trees.size();
    if (listed != tags || index.with_global.size() != with_global)
      find("SH9", fmt::format("the index has {} trees under tags and {} with global entries, there are {} and {}",
                              listed, index.with_global.size(), tags, with_global));
  }

  [[nodiscard]] PageCount count_tables(Pfn frame, unsigned level) const {
    PageCount count{1};
    for (std::uint64_t index = 0; level > 1 && index < Slat::mode().entries(level); ++index) {
      const auto raw = memory_.load<std::uint64_t>(PhysicalAddress(frame) + ByteCount(index * sizeof(RawPte)));
      if ((raw & kValid) != 0 && (raw & kLarge) == 0) count += count_tables(Slat::mode().frame(raw), level - 1);
    }
    return count;
  }

  Partition& partition_;
  ShadowMmu& shadow_;
  const machine::PagingMode& mode_;  // The guest's.
  const machine::PhysicalView& memory_;
  std::vector<mm::Finding>& findings_;
  bool healthy_ = true;  // Nothing found in the tree at hand.
  std::uint64_t entries_ = 0;
  std::map<UseKey, std::uint32_t> derived_;  // Entries.
};

}  // namespace

void check_shadow(Partition& partition, std::vector<mm::Finding>& findings) {
  ShadowChecker(partition, findings).run();
}

}  // namespace pagoda::hv
