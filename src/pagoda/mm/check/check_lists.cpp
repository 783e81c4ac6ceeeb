// PL1 to PL4: the page lists against the frames' states.
#include <fmt/format.h>

#include "pagoda/mm/check/check_context.h"

namespace pagoda::mm::checking {

namespace {

// Modified pages of files have a list of their own.
enum class For : std::uint8_t { kAnybody, kFiles };

std::string list_name(PageState state, PagePriority priority, For whom) {
  if (whom == For::kFiles) return "modified pages of files";
  return state == PageState::kStandby ? fmt::format("standby {}", priority) : std::string(name(state));
}

void check_listed(Context& c, Pfn frame) {
  const PfnEntry& e = c.entry(frame);
  if (e.reference_count != 0 || e.read_in_progress != 0 || e.write_in_progress != 0 || e.page_table != 0)
    c.find("PL3"_rule, fmt::format("{} is on a list and still referenced", c.text_of(frame)));
  if (e.state != PageState::kZeroed && e.state != PageState::kFree) return;
  if (e.pte_address != 0 || e.original_pte != 0 || e.modified != 0 || e.deleted != 0 || e.awaited != 0)
    c.find("PL4"_rule, fmt::format("{} belongs to nobody and remembers an owner", c.text_of(frame)));
}

void check_list(Context& c, PageState state, PagePriority priority, For whom) PAGODA_REQUIRES(c.core.pfns.lock) {
  const PageLists::Head& head =
      whom == For::kFiles ? c.core.pfns.lists().modified_of_files() : c.core.pfns.lists().head(state, priority);
  const std::string where = list_name(state, priority, whom);
  std::uint32_t before = kNoPfn.value();
  std::size_t seen = 0;
  for (std::uint32_t at = head.flink; at != kNoPfn.value(); at = c.entry(Pfn(at)).flink) {
    const Pfn frame(at);
    if (!c.is_used(frame)) {
      c.find("PL2"_rule, fmt::format("the {} list goes on after {} to {}, a frame never used", where,
                                     to_string(Pfn(before)), to_string(frame)));
      return;
    }
    if (c.facts(frame).listed) {
      c.find("PL2"_rule, fmt::format("the {} list comes from {} to {}, where it or another list was before", where,
                                     to_string(Pfn(before)), c.text_of(frame)));
      return;
    }
    c.facts(frame).listed = true;
    ++seen;
    const PfnEntry& e = c.entry(frame);
    if (e.state != state || (state == PageState::kStandby && e.priority != priority) ||
        (state == PageState::kModified && e.maps_file() != (whom == For::kFiles))) {
      c.find("PL1"_rule,
             fmt::format("{} of priority {} is on the {} list", c.text_of(frame), unsigned{e.priority}, where));
      if (!is_listed(e.state)) return;  // Its links mean something else.
    } else {
      check_listed(c, frame);
    }
    if (e.blink != before) {
      c.find("PL2"_rule, fmt::format("on the {} list, {} links back to {} and stands behind {}", where,
                                     to_string(frame), to_string(Pfn(e.blink)), to_string(Pfn(before))));
    }
    before = at;
  }
  if (head.blink != before) {
    c.find("PL2"_rule, fmt::format("the {} list ends at {} and its head says {}", where, to_string(Pfn(before)),
                                   to_string(Pfn(head.blink))));
  }
  if (head.count != seen)
    c.find("PL2"_rule, fmt::format("{} frames are on the {} list, its head counts {}", seen, where, head.count));
}

}  // namespace

void check_lists(Context& c) {
  for (const PageState state : {PageState::kZeroed, PageState::kFree, PageState::kStandby, PageState::kModified,
                                PageState::kModifiedNoWrite, PageState::kBad}) {
    const PagePriority lists = state == PageState::kStandby ? PagePriority{kPagePriorities} : PagePriority{1};
    for (PagePriority priority = 0; priority < lists; ++priority) check_list(c, state, priority, For::kAnybody);
  }
  check_list(c, PageState::kModified, 0, For::kFiles);
  for (std::uint32_t number = 0; number < c.frames.size(); ++number) {
    const Pfn frame(number);
    if (is_listed(c.entry(frame).state) && !c.frames[number].listed)
      c.find("PL1"_rule, fmt::format("{} is on no list", c.text_of(frame)));
  }
}

}  // namespace pagoda::mm::checking
