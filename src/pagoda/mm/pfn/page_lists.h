// The lists of physical pages without references (NT: MMPFNLIST): Zeroed, Free, Standby by priority, Modified,
// ModifiedNoWrite, Bad. Modified pages of files have a list of their own, since another writer takes them.
//
// Invariants (check; ids in brackets):
//   [PL1] A page is on exactly the list that its state (and, on standby, its priority) names; on none if Active or
//         Transition.
//   [PL2] Forward walk, backward walk and count agree for every list.
//   [PL3] A listed page has reference count 0; its link fields are the links.
//   [PL4] Zeroed and free pages have no owner, no original PTE and no flags.
// Locking: the PFN lock of the manager, throughout; PfnDatabase, the only user, holds it.
#pragma once

#include <array>
#include <cstdint>

#include "pagoda/base/sparse_array.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/pfn/pfn_entry.h"

namespace pagoda::mm {

class PageLists {
 public:
  struct Head {
    std::uint32_t flink = kNoPfn.value();
    std::uint32_t blink = kNoPfn.value();
    std::uint32_t count = 0;
  };
  enum class End : std::uint8_t { kHead, kTail };

  explicit PageLists(SparseArray<PfnEntry>& entries) : entries_(entries) {}

  // Puts an unreferenced page on the list of `state`; standby pages by their entry's priority.
  void insert(Pfn page, PageState state, End end);
  // Takes a listed page off its list, from any place. The caller sets its state.
  void unlink(Pfn page);

  [[nodiscard]] const Head& head(PageState state, PagePriority priority = 0) const {
    return heads_[index(state, priority)];
  }
  [[nodiscard]] PageCount count(PageState state) const;
  [[nodiscard]] PageCount standby_count(PagePriority priority) const {
    return PageCount(heads_[index(PageState::kStandby, priority)].count);
  }
  // Modified pages that go to a file; `head(kModified)` has those that go to paging files.
  [[nodiscard]] const Head& modified_of_files() const { return heads_[kModifiedOfFiles]; }
  // The first page of the lowest standby priority that has one, or kNoPfn.
  [[nodiscard]] Pfn oldest_standby() const;

 private:
  friend struct Corruptor;  // Tests of the checker.
  // Standby priority 0 takes the place of its state; priorities 1 to 7 follow the states.
  static constexpr std::size_t kModifiedOfFiles = kPageStates + kPagePriorities - 1;
  static constexpr std::size_t kHeads = kModifiedOfFiles + 1;
  static constexpr std::size_t index(PageState state, PagePriority priority) {
    return state == PageState::kStandby && priority > 0 ? kPageStates + priority - 1 : static_cast<std::size_t>(state);
  }
  static std::size_t index(const PfnEntry& entry, PageState state) {
    return state == PageState::kModified && entry.maps_file() ? kModifiedOfFiles : index(state, entry.priority);
  }

  SparseArray<PfnEntry>& entries_;
  std::array<Head, kHeads> heads_{};
};

}  // namespace pagoda::mm
