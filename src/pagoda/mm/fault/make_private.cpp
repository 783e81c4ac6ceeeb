// Pages that a fork shares become the space's own again.
#include "pagoda/mm/fault/fault.h"

namespace pagoda::mm {

Result<> make_private(AddressSpace& space, Processor& cpu, VpnRange pages) {
  Core& core = space.core();
  PageTables& tables = space.tables();
  for (Vpn page = pages.first; page < pages.end();) {
    PhysicalAddress pte = PageTables::kNone;  // The next one.
    RawPte raw = 0;
    tables.for_each(cpu, {page, pages.end() - page}, [&](Vpn at, PhysicalAddress entry, RawPte value) {
      if (!space.is_clone(value)) return true;
      page = at;
      pte = entry;
      raw = value;
      return false;
    });
    if (pte == PageTables::kNone) break;
    const bool mapped = PteCodec::is_valid(raw);
    {
      const LockGuard guard(core.pfns.lock);
      if (core.pfns.available() < kFaultReserve) return fail(Status::kNoMemory);
    }
    // As if the program wrote to it, whatever its rights are. The caller sets them anew.
    const machine::PageFault write{VirtualAddress(page), machine::Access::kWrite, machine::Privilege::kKernel, mapped,
                                   false};
    fault::Context c{.space = space, .core = core, .cpu = cpu, .fault = write, .page = page, .pte = pte, .raw = raw};
    c.protection = Protection::kWriteCopy;
    if (!mapped) c.prototype = core.codec.prototype_address(raw);
    c.space.lock.assert_held();  // The analysis does not know that it is this space.
    const fault::Outcome outcome = mapped ? fault::copy_on_write(c) : fault::prototype(c);
    // Without a frame for the copy the page may be mapped all the same, with rights that are not its own.
    if (!mapped && PteCodec::is_valid(core.load(cpu, pte)) && PteCodec::is_shared(core.load(cpu, pte))) {
      const RawPte uncopied = core.load(cpu, pte);
      space.working_set().erase(space.working_set().find_shared(page));
      tables.replace(cpu, pte, raw);
      space.invalidate(cpu, std::span(&page, 1));
      const LockGuard guard(core.pfns.lock);
      core.pfns.unshare(cpu, core.codec.frame(uncopied), pte.pfn(), PteCodec::Dirty::kNo);
      return fail(Status::kNoMemory);
    }
    if (outcome.counted) ++space.faults()[static_cast<std::size_t>(outcome.kind)];
    if (outcome.status != Status::kSuccess) return fail(outcome.status);
    if (cpu.is_blocked()) return fail(Status::kPending);
    const LockGuard guard(core.pfns.lock);
    core.io.complete(cpu.now(), core.pfns);
  }
  return {};
}

}  // namespace pagoda::mm
