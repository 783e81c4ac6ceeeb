#include "pagoda/mm/backing/entries_in.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace pagoda::mm {

namespace {

// Pages at once, so that they do not take all frames that are left; and the time until one that could not be read is
// asked for again. Choices.
constexpr unsigned kMostReads = 8;
constexpr Duration kRetryDelay = 10_ms;

}  // namespace

bool peek_entries(const Core& core, const Processor& cpu, RawPte out, Backing::Page bytes) {
  core.pfns.lock.assert_held();
  if (PteCodec::is_transition(out)) {
    const Pfn frame = core.codec.frame(out);
    const PfnEntry& entry = core.pfns.entry(frame);
    if (!entry.read_in_progress) {
      std::ranges::copy(cpu.physical().bytes(frame, machine::Access::kRead).bytes(), bytes.begin());
      return true;
    }
    out = entry.original_pte;
  }
  const Backing* const backing = core.codec.has_slot(out) ? core.backings.find(core.codec.file(out)) : nullptr;
  return backing != nullptr && backing->is_used(core.codec.slot(out)) &&
         backing->peek(cpu.physical(), core.codec.slot(out), bytes);
}

RawPte peek_prototype(const Core& core, const Processor& cpu, VirtualAddress prototype) {
  if (!core.prototypes.is_out(prototype)) return core.load_prototype(cpu, prototype);
  std::array<std::byte, kPageBytes> bytes{};
  RawPte raw = 0;  // Little-endian, as the machine is.
  if (peek_entries(core, cpu, core.load(cpu, core.prototypes.out_entry(prototype)), bytes))
    std::memcpy(&raw, bytes.data() + prototype.page_offset(), core.mode.entry_bytes);
  return raw;
}

EntriesIn begin_prototypes_in(Core& core, Processor& cpu, VirtualAddress prototype) {
  PrototypePool& pool = core.prototypes;
  EntriesIn in = begin_entries_in(
      core, cpu, pool.out_entry(prototype),
      [&](Pfn) {
        core.pfns.lock.assert_held();
        core.commit.give_back(pool.page_in(cpu, prototype));
      },
      [&](Pfn frame) {
        core.pfns.lock.assert_held();
        core.commit.give_back(pool.page_in(cpu, prototype, frame));
      });
  if (in.is_in()) ++core.counters.prototype_pages_paged_in;
  return in;
}

GivenUpIn bring_in_given_up(Core& core, Processor& cpu) {
  GivenUpIn done;
  unsigned reads = 0;
  for (VirtualAddress from = core.prototypes.first_page(); reads < kMostReads;) {
    EntriesIn in;
    {
      const LockGuard guard(core.pfns.lock);
      core.transfers.complete(cpu.now(), core.pfns);
      const auto page = core.prototypes.given_up_from(from);
      if (!page) break;
      in = begin_prototypes_in(core, cpu, *page);
      if (in.being_read != kNoPfn) done.next = std::min(done.next, Time(core.pfns.entry(in.being_read).io_completes));
      from = *page + kPageSize;
    }
    if (in.status == Status::kNoMemory) {
      done.next = std::min(done.next, cpu.now() + kRetryDelay);
      break;
    }
    done.progress |= in.is_in();
    if (!in.read) continue;
    ++reads;
    const ReadOutcome read = finish_read(core, cpu, *in.read);
    const bool arrives = read.status == Status::kSuccess;
    done.progress |= arrives;
    done.next = std::min(done.next, arrives ? read.completes : cpu.now() + kRetryDelay);
  }
  return done;
}

}  // namespace pagoda::mm
