#include "pagoda/mm/space/table_in.h"

namespace pagoda::mm {

namespace {

// Reads of a table that what must not fail asks for, and the time between two. Choices: ten seconds of a dead disk.
constexpr unsigned kMostAttempts = 1000;
constexpr Duration kTableRetryDelay = 10_ms;

}  // namespace

EntriesIn begin_table_in(AddressSpace& space, Processor& cpu, Vpn page, const PageTables::Out& out) {
  Core& core = space.core();
  PageTables& tables = space.tables();
  const LockGuard guard(core.pfns.lock);
  const RawPte raw = core.load(cpu, out.entry);
  const auto map = [&](Pfn table) {
    space.lock.assert_held();
    core.pfns.lock.assert_held();
    ++core.counters.page_tables_paged_in;
    tables.replace(cpu, out.entry, core.codec.table(table, out.level, PteCodec::Owner::kUser));
  };
  return begin_entries_in(
      core, cpu, out.entry,
      [&](Pfn frame) {
        core.pfns.lock.assert_held();
        core.pfns.rescue_table(frame, tables.use_count(page, core.pfns.entry(frame).original_pte));
        map(frame);
      },
      [&](Pfn frame) {
        core.pfns.lock.assert_held();
        core.pfns.make_page_table(frame, out.entry, tables.use_count(page, raw));
        map(frame);
      });
}

// Analysed by hand: the lock is let go in the middle.
Status AddressSpace::bring_in(Processor& cpu, Vpn page, For purpose, unsigned lowest) PAGODA_NO_THREAD_SAFETY {
  for (unsigned failures = 0;;) {
    const PageTables::Out out = tables_.find_out(cpu, page, lowest);
    if (!out.any()) return Status::kSuccess;
    EntriesIn in = begin_table_in(*this, cpu, page, out);
    if (in.is_in()) continue;
    if (purpose != For::kLook) set_paused(true);
    lock.release();
    Status status = Status::kSuccess;
    if (in.status == Status::kNoMemory) {
      if (relief_.relieve(cpu, kFaultReserve) == ShortageRelief::Outcome::kHopeless) status = Status::kNoMemory;
    } else if (in.read) {
      const ReadOutcome read = finish_read(core_, cpu, *in.read);
      status = read.status;
      cpu.advance_to(read.completes);
    }
    {
      const LockGuard guard(core_.pfns.lock);
      if (in.being_read != kNoPfn) core_.transfers.wait_for_read(cpu, core_.pfns, in.being_read);
      // Not back to the event loop: the caller is in the middle of something.
      if (cpu.is_blocked()) cpu.advance_to(cpu.take_blocked_until());
      core_.transfers.complete(cpu.now(), core_.pfns);
    }
    lock.take();
    if (status == Status::kSuccess) continue;
    if (purpose != For::kEnd) return status;
    PAGODA_CHECK_LT(++failures, kMostAttempts);  // KERNEL_DATA_INPAGE_ERROR.
    cpu.advance_to(cpu.now() + kTableRetryDelay);
  }
}

}  // namespace pagoda::mm
