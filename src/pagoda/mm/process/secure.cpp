// Securing ranges against their program. Source: reference/nt.md section 5 (MmSecureVirtualMemory).
#include <algorithm>

#include "pagoda/mm/process/process_space.h"

namespace pagoda::mm {

Result<SecureHandle> ProcessSpace::secure(Processor& cpu, VirtualAddress base, ByteCount size, Protection weakest) {
  if (!is_mappable(weakest)) return fail(Status::kInvalidPageProtection);
  const auto pages = pages_covering(base, size);
  if (!pages || pages->last() > range().last()) return fail(Status::kInvalidParameter);
  const ChangeGuard guard(*this);
  Vad& vad = *PAGODA_TRY(region_of(*pages));
  // Nothing takes these pages away before the region goes; and what is mapped in a window is the program's business.
  if (vad.kind->residence() == RegionKind::Residence::kMapped) return fail(Status::kAccessViolation);
  bool allowed = PAGODA_TRY(vad.kind->committed(*this, cpu, vad, *pages)) == pages->count;
  Vpn next = pages->first;
  // Pages whose entry is zero, or has no page table.
  const auto by_default = [&](Vpn to) {
    while (allowed && next < to) {
      const DefaultRun run = vad.kind->default_run(*this, cpu, vad, {next, to - next});
      allowed = allows_at_least(run.protection, weakest);
      next = std::min(run.end, to);
    }
  };
  const Status status = for_each_entry(cpu, *pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
    lock.assert_held();
    if (raw == 0) return allowed;
    by_default(page);
    allowed = allowed && allows_at_least(current_protection(cpu, vad, page, raw), weakest);
    next = page + 1_pages;
    return allowed;
  });
  if (status != Status::kSuccess) return fail(status);
  by_default(pages->end());
  if (!allowed) return fail(Status::kAccessViolation);
  return extras().secure(vad, *pages, weakest);
}

Result<> ProcessSpace::unsecure(SecureHandle handle) {
  const ChangeGuard guard(*this);
  if (!extras().unsecure(vads_, handle)) return fail(Status::kInvalidHandle);
  return {};
}

}  // namespace pagoda::mm
