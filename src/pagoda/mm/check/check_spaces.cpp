// One space: VT1 to VT5, AS1 to AS3, AS5, WW1, AW1, AW3, DF1, DF2, WS1 to WS3.
#include <fmt/format.h>

#include "pagoda/mm/check/check_context.h"
#include "pagoda/mm/region/large_pages.h"
#include "pagoda/mm/region/private_region.h"

namespace pagoda::mm::checking {

namespace {

// PP3 for one entry that names a clone: nobody may write to a page that a fork shares.
void name_clone(Context& c, const ProcessSpace& space, const Leaf& leaf) {
  c.name_clone(c.core.codec.prototype_address(leaf.raw));
  const Protection rights = c.core.codec.protection(leaf.raw);
  if (is_writable(rights) && !is_write_copy(rights))
    c.find("PP3"_rule, fmt::format("space {}: {} has the right to write to a clone", space.id(), c.text_of(leaf)));
}

// Page tables that the space's regions span, each once. `vads` ascend.
class SpannedTables {
 public:
  explicit SpannedTables(const machine::PagingMode& mode) : mode_(mode) {}

  void add(VpnRange pages) {
    for (unsigned level = 1; level < mode_.levels; ++level) {
      const std::uint64_t pages_of_table = mode_.coverage(level + 1).value() / kPageBytes;
      const std::uint64_t first = std::max(pages.first.value() / pages_of_table, next_[level]);
      const std::uint64_t end = pages.last().value() / pages_of_table + 1;
      if (end <= first) continue;
      count_ += PageCount(end - first);
      next_[level] = end;
    }
  }
  [[nodiscard]] PageCount count() const { return count_; }

