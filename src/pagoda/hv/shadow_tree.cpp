#include "pagoda/hv/shadow_tree.h"

#include <algorithm>

#include "pagoda/hv/guest_frame.h"

namespace pagoda::hv {

using machine::Access;
using machine::Privilege;
using machine::RawPte;
using machine::Translation;
using namespace machine::pte_bits;

namespace {

// An entry that points to a table allows everything: the last level decides.
constexpr RawPte kTable = kValid | kWrite | kUser;
// Where an entry says of what level the guest's was: bits that the hardware leaves to software.
constexpr unsigned kGuestLevelShift = 9;
constexpr RawPte kGuestLevel = RawPte{3} << kGuestLevelShift;

unsigned guest_level(RawPte raw) { return static_cast<unsigned>((raw & kGuestLevel) >> kGuestLevelShift); }

constexpr std::uint64_t kAddressMask = (std::uint64_t{1} << 48) - 1;

VirtualAddress canonical(std::uint64_t address) {
  return VirtualAddress((address & (std::uint64_t{1} << 47)) != 0 ? address | ~kAddressMask : address & kAddressMask);
}

std::size_t index_in_table(PhysicalAddress at) { return at.page_offset() / sizeof(RawPte); }

}  // namespace

ShadowTree::ShadowTree(machine::PhysicalView memory, TableFrames& frames, const ShadowRole& role)
    : memory_(memory), frames_(frames), role_(role), root_([&] {
        frames.assert_held();
        return frames.take(memory);
      }()) {
  tables_.emplace(root_, Table{});
}

std::optional<Translation> ShadowTree::walk(VirtualAddress va, Access access, Privilege privilege,
                                            std::uint64_t& loads) const {
  const auto walked = machine::walk(memory_, mode(), root_, va, access, privilege, {}, loads);
  if (!walked) return std::nullopt;
  const Leaf leaf = decode({walked->entry, memory_.load<std::uint64_t>(walked->entry)});
  return Translation{.frame = to_guest_pfn(leaf.guest),
                     .level = leaf.guest_level,
                     .user = leaf.user,
                     .writable = leaf.writable,
                     .executable = leaf.executable,
                     .dirty = leaf.writable,
                     .global = leaf.global,
                     .cache_disable = leaf.cache_disable,
                     .write_through = leaf.write_through,
                     .entry = walked->entry};
}

std::optional<ShadowTree::Place> ShadowTree::place(VirtualAddress va) const {
  Pfn table = root_;
  for (unsigned level = machine::kMaxPagingLevels;; --level) {
    const PhysicalAddress at = mode().entry_address(table, va, level);
    const auto raw = memory_.load<std::uint64_t>(at);
    if (level == 1) return Place{at, raw};
    if ((raw & kValid) == 0) return std::nullopt;
    table = mode().frame(raw);
  }
}

ShadowTree::Leaf ShadowTree::decode(const Place& place) const {
  const RawPte raw = place.raw;
  const Table& table = tables_.at(place.at.pfn());
  return {.host = mode().frame(raw),
          .guest = (*table.guests)[index_in_table(place.at)],
          .guest_level = guest_level(raw),
          .writable = (raw & kWrite) != 0,
          .user = (raw & kUser) != 0,
          .executable = (raw & kNoExecute) == 0,
          .global = (raw & kGlobal) != 0,
          .cache_disable = (raw & kCacheDisable) != 0,
          .write_through = (raw & kWriteThrough) != 0,
          .accessed = (raw & kAccessed) != 0};
}

std::optional<ShadowTree::Leaf> ShadowTree::find(VirtualAddress va) const {
  const auto found = place(va);
  if (!found || (found->raw & kValid) == 0) return std::nullopt;
  return decode(*found);
}

PageCount ShadowTree::missing_tables(VirtualAddress va) const {
  Pfn table = root_;
  for (unsigned level = machine::kMaxPagingLevels; level > 1; --level) {
    const auto raw = memory_.load<std::uint64_t>(mode().entry_address(table, va, level));
    if ((raw & kValid) == 0) return PageCount(level - 1);
    table = mode().frame(raw);
  }
  return {};
}

void ShadowTree::count(RawPte raw, int change) {
  const auto step = static_cast<std::uint64_t>(static_cast<std::int64_t>(change));
  entries_of_level_[guest_level(raw)] += step;
  if ((raw & kGlobal) != 0) global_entries_ += step;
}

void ShadowTree::install(VirtualAddress va, const Leaf& leaf) {
  frames_.assert_held();
  Pfn table = root_;
  for (unsigned level = machine::kMaxPagingLevels; level > 1; --level) {
    const PhysicalAddress at = mode().entry_address(table, va, level);
    auto raw = memory_.load<std::uint64_t>(at);
    if ((raw & kValid) == 0) {
      const Pfn below = frames_.take(memory_);
      raw = PhysicalAddress(below).value() | kTable;
      memory_.store<std::uint64_t>(at, raw);
      ++tables_.at(table).used;
      Table& made = tables_[below];
      if (level == 2) made.guests = std::make_unique<std::array<Gfn, machine::kEntriesPerTable>>();
    }
    table = mode().frame(raw);
  }
  const PhysicalAddress at = mode().entry_address(table, va, 1);
  Table& last = tables_.at(table);
  if (const auto old = memory_.load<std::uint64_t>(at); (old & kValid) != 0) {
    count(old, -1);
  } else {
    ++last.used;
  }
  const RawPte raw = PhysicalAddress(leaf.host).value() | kValid | (leaf.writable ? kWrite : 0) |
                     (leaf.user ? kUser : 0) | (leaf.executable ? 0 : kNoExecute) | (leaf.global ? kGlobal : 0) |
                     (leaf.cache_disable ? kCacheDisable : 0) | (leaf.write_through ? kWriteThrough : 0) |
                     (RawPte{leaf.guest_level} << kGuestLevelShift);
  memory_.store<std::uint64_t>(at, raw);
  (*last.guests)[index_in_table(at)] = leaf.guest;
  count(raw, 1);
}

void ShadowTree::clear(VirtualAddress va) {
  frames_.assert_held();
  std::array<PhysicalAddress, machine::kMaxPagingLevels + 1> path;
  Pfn table = root_;
  for (unsigned level = machine::kMaxPagingLevels; level > 0; --level) {
    path[level] = mode().entry_address(table, va, level);
    const auto raw = memory_.load<std::uint64_t>(path[level]);
    if ((raw & kValid) == 0) return;
    if (level == 1) count(raw, -1);
    table = mode().frame(raw);
  }
  for (unsigned level = 1; level <= machine::kMaxPagingLevels; ++level) {
    memory_.store<std::uint64_t>(path[level], 0);
    const Pfn here = path[level].pfn();
    if (--tables_.at(here).used > 0 || here == root_) return;
    tables_.erase(here);
    frames_.give_back(here);
  }
}

void ShadowTree::write_protect(VirtualAddress va) {
  const auto found = place(va);
  if (found && (found->raw & kWrite) != 0) memory_.store<std::uint64_t>(found->at, found->raw & ~kWrite);
}

bool ShadowTree::test_and_clear_accessed(VirtualAddress va) {
  const auto found = place(va);
  if (!found || (found->raw & (kValid | kAccessed)) != (kValid | kAccessed)) return false;
  machine::clear_entry_bits(memory_, mode(), found->at, kAccessed);
  return true;
}

void ShadowTree::release() {
  frames_.assert_held();
  for (const auto& [frame, table] : tables_) frames_.give_back(frame);
  tables_.clear();
}

void ShadowTree::collect(Pfn table, unsigned level, std::uint64_t base, std::uint64_t first, std::uint64_t end,
                         std::vector<VirtualAddress>& found) const {
  const std::uint64_t coverage = mode().coverage(level).value();
  const std::uint64_t from = first > base ? (first - base) / coverage : 0;
  for (std::uint64_t index = from; index < mode().entries(level); ++index) {
    const std::uint64_t address = base + index * coverage;
    if (address >= end) return;
    const auto raw = memory_.load<std::uint64_t>(PhysicalAddress(table) + ByteCount(index * sizeof(RawPte)));
    if ((raw & kValid) == 0) continue;
    if (level == 1) {
      found.push_back(canonical(address));
    } else {
      collect(mode().frame(raw), level - 1, address, first, end, found);
    }
  }
}

std::vector<VirtualAddress> ShadowTree::addresses(VirtualAddress base, ByteCount bytes) const {
  std::vector<VirtualAddress> found;
  const std::uint64_t first = base.value() & kAddressMask;
  collect(root_, machine::kMaxPagingLevels, 0, first, first + bytes.value(), found);
  return found;
}

std::vector<VirtualAddress> ShadowTree::addresses() const {
  return addresses(VirtualAddress(0), ByteCount(kAddressMask + 1));
}

bool ShadowTree::loaded_under(machine::Asid asid) {
  const auto at = std::ranges::lower_bound(asids_, asid);
  if (at != asids_.end() && *at == asid) return false;
  asids_.insert(at, asid);
  return true;
}

bool ShadowTree::was_loaded_under(machine::Asid asid) const { return std::ranges::binary_search(asids_, asid); }

}  // namespace pagoda::hv
