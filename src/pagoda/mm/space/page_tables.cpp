#include "pagoda/mm/space/page_tables.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace pagoda::mm {

PageTables::PageTables(Core& core, Pfn root) : core_(core), root_(root) {
  if (core.codec.has_use_count()) return;
  const Vpn last((std::uint64_t{1} << (32 - kPageShift)) - 1);
  use_counts_.resize(table_number(last, 1).value() + 1);
}

PageTables::Place PageTables::locate(const Processor& cpu, Vpn page) const {
  const machine::PagingMode& mode = core_.mode;
  const VirtualAddress va(page);
  Pfn table = root_;
  for (unsigned level = mode.levels; level > 1; --level) {
    const RawPte raw = core_.load(cpu, mode.entry_address(table, va, level));
    if (!PteCodec::is_valid(raw) || is_large(raw, level)) {
      const std::uint64_t covered = std::uint64_t{1} << (mode.level[level].shift - kPageShift);
      return {kNone, Vpn((page.value() / covered + 1) * covered), raw != 0 && !PteCodec::is_valid(raw)};
    }
    table = mode.frame(raw);
  }
  const std::uint64_t entries = mode.entries(1);
  return {mode.entry_address(table, va, 1), Vpn((page.value() / entries + 1) * entries)};
}

PageTables::Out PageTables::find_out(const Processor& cpu, Vpn page, unsigned lowest) const {
  const machine::PagingMode& mode = core_.mode;
  Pfn table = root_;
  for (unsigned level = mode.levels; level > lowest; --level) {
    const PhysicalAddress entry = mode.entry_address(table, VirtualAddress(page), level);
    const RawPte raw = core_.load(cpu, entry);
    if (!PteCodec::is_valid(raw)) return raw == 0 ? Out{} : Out{entry, level};
    if (is_large(raw, level)) return {};
    table = mode.frame(raw);
  }
  return {};
}

RawPte PageTables::going_out(Vpn page, std::uint32_t used) {
  const RawPte out = core_.codec.demand_zero(Protection::kReadWrite);
  if (core_.codec.has_use_count()) return core_.codec.with_use_count(out, used);
  use_counts_[table_number(page, 1).value()] = static_cast<std::uint16_t>(used);
  return out;
}

std::uint32_t PageTables::use_count(Vpn page, RawPte out) const {
  return core_.codec.has_use_count() ? core_.codec.use_count(out) : use_counts_[table_number(page, 1).value()];
}

RawPte PageTables::entry_of(std::span<const std::byte, kPageBytes> bytes, Vpn page, unsigned level) const {
  RawPte raw = 0;  // Little-endian, as the machine is.
  std::memcpy(&raw, bytes.data() + core_.mode.index(VirtualAddress(page), level) * core_.mode.entry_bytes,
              core_.mode.entry_bytes);
  return raw;
}

bool PageTables::peek_out(const Processor& cpu, Vpn page, Backing::Page bytes) const {
  const Out out = find_out(cpu, page);
  RawPte raw = core_.load(cpu, out.entry);
  for (unsigned level = out.level - 1; level > 0; --level) {
    if (raw == 0 || !peek_entries(core_, cpu, raw, bytes)) return false;
    if (level > 1) raw = entry_of(bytes, page, level);
  }
  return true;
}

RawPte PageTables::peek(const Processor& cpu, Vpn page) const {
  if (const auto raw = read_if_in(cpu, page)) return *raw;
  std::array<std::byte, kPageBytes> bytes{};
  return peek_out(cpu, page, bytes) ? entry_of(bytes, page, 1) : 0;
}

// In one piece: each fault comes here.
[[gnu::flatten]] PhysicalAddress PageTables::find(const Processor& cpu, Vpn page) const {
  return locate(cpu, page).pte;
}

std::optional<RawPte> PageTables::read_if_in(const Processor& cpu, Vpn page) const {
  const Place place = locate(cpu, page);
  if (place.is_out) return std::nullopt;
  return place.pte == kNone ? 0 : core_.load(cpu, place.pte);
}

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
    if (!PteCodec::is_valid(raw)) {
      PAGODA_CHECK_EQ(raw, RawPte{0});  // Else it is out.
      break;
    }
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
