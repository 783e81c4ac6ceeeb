// Placeholders: addresses held for a later region, so that no other region takes them in between. Source:
// reference/nt.md 7.9 (Windows 10).
//
//            reserve as placeholder            replace (exact)
//   free  <--------------------------> placeholder <--------------> region or view
//              release                  | split ^    release and
//                                       v       | coalesce   preserve
//                                      placeholders
//
// A placeholder is like reserved memory, except that nothing can be committed in it. Inside the range of one, replacing
// and splitting go by pages, not by 64 KB. The page tables that a placeholder's range may need stay charged while it
// changes places with a region, so that going back never fails.
#pragma once

#include <cstdint>

#include "pagoda/mm/region/private_region.h"

namespace pagoda::mm {

class PlaceholderRegion final : public PrivateRegion {
 public:
  Result<> commit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const override;
  Result<> discard(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const override;
};

const PlaceholderRegion& placeholder_region();

Vad placeholder_vad(VpnRange pages);

}  // namespace pagoda::mm
