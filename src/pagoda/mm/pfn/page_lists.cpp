#include "pagoda/mm/pfn/page_lists.h"

namespace pagoda::mm {

namespace {

constexpr std::uint32_t kNone = kNoPfn.value();

}  // namespace

std::string_view name(PageState state) {
  switch (state) {
    case PageState::kZeroed:
      return "zeroed";
    case PageState::kFree:
      return "free";
    case PageState::kStandby:
      return "standby";
    case PageState::kModified:
      return "modified";
    case PageState::kModifiedNoWrite:
      return "modified_no_write";
    case PageState::kBad:
      return "bad";
    case PageState::kActive:
      return "active";
    case PageState::kTransition:
      return "transition";
  }
  return "";
}

void PageLists::insert(Pfn page, PageState state, End end) {
  PfnEntry& entry = entries_[page.value()];
  PAGODA_DCHECK(is_listed(state));
  PAGODA_DCHECK_EQ(entry.reference_count, 0U);
  entry.state = state;
  Head& head = heads_[index(entry, state)];
  if (end == End::kTail) {
    entry.flink = kNone;
    entry.blink = head.blink;
    (head.blink == kNone ? head.flink : entries_[head.blink].flink) = page.value();
    head.blink = page.value();
  } else {
    entry.blink = kNone;
    entry.flink = head.flink;
    (head.flink == kNone ? head.blink : entries_[head.flink].blink) = page.value();
    head.flink = page.value();
  }
  ++head.count;
}

void PageLists::unlink(Pfn page) {
  const PfnEntry& entry = entries_[page.value()];
  PAGODA_DCHECK(is_listed(entry.state));
  Head& head = heads_[index(entry, entry.state)];
  PAGODA_DCHECK_GT(head.count, 0U);
  (entry.blink == kNone ? head.flink : entries_[entry.blink].flink) = entry.flink;
  (entry.flink == kNone ? head.blink : entries_[entry.flink].blink) = entry.blink;
  --head.count;
}

PageCount PageLists::count(PageState state) const {
  if (state == PageState::kModified)
    return PageCount(std::uint64_t{heads_[index(state, 0)].count} + modified_of_files().count);
  if (state != PageState::kStandby) return PageCount(heads_[index(state, 0)].count);
  PageCount all;
  for (PagePriority priority = 0; priority < kPagePriorities; ++priority) all += standby_count(priority);
  return all;
}

Pfn PageLists::oldest_standby() const {
  for (PagePriority priority = 0; priority < kPagePriorities; ++priority) {
    const Head& head = heads_[index(PageState::kStandby, priority)];
    if (head.count > 0) return Pfn(head.flink);
  }
  return kNoPfn;
}

}  // namespace pagoda::mm
