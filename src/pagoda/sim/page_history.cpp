#include "pagoda/sim/page_history.h"

#include <fmt/format.h>

namespace pagoda::sim {

std::string PageHistory::of(PhysicalAddress pte) const {
  const auto found = events_.find(pte.value());
  if (found == events_.end()) return "  (nothing ever happened to it)\n";
  std::string text;
  for (const mm::Event& event : found->second) {
    text += fmt::format("  {:>16}  {:<14}{:<14} PTE before {:#x}\n", to_string(event.time), mm::name(event.kind),
                        event.frame == kNoPfn ? "" : to_string(event.frame), event.detail);
  }
  return text;
}

}  // namespace pagoda::sim
