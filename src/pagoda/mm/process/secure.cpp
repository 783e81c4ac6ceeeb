// Securing ranges against their program. Source: reference/nt.md section 5 (MmSecureVirtualMemory).
#include <algorithm>

#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

Result<SecureHandle> AddressSpace::secure(const Processor& cpu, VirtualAddress base, ByteCount size,
                                          Protection weakest) {
  if (!is_mappable(weakest)) return fail(Status::kInvalidPageProtection);
  const auto pages = pages_covering(base, size);
  if (!pages || pages->last() > user_range().last()) return fail(Status::kInvalidParameter);
  const LockGuard guard(lock);
  const auto region = region_of(*pages);
  if (!region) return std::unexpected(region.error());
  Vad& vad = **region;
  // Nothing takes these pages away before the region goes; and what is mapped in a window is the program's business.
  if (is_physical(vad)) return fail(Status::kAccessViolation);
  bool allowed = committed_in(cpu, vad, *pages) == pages->count;
  Vpn next = pages->first;
  // Pages whose entry is zero, or has no page table.
  const auto by_default = [&](Vpn to) {
    while (allowed && next < to) {
      const DefaultRun run = default_run(cpu, vad, next);
      allowed = allows_at_least(run.protection, weakest);
      next = std::min(run.end, to);
    }
  };
  tables_.for_each(cpu, *pages, [&](Vpn page, PhysicalAddress, RawPte raw) {
    lock.assert_held();
    if (raw == 0) return;
    by_default(page);
    allowed = allowed && allows_at_least(current_protection(cpu, vad, page, raw), weakest);
    next = page + 1_pages;
  });
  by_default(pages->end());
  if (!allowed) return fail(Status::kAccessViolation);
  return extras_.secure(vad, *pages, weakest);
}

Result<> AddressSpace::unsecure(SecureHandle handle) {
  const LockGuard guard(lock);
  if (!extras_.unsecure(vads_, handle)) return fail(Status::kInvalidHandle);
  return {};
}

}  // namespace pagoda::mm