 private:
  const machine::PagingMode& mode_;
  std::array<std::uint64_t, machine::kMaxPagingLevels> next_{};  // By level: the first table not counted yet.
  PageCount count_;
};

void check_range(Context& c, const ProcessSpace& space, const Vad& vad) {
  if (!space.user_range().contains(vad.range.first) || !space.user_range().contains(vad.range.last())) {
    c.find("AS3"_rule, fmt::format("space {}: the region of {} from {} leaves what programs may use", space.id(),
                                   to_string(vad.range.count), to_string(VirtualAddress(vad.range.first))));
  }
  if (vad.kind == nullptr || vad.is_private != (vad.kind->type() == MemoryType::kPrivate) ||
      (vad.is_private &&
       (!is_allowed_on_private(vad.protection) || !is_allowed_on_private(vad.allocation_protection)))) {
    c.find("AS3"_rule, fmt::format("space {}: the region at {} has protection {}", space.id(),
                                   to_string(VirtualAddress(vad.range.first)), to_string(vad.protection)));
  }
}

// AS6.
void check_touch(Context& c, const ProcessSpace& space, const Vad& vad) {
  if (!vad.commits_on_touch) return;
  const bool ordinary = vad.is_private && (vad.type == VadType::kNone || vad.type == VadType::kWriteWatch);
  if (!ordinary || vad.mem_commit == MemCommit::kYes || vad.placeholder || !is_mappable(vad.protection)) {
    c.find("AS6"_rule, fmt::format("space {}: the region at {} commits on touch and is no region that can", space.id(),
                                   to_string(VirtualAddress(vad.range.first))));
  }
}

// Whether a valid entry's frame, place in the working set and prototype PTE may be looked at.
bool is_known(const Context& c, const ProcessSpace& space, const Leaf& leaf) PAGODA_REQUIRES(space.lock) {
  const auto frame = c.frame_of(leaf.raw);
  if (!frame || !PteCodec::is_shared(leaf.raw)) return frame.has_value();
  return c.is_used(c.entry(*frame).containing_page()) &&
         space.working_set().find_shared(leaf.page) != WorkingSet::kNoSlot;
}

// Checks a view: counts pages that are private, or become so when they are written. A default that copies holds for
// pages whose entry says nothing else.
std::size_t check_view(Context& c, ProcessSpace& space, const Vad& vad, std::size_t at) PAGODA_REQUIRES(space.lock) {
  const ControlArea& area = *vad.control_area;
  ++c.views[&area];
  const auto by_default = [&](Vpn page) { return is_write_copy(space.protection_of_zero_pte(vad, page)); };
  std::uint64_t charged = 0;
  if (area.kind() == SectionKind::kImage) {
    for (Vpn page = vad.range.first; page < vad.range.end(); ++page) charged += by_default(page) ? 1 : 0;
  } else if (by_default(vad.range.first)) {
    charged = vad.range.count.value();
  }
  for (; at < c.leaves.size() && c.leaves[at].page < vad.range.end(); ++at) {
    const Leaf& leaf = c.leaves[at];
    const PteKind kind = c.core.codec.kind(leaf.raw);
    if (kind == PteKind::kValid && !is_known(c, space, leaf)) continue;
    if (kind == PteKind::kPrototype && !c.core.codec.is_lookup_needed(leaf.raw) &&
        !c.core.prototypes.contains(c.core.codec.prototype_address(leaf.raw))) {
      c.find("PT3"_rule, fmt::format("space {}: {} points out of the pool", space.id(), c.text_of(leaf)));
      continue;
    }
    const bool clone = space.is_clone(leaf.raw);
    if (clone && kind == PteKind::kPrototype) name_clone(c, space, leaf);
    const bool shared =
        !clone && (kind == PteKind::kPrototype || (kind == PteKind::kValid && PteCodec::is_shared(leaf.raw)));
    const bool copies = is_write_copy(space.current_protection(c.cpu, vad, leaf.page, leaf.raw));
    charged += (!shared || copies ? 1 : 0) - (by_default(leaf.page) ? 1 : 0);
    if (kind == PteKind::kDecommitted) {
      c.find("AS3"_rule, fmt::format("space {}: {} is in a view, at {}", space.id(), c.text_of(leaf),
                                     to_string(VirtualAddress(vad.range.first))));
    }
    if (!shared) continue;
    // Where the page of the view is in its segment, there it must point.
    const LockGuard guard(c.core.pfns.lock);
    const VirtualAddress prototype = area.prototype_of(c.core.codec, vad.section_page_of(leaf.page));
    const bool leads =
        kind == PteKind::kPrototype
            ? c.core.codec.is_lookup_needed(leaf.raw) || c.core.codec.prototype_address(leaf.raw) == prototype
            : c.entry(c.core.codec.frame(leaf.raw)).pte() == c.core.prototypes.find(prototype);
    if (!leads)
      c.find("PT3"_rule,
             fmt::format("space {}: {} does not lead to {}", space.id(), c.text_of(leaf), to_string(prototype)));
  }
  if (vad.commit_charge.value() != charged) {
    c.find("AS2"_rule,
           fmt::format("space {}: the view at {} is charged {} and has {} pages that are or become private", space.id(),
                       to_string(VirtualAddress(vad.range.first)), to_string(vad.commit_charge), charged));
  }
  return at;
}

// PT2 for a large page of a view: it is the segment's, with the rights of the VAD.
void check_large_view(Context& c, const ProcessSpace& space, const Vad& vad, const Leaf& leaf)
    PAGODA_REQUIRES(space.lock) {
  const PageCount count = pages_of(large_page_size(c.core.mode));
  const PageCount at = vad.section_page_of(leaf.page);
  const auto first = c.frame_of(leaf.raw);
  if (!first || first->value() + count.value() > c.frames.size()) return;  // A finding already.
  const LockGuard guard(c.core.pfns.lock);
  bool fits = is_mappable(vad.large_protection) && at + count <= vad.control_area->pages() &&
              leaf.raw == c.core.codec.large(*first, vad.large_protection, PteCodec::Owner::kUser);
  for (PageCount page; fits && page < count; page += 1_pages)
    fits =
        c.entry(*first + page).pte() == c.core.prototypes.find(vad.control_area->prototype_of(c.core.codec, at + page));
  if (!fits) {
    c.find("PT2"_rule, fmt::format("space {}: {} is not what the view at {} has there", space.id(), c.text_of(leaf),
                                   to_string(VirtualAddress(vad.range.first))));
  }
}

// AS1 for large pages: regions of that type have them throughout, and nothing else has any.
void check_large_pages(Context& c, ProcessSpace& space) PAGODA_REQUIRES(space.lock) {
  const std::uint64_t pages = pages_of(large_page_size(c.core.mode)).value();
  std::uint64_t promised = 0;
  for (const Vad* vad = space.vads().first(); vad != nullptr; vad = VadTree::next(vad)) {
    if (has_large_pages(*vad)) promised += vad->range.count.value() / pages;
  }
  for (const Leaf& leaf : c.large_pages) {
    const Vad* const vad = space.vads().find(leaf.page);
    if (vad == nullptr || !has_large_pages(*vad) || (leaf.page - vad->range.first).value() % pages != 0) {
      c.find("AS1"_rule, fmt::format("space {}: {} is in no region of large pages", space.id(), c.text_of(leaf)));
      continue;
    }
    const auto first = c.frame_of(leaf.raw);
    if (first && (c.entry(*first).prototype_pte != 0) == vad->is_private) {
      c.find("PT2"_rule, fmt::format("space {}: {} maps {}, which is of the other kind of large pages", space.id(),
                                     c.text_of(leaf), c.text_of(*first)));
    }
    if (!vad->is_private) check_large_view(c, space, *vad, leaf);
  }
  if (promised != c.large_pages.size()) {
    c.find("AS1"_rule, fmt::format("space {}: its regions have {} large pages, its tables {}", space.id(), promised,
                                   c.large_pages.size()));
  }
}

// WW1 for one region, whose entries begin at `at`.
void check_watch(Context& c, const ProcessSpace& space, const Vad& vad, std::size_t at) {
  const WriteWatch* const watch = vad.extra != nullptr ? vad.extra->watch.get() : nullptr;
  if ((watch != nullptr) != (vad.type == VadType::kWriteWatch)) {
    c.find("WW1"_rule, fmt::format("space {}: the region at {} is of type {} and has {} watch", space.id(),
                                   to_string(VirtualAddress(vad.range.first)), static_cast<unsigned>(vad.type),
                                   watch != nullptr ? "a" : "no"));
    return;
  }
  if (watch == nullptr) return;
  for (; at < c.leaves.size() && c.leaves[at].page < vad.range.end(); ++at) {
    const Leaf& leaf = c.leaves[at];
    if (PteCodec::is_valid(leaf.raw) && (leaf.raw & machine::pte_bits::kWrite) != 0 && !watch->test(leaf.page))
      c.find("WW1"_rule, fmt::format("space {}: {} may be written to and is not marked", space.id(), c.text_of(leaf)));
  }
}

// AW3 for one window, whose entries begin at `at`; returns where those of the next region begin.
std::size_t check_window(Context& c, const ProcessSpace& space, const Vad& vad, std::size_t at) {
  for (; at < c.leaves.size() && c.leaves[at].page < vad.range.end(); ++at) {
    const Leaf& leaf = c.leaves[at];
    const auto frame = c.frame_of(leaf.raw);
    if (!PteCodec::is_valid(leaf.raw) || !frame || c.facts(*frame).awe_owner != space.id()) {
      c.find("AW3"_rule,
             fmt::format("space {}: {} of a window maps no AWE frame of the space's", space.id(), c.text_of(leaf)));
    }
  }
  return at;
}

// AW3 for an entry that is in no window.
void check_no_window(Context& c, const ProcessSpace& space, const Leaf& leaf) {
  const auto frame = c.frame_of(leaf.raw);
  if (PteCodec::is_valid(leaf.raw) && frame && c.entry(*frame).awe != 0)
    c.find("AW3"_rule,
           fmt::format("space {}: {} outside of windows maps {}", space.id(), c.text_of(leaf), c.text_of(*frame)));
}

// The charge of one region against its entries, which begin at `at`; returns where those of the next begin.
std::size_t check_charge(Context& c, const ProcessSpace& space, const Vad& vad, std::size_t at) {
  if (vad.type == VadType::kAwe) {
    at = check_window(c, space, vad, at);
    if (!vad.commit_charge.is_zero())
      c.find("AS2"_rule, fmt::format("space {}: the window at {} is charged {}", space.id(),
                                     to_string(VirtualAddress(vad.range.first)), to_string(vad.commit_charge)));
    return at;
  }
  const bool by_vad = vad.mem_commit == MemCommit::kYes;
  std::uint64_t differing = 0;  // Entries that say otherwise than the region.
  for (; at < c.leaves.size() && c.leaves[at].page < vad.range.end(); ++at) {
    check_no_window(c, space, c.leaves[at]);
    const PteKind kind = c.core.codec.kind(c.leaves[at].raw);
    const bool is_hole = kind == PteKind::kDecommitted;
    if (kind == PteKind::kPrototype) {
      if (c.core.codec.is_lookup_needed(c.leaves[at].raw)) {
        c.find("PT3"_rule, fmt::format("space {}: {} is in no view", space.id(), c.text_of(c.leaves[at])));
      } else {
        name_clone(c, space, c.leaves[at]);
      }
    }
    if (is_hole == by_vad) ++differing;
    if (is_hole && !by_vad) {
      c.find("AS3"_rule, fmt::format("space {}: {} is a hole in a region that is only reserved, at {}", space.id(),
                                     c.text_of(c.leaves[at]), to_string(VirtualAddress(vad.range.first))));
    }
  }
  const std::uint64_t committed = by_vad ? vad.range.count.value() - differing : differing;
  if (vad.placeholder && (differing != 0 || by_vad || vad.protection != Protection::kNoAccess)) {
    c.find("AS5"_rule, fmt::format("space {}: the placeholder at {} has {} and {} entries", space.id(),
                                   to_string(VirtualAddress(vad.range.first)), to_string(vad.protection), differing));
  }
  if (vad.commit_charge.value() != committed) {
    c.find("AS2"_rule, fmt::format("space {}: the region at {} is charged {} and has {} committed", space.id(),
                                   to_string(VirtualAddress(vad.range.first)), to_string(vad.commit_charge),
                                   to_string(PageCount(committed))));
  }
  return at;
}

// What the large pages of the space keep in memory: their tables and, if they are its own, their frames.
void keep_large_pages(Context& c) {
  const LockGuard guard(c.core.pfns.lock);
  for (const Leaf& leaf : c.large_pages) {
    const auto first = c.frame_of(leaf.raw);
    if (first && c.entry(*first).prototype_pte == 0) c.resident += pages_of(large_page_size(c.core.mode));
    c.keep(leaf.pte.pfn());
  }
}

}  // namespace

void check_space(Context& c, ProcessSpace& space) {
  c.domain = space.sharing_domain();
  c.resident += c.core.tables_that_stay();
  const PageCount commit = space.statistics().commit;
  const LockGuard guard(space.lock);
  {
    const LockGuard pfn_guard(c.core.pfns.lock);
    check_tables(c, space.tables());
  }
  if (!check_hash(c, space)) return;
  check_entries(c, space);
  check_awe_frames(c, space);
  keep_large_pages(c);
  check_vads(c, space, commit);
  check_working_set(c, space);
}

void check_awe_frames(Context& c, ProcessSpace& space) {
  const auto frames = space.user_pages().frames().all();
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const Pfn frame = frames[i];
    if (!c.is_used(frame) || c.entry(frame).awe == 0 || c.entry(frame).awe_index != i) {
      c.find("AW1"_rule, fmt::format("space {}: number {} of its AWE frames is {}, which says otherwise", space.id(), i,
                                     c.is_used(frame) ? c.text_of(frame) : to_string(frame)));
      continue;
    }
    std::uint32_t& owner = c.facts(frame).awe_owner;
    if (owner != 0) c.find("AW1"_rule, fmt::format("spaces {} and {} own {}", owner, space.id(), c.text_of(frame)));
    owner = space.id();
    ++c.resident;
    const LockGuard guard(c.core.pfns.lock);
    if (c.entry(frame).share_count > 0) c.keep(c.entry(frame).containing_page());
  }
}

