#include "pagoda/mm/space/page_tables.h"

#include <algorithm>

namespace pagoda::mm {

PageTables::Place PageTables::locate(const Processor& cpu, Vpn page) const {
  const machine::PagingMode& mode = core_.mode;
  const VirtualAddress va(page);
  Pfn table = root_;
  for (unsigned level = mode.levels; level > 1; --level) {
    const RawPte raw = core_.load(cpu, mode.entry_address(table, va, level));
    if (!PteCodec::is_valid(raw) || is_large(raw, level)) {
      const std::uint64_t covered = std::uint64_t{1} << (mode.level[level].shift - kPageShift);
      return {kNone, Vpn((page.value() / covered + 1) * covered)};
    }
    table = mode.frame(raw);
  }
  const std::uint64_t entries = mode.entries(1);
  return {mode.entry_address(table, va, 1), Vpn((page.value() / entries + 1) * entries)};
}

PhysicalAddress PageTables::find(const Processor& cpu, Vpn page) const { return locate(cpu, page).pte; }

RawPte PageTables::read(const Processor& cpu, Vpn page) const {
  const PhysicalAddress pte = find(cpu, page);
  return pte == kNone ? 0 : core_.load(cpu, pte);
}

PhysicalAddress PageTables::find_large(const Processor& cpu, Vpn page) const {
  const machine::PagingMode& mode = core_.mode;
  Pfn table = root_;
  for (unsigned level = mode.levels; level > kLargeLevel; --level) {
    const RawPte raw = core_.load(cpu, mode.entry_address(table, VirtualAddress(page), level));
    if (!PteCodec::is_valid(raw)) return kNone;
    table = mode.frame(raw);
  }
  return mode.entry_address(table, VirtualAddress(page), kLargeLevel);
}

Result<PhysicalAddress> PageTables::make_to(Processor& cpu, Vpn page, unsigned lowest) {
  const machine::PagingMode& mode = core_.mode;
  const VirtualAddress va(page);
  Pfn table = root_;
  unsigned level = mode.levels;
  PhysicalAddress pte;
  for (; level > lowest; --level) {
    pte = mode.entry_address(table, va, level);
    const RawPte raw = core_.load(cpu, pte);
    PAGODA_DCHECK(!is_large(raw, level));
    if (!PteCodec::is_valid(raw)) break;
    table = mode.frame(raw);
  }
  if (level == lowest) return mode.entry_address(table, va, lowest);

  // All frames before the first is linked.
  InlineVector<PfnDatabase::TakenFrame, machine::kMaxPagingLevels> taken;
  {
    const LockGuard guard(core_.pfns.lock);
    for (unsigned missing = level; missing > lowest; --missing) {
      const auto result = core_.pfns.take(cpu, Contents::kZeroed);
      if (!result) {
        for (const auto& frame : taken.all())
          core_.pfns.give_back(frame.frame, frame.zeroed ? Contents::kZeroed : Contents::kAny);
        return fail(Status::kNoMemory);
      }
      taken.push_back(*result);
    }
    PhysicalAddress above = pte;
    unsigned of = level;
    for (const auto& frame : taken.all()) {
      core_.pfns.make_page_table(frame.frame, above);
      above = mode.entry_address(frame.frame, va, --of);
      ++core_.counters.page_tables_made;
    }
  }
  for (const auto& frame : taken.all()) {
    if (!frame.zeroed) core_.zero(cpu, frame.frame);
    store(cpu, pte, core_.codec.table(frame.frame, level, PteCodec::Owner::kUser));
    pte = mode.entry_address(frame.frame, va, --level);
  }
  return pte;
}

void PageTables::store(const Processor& cpu, PhysicalAddress pte, RawPte value) {
  const RawPte old = core_.load(cpu, pte);
  if (old == 0 && value != 0) core_.pfns.add_table_use(pte.pfn());
  if (old != 0 && value == 0) core_.pfns.drop_table_use(pte.pfn());
  machine::store_entry(cpu.physical(), core_.mode, pte, value);
}

void PageTables::unlink_if_empty(const Processor& cpu, Vpn page, BoundedVector<Pfn>& unlinked) {
  const machine::PagingMode& mode = core_.mode;
  const VirtualAddress va(page);
  std::array<PhysicalAddress, machine::kMaxPagingLevels + 1> entry_of_table;  // By the level of the table.
  std::array<Pfn, machine::kMaxPagingLevels + 1> table;
  unsigned lowest = mode.levels;
  table[lowest] = root_;
  for (unsigned level = mode.levels; level > 1; --level) {
    const PhysicalAddress pte = mode.entry_address(table[level], va, level);
    const RawPte raw = core_.load(cpu, pte);
    if (!PteCodec::is_valid(raw) || is_large(raw, level)) break;
    lowest = level - 1;
    entry_of_table[lowest] = pte;
    table[lowest] = mode.frame(raw);
  }
  for (unsigned level = lowest; level < mode.levels; ++level) {
    if (core_.pfns.entry(table[level]).used_entries != 0) return;
    store(cpu, entry_of_table[level], 0);
    unlinked.push_back(table[level]);
  }
}

}  // namespace pagoda::mm
