// Which pages of a SEC_RESERVE segment are committed: runs that do not touch each other.
#pragma once

#include <algorithm>
#include <iterator>
#include <map>

#include "pagoda/base/units.h"

namespace pagoda::mm {

class CommittedPages {
 public:
  [[nodiscard]] PageCount count() const { return count_; }
  // Whether the page is committed, and up to where those behind it are the same; zero: to the end.
  struct Run {
    bool committed = false;
    PageCount end;
  };
  [[nodiscard]] Run run_at(PageCount page) const {
    const auto after = runs_.upper_bound(page);
    if (after != runs_.begin()) {
      if (const PageCount end = std::prev(after)->second; page < end) return {true, end};
    }
    return {false, after == runs_.end() ? PageCount() : after->first};
  }
  [[nodiscard]] bool contains(PageCount page) const { return run_at(page).committed; }
  // Of the pages [first, end).
  [[nodiscard]] PageCount count_in(PageCount first, PageCount end) const {
    PageCount committed;
    while (first < end) {
      const Run run = run_at(first);
      const PageCount next = run.end.is_zero() ? end : std::min(run.end, end);
      if (run.committed) committed += next - first;
      first = next;
    }
    return committed;
  }
  void add(PageCount first, PageCount end) {
    count_ += (end - first) - count_in(first, end);
    auto at = runs_.upper_bound(first);
    if (at != runs_.begin() && std::prev(at)->second >= first) --at;
    while (at != runs_.end() && at->first <= end) {
      first = std::min(first, at->first);
      end = std::max(end, at->second);
      at = runs_.erase(at);
    }
    runs_.emplace(first, end);
  }

 private:
  std::map<PageCount, PageCount> runs_;  // First, end.
  PageCount count_;
};

}  // namespace pagoda::mm
