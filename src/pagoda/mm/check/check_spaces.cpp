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
  const Vpn highest = (c.core.mode.highest_user - ByteCount(kAllocationGranularity)).vpn();
  if (vad.range.first.value() < kAllocationGranularity / kPageBytes || vad.range.last() > highest) {
    c.find("AS3"_rule, fmt::format("space {}: the region of {} from {} leaves what programs may use", space.id(),
                                   to_string(vad.range.count), to_string(VirtualAddress(vad.range.first))));
  }
  if (!is_allowed_on_private(vad.protection)) {
    c.find("AS3"_rule, fmt::format("space {}: the region at {} has protection {}", space.id(),
                                   to_string(VirtualAddress(vad.range.first)), to_string(vad.protection)));
  }
}

// The charge of one region against its entries, which begin at `at`; returns where those of the next begin.
std::size_t check_charge(Context& c, const AddressSpace& space, const Vad& vad, std::size_t at) {
  const bool by_vad = vad.mem_commit == MemCommit::kYes;
  std::uint64_t differing = 0;  // Entries that say otherwise than the region.
  for (; at < c.leaves.size() && c.leaves[at].page < vad.range.end(); ++at) {
    const bool is_hole = c.core.codec.kind(c.leaves[at].raw) == PteKind::kDecommitted;
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
  check_entries(c);
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
    at = check_charge(c, space, *vad, at);
    tables.add(vad->range);
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
