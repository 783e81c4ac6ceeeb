// One space: VT1 to VT4, AS1 to AS3, WS1 to WS3.
#include <fmt/format.h>

#include "pagoda/mm/check/check_context.h"
#include "pagoda/mm/space/private_protection.h"

namespace pagoda::mm::checking {

namespace {

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

void check_range(Context& c, const AddressSpace& space, const Vad& vad) {
  if (!space.user_range().contains(vad.range.first) || !space.user_range().contains(vad.range.last())) {
    c.find("AS3"_rule, fmt::format("space {}: the region of {} from {} leaves what programs may use", space.id(),
                                   to_string(vad.range.count), to_string(VirtualAddress(vad.range.first))));
  }
  if (vad.is_private != (vad.control_area == nullptr) || (vad.is_private && !is_allowed_on_private(vad.protection))) {
    c.find("AS3"_rule, fmt::format("space {}: the region at {} has protection {}", space.id(),
                                   to_string(VirtualAddress(vad.range.first)), to_string(vad.protection)));
  }
}

// Of a view: pages that are private, or become so when they are written. A default that copies holds for pages whose
// entry says nothing else.
std::size_t check_view(Context& c, AddressSpace& space, const Vad& vad, std::size_t at) PAGODA_REQUIRES(space.lock) {
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
    const bool shared = kind == PteKind::kPrototype || (kind == PteKind::kValid && PteCodec::is_shared(leaf.raw));
    const bool copies = is_write_copy(space.current_protection(c.cpu, vad, leaf.page, leaf.raw));
    charged += (!shared || copies ? 1 : 0) - (by_default(leaf.page) ? 1 : 0);
    if (kind == PteKind::kDecommitted || kind == PteKind::kDemandZero) {
      c.find("AS3"_rule, fmt::format("space {}: {} is in a view, at {}", space.id(), c.text_of(leaf),
                                     to_string(VirtualAddress(vad.range.first))));
    }
    if (!shared) continue;
    // Where the page of the view is in its segment, there it must point.
    const LockGuard guard(c.core.pfns.lock);
    const VirtualAddress prototype = area.prototype_of(c.core.codec, vad.section_page + (leaf.page - vad.range.first));
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

// The charge of one region against its entries, which begin at `at`; returns where those of the next begin.
std::size_t check_charge(Context& c, const AddressSpace& space, const Vad& vad, std::size_t at) {
  const bool by_vad = vad.mem_commit == MemCommit::kYes;
  std::uint64_t differing = 0;  // Entries that say otherwise than the region.
  for (; at < c.leaves.size() && c.leaves[at].page < vad.range.end(); ++at) {
    const PteKind kind = c.core.codec.kind(c.leaves[at].raw);
    const bool is_hole = kind == PteKind::kDecommitted;
    if (kind == PteKind::kPrototype) {
      if (c.core.codec.is_lookup_needed(c.leaves[at].raw)) {
        c.find("PT3"_rule, fmt::format("space {}: {} is in no view", space.id(), c.text_of(c.leaves[at])));
      } else {
        c.clone_names.push_back(c.core.codec.prototype_address(c.leaves[at].raw));
      }
    }
    if (is_hole == by_vad) ++differing;
    if (is_hole && !by_vad) {
      c.find("AS3"_rule, fmt::format("space {}: {} is a hole in a region that is only reserved, at {}", space.id(),
                                     c.text_of(c.leaves[at]), to_string(VirtualAddress(vad.range.first))));
    }
  }
  const std::uint64_t committed = by_vad ? vad.range.count.value() - differing : differing;
  if (vad.commit_charge.value() != committed) {
    c.find("AS2"_rule, fmt::format("space {}: the region at {} is charged {} and has {} committed", space.id(),
                                   to_string(VirtualAddress(vad.range.first)), to_string(vad.commit_charge),
                                   to_string(PageCount(committed))));
  }
  return at;
}

}  // namespace

void check_space(Context& c, AddressSpace& space) {
  const PageCount commit = space.statistics().commit;
  const LockGuard guard(space.lock);
  check_tables(c, space.root());
  check_entries(c, space);
  check_vads(c, space, commit);
  check_working_set(c, space);
}

void check_vads(Context& c, AddressSpace& space, PageCount commit) {
  const VadTree& vads = space.vads();
  bool sound = true;
  vads.check([&](const char* rule, const std::string& text) {
    sound = false;
    c.find(Rule(rule), fmt::format("space {}: {}", space.id(), text));
  });
  c.charge += space.total_charge();
  if (!sound) return;  // Links may lead anywhere.

  SpannedTables tables(c.core.mode);
  PageCount charge;
  std::size_t at = 0;
  const auto check_outside = [&](Vpn end) {
    for (; at < c.leaves.size() && c.leaves[at].page < end; ++at)
      c.find("AS1"_rule, fmt::format("space {}: {} is in no region", space.id(), c.text_of(c.leaves[at])));
  };
  for (const Vad* vad = vads.first(); vad != nullptr; vad = VadTree::next(vad)) {
    check_range(c, space, *vad);
    check_outside(vad->range.first);
    at = vad->control_area != nullptr ? check_view(c, space, *vad, at) : check_charge(c, space, *vad, at);
    if (!vad->tables_on_demand) tables.add(vad->range);
    charge += vad->commit_charge;
  }
  check_outside(VadTree::kNoVpn);
  if (commit != charge) {
    c.find("AS2"_rule,
           fmt::format("space {} is charged {} and its regions {}", space.id(), to_string(commit), to_string(charge)));
  }
  if (space.total_charge() != charge + tables.count() + 1_pages) {
    c.find("AS2"_rule,
           fmt::format("space {} is charged {} with page tables; its regions are charged {} and span {} of tables",
                       space.id(), to_string(space.total_charge()), to_string(charge), to_string(tables.count())));
  }
}

}  // namespace pagoda::mm::checking
