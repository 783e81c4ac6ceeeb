#include "pagoda/mm/ws/prototype_trim.h"

namespace pagoda::mm {

PageCount trim_prototypes(Core& core, Processor& cpu, PageCount most) {
  const LockGuard guard(core.pfns.lock);
  const PrototypePages& pages = core.pfns.prototype_pages();
  PageCount trimmed;
  // From the end: the last one takes the place of one that goes.
  for (std::size_t place = pages.idle().size(); place-- > 0 && trimmed < most;) {
    if (place >= pages.idle().size()) continue;  // A frame that was taken for a pool table was another one's last page.
    const std::uint32_t page = pages.idle()[place];
    if (!core.prototypes.page_out(cpu, page)) break;
    ++trimmed;
  }
  core.counters.prototype_pages_paged_out += trimmed.value();
  return trimmed;
}

}  // namespace pagoda::mm
