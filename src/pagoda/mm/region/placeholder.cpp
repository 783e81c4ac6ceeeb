#include "pagoda/mm/region/placeholder.h"

#include "pagoda/mm/region/region_space.h"

namespace pagoda::mm {

const PlaceholderRegion& placeholder_region() {
  static const PlaceholderRegion kind;
  return kind;
}

Vad placeholder_vad(VpnRange pages) {
  Vad vad;
  vad.range = pages;
  vad.placeholder = true;
  vad.kind = &placeholder_region();
  return vad;
}

Result<> PlaceholderRegion::commit(RegionSpace& /*space*/, Processor& /*cpu*/, Vad& /*vad*/, VpnRange /*pages*/,
                                   Protection /*protection*/) const {
  return fail(Status::kConflictingAddresses);
}

Result<> PlaceholderRegion::discard(RegionSpace& /*space*/, Processor& /*cpu*/, Vad& /*vad*/,
                                    VpnRange /*pages*/) const {
  return fail(Status::kConflictingAddresses);
}

}  // namespace pagoda::mm
