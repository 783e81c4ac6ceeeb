// Committing, decommitting and protecting pages of a region: what depends on the call. The region's kind does the rest.
#include "pagoda/mm/process/process_space.h"

namespace pagoda::mm {

namespace {

// Whether it says what a page may be used for: what a program may ask for.
bool is_protection(Protection protection) {
  return base_of(protection) != Protection::kNone || protection == Protection::kNoAccess;
}

}  // namespace

Result<> ProcessSpace::commit(Processor& cpu, VirtualAddress base, ByteCount size, Protection protection) {
  if (!is_protection(protection)) return fail(Status::kInvalidPageProtection);
  if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
  const auto pages = pages_covering(base, size);
  if (!pages) return fail(Status::kInvalidParameter4);
  return with_memory(relief(), cpu, [&]() -> Result<> {
    const ChangeGuard guard(*this);
    Vad& vad = *PAGODA_TRY(region_of(*pages));
    return vad.kind->commit(*this, cpu, vad, *pages, protection);
  });
}

Result<VpnRange> ProcessSpace::decommit(Processor& cpu, VirtualAddress base, ByteCount size) {
  return with_memory(relief(), cpu, [&]() -> Result<VpnRange> {
    const ChangeGuard guard(*this);
    const RegionPages freed = PAGODA_TRY(range_to_free(base, size));
    PAGODA_TRY(freed.vad->kind->decommit(*this, cpu, *freed.vad, freed.pages));
    return freed.pages;
  });
}

// In the order of reference/nt.md 7.3.
Result<Protection> ProcessSpace::protect(Processor& cpu, VirtualAddress base, ByteCount size, Protection protection) {
  if (!is_protection(protection)) return fail(Status::kInvalidPageProtection);
  if (base.vpn() > user_range().last()) return fail(Status::kInvalidParameter2);
  const auto pages = pages_covering(base, size);
  if (!pages) return fail(Status::kInvalidParameter3);
  std::optional<Protection> old;  // Before the first attempt, which may have made copies of what a fork shares.
  return with_memory(relief(), cpu, [&]() -> Result<Protection> {
    const ChangeGuard guard(*this);
    Vad& vad = *PAGODA_TRY(region_of(*pages));
    PAGODA_TRY(vad.kind->may_protect(*this, cpu, vad, *pages, protection));
    if (vad.no_change || !secured_allow(vad, *pages, protection)) return fail(Status::kInvalidPageProtection);
    if (!old) old = PAGODA_TRY(vad.kind->shown_protection(*this, cpu, vad, pages->first));
    PAGODA_TRY(vad.kind->protect(*this, cpu, vad, *pages, protection));
    return *old;
  });
}

}  // namespace pagoda::mm
