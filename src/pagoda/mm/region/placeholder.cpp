#include "pagoda/mm/region/placeholder.h"

#include <algorithm>

#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

Result<Vad*> AddressSpace::replace_placeholder(const Vad& by) {
  Vad* const vad = vads_.find(by.range.first);
  if (vad == nullptr || !vad->placeholder || vad->range != by.range) return fail(Status::kConflictingAddresses);
  PAGODA_TRY(charge_commit(by.commit_charge));
  commit_ += by.commit_charge;
  peak_commit_ = std::max(peak_commit_, commit_);
  vads_.erase(*vad);
  Vad& replacement = vads_.insert(by);
  replacement.from_placeholder = true;
  replacement.tables_on_demand = false;  // They are charged.
  return &replacement;
}

void AddressSpace::leave_placeholder(Vad& vad) {
  const VpnRange pages = vad.range;
  commit_ -= vad.commit_charge;
  give_back_commit(vad.commit_charge);
  extras_.drop(vad);
  vads_.erase(vad);
  vads_.insert(placeholder_vad(pages));
}

Result<> AddressSpace::preserve_placeholder(Processor& cpu, const Freed& freed) {
  const Vad& vad = *freed.vad;
  const bool is_whole = freed.pages == vad.range;
  if (vad.placeholder ? is_whole : !vad.from_placeholder) return fail(Status::kConflictingAddresses);
  cut(cpu, *freed.vad, freed.pages);
  vads_.insert(placeholder_vad(freed.pages));
  return {};
}

Result<> AddressSpace::coalesce_placeholders(VpnRange pages) {
  Vad* const first = vads_.find(pages.first);
  if (first == nullptr) return fail(Status::kMemoryNotAllocated);
  if (first->range.first != pages.first || first->range == pages) return fail(Status::kConflictingAddresses);
  Vpn reached = pages.first;
  for (const Vad* vad = first; reached < pages.end(); vad = VadTree::next(vad)) {
    if (vad == nullptr || !vad->placeholder || vad->range.first != reached) return fail(Status::kConflictingAddresses);
    reached = vad->range.end();
  }
  if (reached != pages.end()) return fail(Status::kConflictingAddresses);
  for (Vad* vad = first; vad != nullptr && vad->range.first < pages.end();) {
    Vad* const next = VadTree::next(vad);
    vads_.erase(*vad);
    vad = next;
  }
  vads_.insert(placeholder_vad(pages));
  return {};
}

}  // namespace pagoda::mm
