// Pages that a fork shares become the space's own again.
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

Result<> AddressSpace::make_private(Processor& cpu, VpnRange pages) {
  for (Vpn page = pages.first; page < pages.end();) {
    const PhysicalAddress pte = tables_.find(cpu, page);
    const RawPte raw = pte == PageTables::kNone ? 0 : core_.load(cpu, pte);
    if (!is_clone(raw)) {
      ++page;
      continue;
    }
    const bool mapped = PteCodec::is_valid(raw);
    {
      const LockGuard guard(core_.pfns.lock);
      if (core_.pfns.available() < kFaultReserve) return fail(Status::kNoMemory);
    }
    // As if the program wrote to it, whatever its rights are. They are set anew by whoever asked.
    const machine::PageFault write{VirtualAddress(page), machine::Access::kWrite, machine::Privilege::kKernel, mapped,
                                   false};
    fault::Context c{.space = *this, .core = core_, .cpu = cpu, .fault = write, .page = page, .pte = pte, .raw = raw};
    c.protection = Protection::kWriteCopy;
    if (!mapped) c.prototype = core_.codec.prototype_address(raw);
    c.space.lock.assert_held();  // The analysis does not know that it is this space.
    const fault::Outcome outcome = mapped ? fault::copy_on_write(c) : fault::prototype(c);
    // Without a frame for the copy the page may be mapped all the same, with rights that are not its own.
    if (!mapped && PteCodec::is_valid(core_.load(cpu, pte)) && PteCodec::is_shared(core_.load(cpu, pte))) {
      const RawPte uncopied = core_.load(cpu, pte);
      working_set_.erase(working_set_.find_shared(page));
      tables_.replace(cpu, pte, raw);
      invalidate(cpu, std::span(&page, 1));
      const LockGuard guard(core_.pfns.lock);
      core_.pfns.unshare(cpu, core_.codec.frame(uncopied), pte.pfn(), PteCodec::Dirty::kNo);
      return fail(Status::kNoMemory);
    }
    if (outcome.counted) ++faults_[static_cast<std::size_t>(outcome.kind)];
    if (outcome.status != Status::kSuccess) return fail(outcome.status);
    if (cpu.is_blocked()) return fail(Status::kPending);
    const LockGuard guard(core_.pfns.lock);
    core_.io.complete(cpu.now(), core_.pfns);
  }
  return {};
}

}  // namespace pagoda::mm
