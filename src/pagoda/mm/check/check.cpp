#include "pagoda/mm/check/check.h"

#include <algorithm>

#include "pagoda/mm/check/check_context.h"
#include "pagoda/mm/combine/combiner.h"

namespace pagoda::mm {

namespace {

// No further than the machine goes, whatever the database says.
Pfn first_never_used(Core& core) {
  const LockGuard guard(core.pfns.lock);
  return Pfn(
      static_cast<std::uint32_t>(std::min<std::uint64_t>(core.pfns.never_used().value(), core.pfns.frames().value())));
}

}  // namespace

std::vector<Finding> check(MemoryManager& manager, const Processor& cpu) {
  Core& core = manager.core();
  checking::Context c(manager, cpu, first_never_used(core));
  SpaceList& list = manager.spaces();
  const LockGuard spaces_guard(list.lock);
  {
    const LockGuard guard(c.core.pfns.lock);
    check_lists(c);
    check_transfers(c);
  }
  for (const auto& space : list.spaces) check_space(c, *space);
  check_trim_candidates(c, list);
  {
    const LockGuard guard(manager.sections().lock);
    check_sections(c, manager.sections());
  }
  {
    const LockGuard guard(c.core.pfns.lock);
    check_combine(c, manager.combiner());
    check_compression(c);
    check_frames(c);
    check_contents(c);
    check_slots(c);
    check_resident(c);
    check_commit(c);
  }
  check_tlbs(c, list);
  return c.take_findings();
}

std::string to_string(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) text += finding.rule + ": " + finding.text + "\n";
  return text;
}

}  // namespace pagoda::mm
