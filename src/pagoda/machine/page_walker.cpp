#include "pagoda/machine/page_walker.h"

namespace pagoda::machine {

RawPte set_entry_bits(const PhysicalView& memory, const PagingMode& mode, PhysicalAddress entry, RawPte set) {
  if (mode.entry_bytes == 8) return memory.fetch_or<std::uint64_t>(entry, set);
  return memory.fetch_or<std::uint32_t>(entry, static_cast<std::uint32_t>(set));
}

RawPte clear_entry_bits(const PhysicalView& memory, const PagingMode& mode, PhysicalAddress entry, RawPte clear) {
  if (mode.entry_bytes == 8) {
    auto value = memory.load<std::uint64_t>(entry);
    while (!memory.compare_exchange<std::uint64_t>(entry, value, value & ~clear)) {
    }
    return value;
  }
  auto value = memory.load<std::uint32_t>(entry);
  while (!memory.compare_exchange<std::uint32_t>(entry, value, value & static_cast<std::uint32_t>(~clear))) {
  }
  return value;
}

namespace {

// Sets bits in an entry unless it is no longer what it was.
bool add_entry_bits(const PhysicalView& memory, const PagingMode& mode, PhysicalAddress entry, RawPte was, RawPte set) {
  if ((was & set) == set) return true;
  if (mode.entry_bytes == 8) return memory.compare_exchange<std::uint64_t>(entry, was, was | set);
  auto narrow = static_cast<std::uint32_t>(was);
  return memory.compare_exchange<std::uint32_t>(entry, narrow, static_cast<std::uint32_t>(was | set));
}

}  // namespace

std::expected<Translation, PageFault> walk(const PhysicalView& memory, const PagingMode& mode, Pfn root,
                                           VirtualAddress va, Access access, Privilege privilege,
                                           const WalkRules& rules, std::uint64_t& loads) {
  using namespace pte_bits;
  const auto fault = [&](bool present, bool reserved_bit) {
    return std::unexpected(PageFault{va, access, privilege, present, reserved_bit});
  };

  struct Step {
    PhysicalAddress address;
    RawPte entry = 0;
  };
  std::array<Step, kMaxPagingLevels + 1> steps;
  RawPte rights = kWrite | kUser;
  RawPte no_execute = 0;
  const bool nx_works = mode.has_no_execute && rules.no_execute;
  Pfn table = root;
  unsigned level = mode.levels;
  for (;; --level) {
    const PagingLevel& format = mode.level[level];
    Step& step = steps[level];
    step.address = mode.entry_address(table, va, level);
    step.entry = load_entry(memory, mode, step.address);
    ++loads;
    if ((step.entry & kValid) == 0) return fault(false, false);
    const bool large = format.may_be_large && (step.entry & kLarge) != 0;
    RawPte reserved = large ? format.reserved_large : format.reserved;
    if (mode.has_no_execute && !nx_works) reserved |= kNoExecute;
    if ((step.entry & reserved) != 0) return fault(true, true);
    if (format.carries_rights) {
      rights &= step.entry;
      no_execute |= step.entry & kNoExecute;
    }
    table = mode.frame(step.entry);
    if (level == 1 || large) break;
  }

  const bool user = privilege == Privilege::kUser;
  if (user && (rights & kUser) == 0) return fault(true, false);
  if (access == Access::kWrite && (rights & kWrite) == 0 && (user || rules.write_protect)) return fault(true, false);
  if (access == Access::kExecute && nx_works && no_execute != 0) return fault(true, false);

  for (unsigned used = mode.levels; used >= level; --used) {
    RawPte set = mode.level[used].carries_rights ? kAccessed : 0;
    if (used == level && access == Access::kWrite) set |= kDirty;
    // An entry that changed since it was read, by another processor or by the second level's faults, means another
    // walk: the bits must not land in what is no longer a valid entry.
    if (!add_entry_bits(memory, mode, steps[used].address, steps[used].entry, set))
      return walk(memory, mode, root, va, access, privilege, rules, loads);
  }

  const RawPte leaf = steps[level].entry;
  Pfn frame = table;
  if (level > 1) {
    const std::uint64_t within = mode.coverage(level).value() - 1;
    const std::uint64_t base = leaf & mode.frame_mask & ~within;
    frame = PhysicalAddress(base | (va.value() & within)).pfn();
  }
  return Translation{
      .frame = frame,
      .level = level,
      .user = (rights & kUser) != 0,
      .writable = (rights & kWrite) != 0,
      .executable = !nx_works || no_execute == 0,
      .dirty = access == Access::kWrite || (leaf & kDirty) != 0,
      .global = (leaf & kGlobal) != 0,
      .cache_disable = (leaf & kCacheDisable) != 0,
      .write_through = (leaf & kWriteThrough) != 0,
      .entry = steps[level].address,
  };
}

}  // namespace pagoda::machine
