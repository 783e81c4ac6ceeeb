// What the PFN database tells whoever owns the pages full of prototype PTEs: their entries hold frames as those of page
// tables do, but belong to segments and clones, which count them.
#pragma once

#include "pagoda/base/units.h"

namespace pagoda::mm {

class PrototypePages {
 public:
  virtual ~PrototypePages() = default;
  // An entry of the page became valid or transition. Under the PFN lock.
  virtual void entry_resident(Pfn page) = 0;
  // An entry that was valid or transition is neither any more, and has its new value. The page may be freed now. Under
  // the PFN lock.
  virtual void entry_left(Pfn page) = 0;
  // Whether what is written to a page that came from a file goes back there. An image's goes to paging files.
  [[nodiscard]] virtual bool writes_back(Pfn page) const = 0;
};

}  // namespace pagoda::mm
