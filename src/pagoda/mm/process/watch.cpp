// Which pages were written: what the calls about write watches do.
#include <algorithm>

#include "pagoda/mm/process/process_space.h"
#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

// In the order of reference/nt.md 7.7; what is wrong with the output comes between the two.
Result<VpnRange> ProcessSpace::watched_pages(VirtualAddress base, ByteCount size) const {
  if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
  const auto pages = pages_covering(base, size);
  if (!pages) return fail(Status::kInvalidParameter3);
  return *pages;
}

Result<WriteWatch*> ProcessSpace::watch_of(const Processor& cpu, VpnRange pages) {
  const auto region = region_of(pages);
  if (!region || (*region)->extra == nullptr || (*region)->extra->watch == nullptr)
    return fail(Status::kInvalidParameter1);
  WriteWatch& watch = *(*region)->extra->watch;
  // A kernel that ignores write protection dirties pages without a fault.
  if (std::ranges::any_of(core_.machine.processors(),
                          [](const Processor* p) { return !p->walk_rules().write_protect; }))
    tables_.for_each_in_memory(cpu, pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
      if (PteCodec::is_valid(raw) && PteCodec::is_dirty(raw)) watch.set(page);
    });
  return &watch;
}

Result<std::size_t> ProcessSpace::get_write_watch(Processor& cpu, VirtualAddress base, ByteCount size,
                                                  std::span<VirtualAddress> out, WatchReset reset) {
  const auto pages = watched_pages(base, size);
  if (!pages) return std::unexpected(pages.error());
  if (out.empty()) return fail(Status::kInvalidParameter5);
  const LockGuard guard(lock);
  const auto watch = watch_of(cpu, *pages);
  if (!watch) return std::unexpected(watch.error());
  std::size_t count = 0;
  (*watch)->for_each(*pages, [&](Vpn page) {
    out[count++] = VirtualAddress(page);
    return count < out.size();
  });
  if (reset == WatchReset::kYes && count > 0)
    reset_watch(cpu, **watch, {pages->first, out[count - 1].vpn() - pages->first + 1_pages});
  return count;
}

Result<> ProcessSpace::reset_write_watch(Processor& cpu, VirtualAddress base, ByteCount size) {
  const auto pages = watched_pages(base, size);
  if (!pages) return std::unexpected(pages.error());
  const LockGuard guard(lock);
  const auto watch = watch_of(cpu, *pages);
  if (!watch) return std::unexpected(watch.error());
  reset_watch(cpu, **watch, *pages);
  return {};
}

void ProcessSpace::reset_watch(Processor& cpu, WriteWatch& watch, VpnRange pages) {
  constexpr RawPte kSaysWritten = machine::pte_bits::kWrite | machine::pte_bits::kDirty;
  FlushBatchOf<kRangeBatch> batch(*this, cpu);
  // The page table of the last page, so that its neighbours need no walk.
  PhysicalAddress found = PageTables::kNone;
  VpnRange of_table;
  watch.for_each(pages, [&](Vpn page) {
    lock.assert_held();
    if (!of_table.contains(page)) {
      const std::uint64_t entries = core_.mode.entries(1);
      found = tables_.find(cpu, page);
      of_table = {page, PageCount(entries - page.value() % entries)};
    }
    if (found == PageTables::kNone) return true;
    const PhysicalAddress pte = found + ByteCount((page - of_table.first).value() * core_.mode.entry_bytes);
    RawPte raw = core_.load(cpu, pte);
    if (!PteCodec::is_valid(raw) || (raw & kSaysWritten) == 0) return true;
    raw = machine::clear_entry_bits(cpu.physical(), core_.mode, pte, kSaysWritten);
    // With Write the PFN entry says modified already [PF6]; Dirty alone is news to it.
    const bool is_news = (raw & machine::pte_bits::kWrite) == 0;
    batch.add({.page = page, .pte = pte, .was = raw}, is_news ? release_cleaned : nullptr);
    return true;
  });
  batch.flush();
  watch.clear(pages);
}

}  // namespace pagoda::mm
