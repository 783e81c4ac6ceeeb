#include "pagoda/mm/space/table_in.h"

#include <span>

namespace pagoda::mm {

namespace {

// Reads of a table that what must not fail asks for, and the time between two. Choices: ten seconds of a dead disk.
constexpr unsigned kMostAttempts = 1000;
constexpr Duration kTableRetryDelay = 10_ms;

// The table is in a backing in memory.
bool decompress_table(Core& core, Processor& cpu, PhysicalAddress entry, RawPte raw, std::uint32_t used, Pfn& frame)
    PAGODA_REQUIRES(core.pfns.lock) {
  const auto taken = core.pfns.take(cpu, Contents::kAny);
  if (!taken) return false;
  frame = taken->frame;
  core.backing_of(raw).read(cpu, core.codec.slot(raw), std::span(&frame, 1));
  ++core.counters.pages_decompressed;
  core.backings.free(core.codec.file(raw), core.codec.slot(raw));
  core.pfns.make_page_table(frame, entry, used);
  return true;
}

}  // namespace

TableIn begin_table_in(AddressSpace& space, Processor& cpu, Vpn page, const PageTables::Out& out) {
  Core& core = space.core();
  PageTables& tables = space.tables();
  const LockGuard guard(core.pfns.lock);
  const RawPte raw = core.load(cpu, out.entry);
  TableIn in;
  Pfn frame = kNoPfn;
  if (PteCodec::is_transition(raw)) {
    frame = core.codec.frame(raw);
    const PfnEntry& entry = core.pfns.entry(frame);
    if (entry.read_in_progress) {
      in.being_read = frame;
      return in;
    }
    // A table in use may be there to stay for as long as what it names is compressed.
    if (is_available(entry.state) && core.pfns.none_to_spare()) {
      in.status = Status::kNoMemory;
      return in;
    }
    core.pfns.rescue_table(frame, tables.use_count(page, entry.original_pte));
  } else if (core.is_compressed(raw)) {
    if (!decompress_table(core, cpu, out.entry, raw, tables.use_count(page, raw), frame)) {
      in.status = Status::kNoMemory;
      return in;
    }
  } else {
    PAGODA_CHECK(core.codec.has_slot(raw));
    Cluster& cluster = in.read.emplace();
    cluster.pte[0] = out.entry;
    cluster.raw[0] = raw;
    cluster.count = 1;
    cluster.backing = &core.backing_of(raw);
    cluster.slot = core.codec.slot(raw);
    if (begin_read(core, cpu, cluster)) return in;
    in.read.reset();
    in.status = Status::kNoMemory;
    return in;
  }
  ++core.counters.page_tables_paged_in;
  tables.replace(cpu, out.entry, core.codec.table(frame, out.level, PteCodec::Owner::kUser));
  return in;
}

// Analysed by hand: the lock is let go in the middle.
Status AddressSpace::bring_in(Processor& cpu, Vpn page, For purpose, unsigned lowest) PAGODA_NO_THREAD_SAFETY {
  for (unsigned failures = 0;;) {
    const PageTables::Out out = tables_.find_out(cpu, page, lowest);
    if (!out.any()) return Status::kSuccess;
    TableIn in = begin_table_in(*this, cpu, page, out);
    if (in.status == Status::kSuccess && !in.read && in.being_read == kNoPfn) continue;
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
