#include "pagoda/mm/ws/table_trim.h"

#include "pagoda/mm/space/flush_batch.h"

namespace pagoda::mm {

namespace {

constexpr std::size_t kTableBatch = 32;

class TableTrim {
 public:
  TableTrim(AddressSpace& space, Processor& cpu, PageCount most)
      : space_(space), core_(space.core()), cpu_(cpu), most_(most), batch_(space, cpu) {}

  PageCount run() {
    space_.lock.assert_held();
    const Vpn hand = space_.tables().trim_hand();
    below(space_.root(), core_.mode.levels, Vpn(0), hand, Vpn(~std::uint64_t{0}));
    below(space_.root(), core_.mode.levels, Vpn(0), Vpn(0), hand);
    batch_.flush();
    return count_;
  }

 private:
  // Tables below this one, whose level is `level` and whose first entry maps `first`, that map some of the pages.
  void below(Pfn table, unsigned level, Vpn first, Vpn from, Vpn end) {
    space_.lock.assert_held();
    const std::uint64_t pages = core_.mode.coverage(level).value() / kPageBytes;
    const std::uint64_t begin = from > first ? (from - first).value() / pages : 0;
    PhysicalAddress entry = PhysicalAddress(table) + ByteCount(begin * core_.mode.entry_bytes);
    for (std::uint64_t i = begin; i < core_.mode.entries(level) && count_ < most_; ++i) {
      const Vpn page(first.value() + i * pages);
      if (page >= end) return;
      const RawPte raw = core_.load(cpu_, entry);
      if (PteCodec::is_valid(raw) && !PageTables::is_large(raw, level)) {
        const Pfn child = core_.mode.frame(raw);
        if (level > 2) below(child, level - 1, page, from, end);
        if (space_.tables().are_pageable(level - 1) && may_go(child)) go(page, entry, raw);
      }
      entry += ByteCount(core_.mode.entry_bytes);
    }
  }
  [[nodiscard]] bool may_go(Pfn table) const {
    const LockGuard guard(core_.pfns.lock);
    const PfnEntry& entry = core_.pfns.entry(table);
    return entry.share_count == 1 && entry.used_entries > 0 && core_.pfns.compressed_in(table) == 0;
  }
  void go(Vpn page, PhysicalAddress entry, RawPte raw) {
    space_.lock.assert_held();
    space_.tables().replace(cpu_, entry, core_.codec.transition(core_.mode.frame(raw), Protection::kReadWrite));
    batch_.add({.page = page, .pte = entry, .was = raw}, page_out);
    space_.tables().set_trim_hand(Vpn(page.value() + 1));
    ++count_;
  }
  static void page_out(AddressSpace& space, const Processor& /*cpu*/, const FlushBatch::Change& change) {
    Core& core = space.core();
    space.lock.assert_held();
    core.pfns.lock.assert_held();
    const Pfn table = core.mode.frame(change.was);
    core.pfns.page_out_table(table, space.tables().going_out(change.page, core.pfns.entry(table).used_entries));
    ++core.counters.page_tables_paged_out;
  }

  AddressSpace& space_;
  Core& core_;
  Processor& cpu_;
  const PageCount most_;
  FlushBatchOf<kTableBatch> batch_;
  PageCount count_;
};

}  // namespace

PageCount trim_tables(AddressSpace& space, Processor& cpu, PageCount most) { return TableTrim(space, cpu, most).run(); }

}  // namespace pagoda::mm