void check_vads(Context& c, ProcessSpace& space, PageCount commit) {
  const VadTree& vads = space.vads();
  bool sound = true;
  vads.check([&](const char* rule, const std::string& text) {
    // A count that is wrong leads nowhere.
    sound = sound && std::string_view(rule) == "VT5";
    c.find(Rule(rule), fmt::format("space {}: {}", space.id(), text));
  });
  c.charge += space.total_charge();
  if (!sound) return;  // Links may lead anywhere.

  check_large_pages(c, space);
  SpannedTables tables(c.core.mode);
  PageCount charge;
  std::size_t at = 0;
  const auto check_outside = [&](Vpn end) {
    for (; at < c.leaves.size() && c.leaves[at].page < end; ++at)
      c.find("AS1"_rule, fmt::format("space {}: {} is in no region", space.id(), c.text_of(c.leaves[at])));
  };
  for (const Vad* vad = vads.first(); vad != nullptr; vad = VadTree::next(vad)) {
    check_range(c, space, *vad);
    check_touch(c, space, *vad);
    if (vad->kind != nullptr) {
      vad->kind->check(space, *vad, [&](const char* rule, const std::string& text) {
        c.find(Rule(rule), fmt::format("space {}: {}", space.id(), text));
      });
    }
    check_outside(vad->range.first);
    check_watch(c, space, *vad, at);
    if (check_device_region(c, space, *vad)) {
      at = check_device_entries(c, space, *vad, at);
    } else {
      check_no_device_entries(c, space, *vad, at);
      at = vad->control_area != nullptr ? check_view(c, space, *vad, at) : check_charge(c, space, *vad, at);
    }
    if (!vad->tables_on_demand) tables.add(vad->range);
    charge += vad->commit_charge;
  }
  check_outside(VadTree::kNoVpn);
  check_extras(c, space);
  if (commit != charge) {
    c.find("AS2"_rule,
           fmt::format("space {} is charged {} and its regions {}", space.id(), to_string(commit), to_string(charge)));
  }
  const PageCount awe = space.user_pages().frames().count();
  if (space.total_charge() != charge + tables.count() + awe + 1_pages) {
    c.find("AS2"_rule, fmt::format("space {} is charged {} with page tables; its regions are charged {} and span {} of "
                                   "tables, its AWE frames are {}",
                                   space.id(), to_string(space.total_charge()), to_string(charge),
                                   to_string(tables.count()), awe.value()));
  }
}

}  // namespace pagoda::mm::checking
