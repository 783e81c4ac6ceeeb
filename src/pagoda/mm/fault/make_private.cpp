// Pages that a fork shares become the space's own again.
#include <utility>

#include "pagoda/base/interleave.h"
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/ws/replacement.h"

namespace pagoda::mm {

namespace fault {

Outcome make_private(Context& context, Vpn page) {
  AddressSpace& space = context.space;
  space.lock.assert_held();  // The analysis does not know that it is the context's.
  Core& core = context.core;
  PageTables& tables = space.tables();
  const PhysicalAddress pte = tables.find(context.cpu, page);
  const RawPte raw = pte == PageTables::kNone ? 0 : core.load(context.cpu, pte);
  if (!space.is_clone(raw)) return {Status::kSuccess, FaultKind::kSpurious, false};
  const bool mapped = PteCodec::is_valid(raw);
  {
    const LockGuard guard(core.pfns.lock);
    if (core.pfns.available() < kFaultReserve) return {Status::kNoMemory, FaultKind::kSpurious, false};
  }
  if (!has_room_for_page(space, !mapped)) return {Status::kInsufficientResources, FaultKind::kSpurious, false};
  // As if the program wrote to it; but the copy has the rights of the page that it replaces, for the caller may fail at the next
  // page.
  const machine::PageFault write{VirtualAddress(page), machine::Access::kWrite, machine::Privilege::kKernel, mapped,
                                 false};
  Context c(space, context.cpu, write, page);
  c.pte = pte;
  c.raw = raw;
  const Protection own = space.current_protection(context.cpu, *space.regions().region_at(page), page, raw);
  c.protection = mapped ? own : Protection::kWriteCopy;
  if (!mapped) c.prototype = core.codec.prototype_address(raw);
  c.space.lock.assert_held();  // The analysis does not know that it is this space.
  const Outcome outcome = mapped ? copy_on_write(c) : prototype(c);
  if (c.must_wait()) {
    context.page = page;
    context.raw = raw;
    context.read = std::move(c.read);
    context.being_read = c.being_read;
  }
  // Without a frame for the copy the page may be mapped all the same, with rights that are not its own.
  if (const RawPte uncopied = core.load(context.cpu, pte);
      !mapped && PteCodec::is_valid(uncopied) && PteCodec::is_shared(uncopied)) {
    space.working_set().erase(space.working_set().find_shared(page));
    tables.replace(context.cpu, pte, raw);
    space.invalidate(context.cpu, {{page, 1_pages}, core.codec.frame(uncopied)});
    const LockGuard guard(core.pfns.lock);
    core.pfns.unshare(context.cpu, core.codec.frame(uncopied), pte.pfn(), PteCodec::Dirty::kNo);
    return {Status::kNoMemory, FaultKind::kSpurious, false};
  }
  if (!mapped && unshared(own) != Protection::kReadWrite)
    if (const RawPte copy = core.load(context.cpu, pte); PteCodec::is_valid(copy))
      space.protect_entry(context.cpu, page, pte, copy, unshared(own));
  return outcome;
}

}  // namespace fault

namespace {

// The analysis does not see that the context's space is this one.
Result<> make_each_private(AddressSpace& space, Processor& cpu, VpnRange pages) PAGODA_NO_THREAD_SAFETY {
  Core& core = space.core();
  for (Vpn page = pages.first; page < pages.end();) {
    bool found = false;  // The next one.
    const auto looked = space.for_each_entry(cpu, {page, pages.end() - page}, [&](Vpn at, PhysicalAddress, RawPte raw) {
      found = space.is_clone(raw);
      if (found) page = at;
      return !found;
    });
    if (looked != Status::kSuccess) return fail(looked);
    if (!found) break;
    const machine::PageFault none{};
    fault::Context c(space, cpu, none, page);
    const fault::Outcome outcome = fault::make_private(c, page);
    fault::count(space, outcome);
    if (outcome.status != Status::kSuccess) return fail(outcome.status);
    // If it is shared yet, what it needs has come in: it is found once more.
    if (!c.must_wait()) {
      if (PAGODA_FAULT_SWITCH(what_is_shared_yet_is_taken_for_private)) ++page;
      continue;
    }
    Status status = Status::kSuccess;
    {
      const PauseGuard pause(space);
      status = fault::wait(c, outcome);
    }
    if (status != Status::kSuccess) return fail(status);
    if (cpu.is_blocked()) return fail(Status::kPending);
    const LockGuard guard(core.pfns.lock);
    core.transfers.complete(cpu.now(), core.pfns);
  }
  return {};
}

}  // namespace

Result<> make_private(AddressSpace& space, Processor& cpu, VpnRange pages) {
  space.set_keeps_private(true);
  const Result<> made = make_each_private(space, cpu, pages);
  space.set_keeps_private(false);
  return made;
}

}  // namespace pagoda::mm
