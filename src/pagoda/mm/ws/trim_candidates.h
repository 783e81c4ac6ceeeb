// Which spaces have pages to trim, so that a shortage walks those and no others.
//
//   above    more pages than their minimum, some not locked: trimmed first        by id
//   below    pages that are not locked, and no more than the minimum              by id
//   neither  nothing to trim
//
// A space comes up by itself when it gets more to trim (WorkingSet::Watcher), which happens few times in the life of a
// space that is not trimmed. It goes down when a trim looks at it and finds less (WorkingSet::settle_watched). No list allocates: a space
// takes its node from list to list.
//
// Invariants (mm::check):
//   [WS4] The list that a space is on is the one that its working set was told last; that is no lower than what it has.
// Locking: a leaf lock of its own, since a space comes up under its own lock, whatever others are held.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "pagoda/base/lock.h"
#include "pagoda/mm/space/address_space.h"

namespace pagoda::mm {

class TrimCandidates {
 public:
  explicit TrimCandidates(unsigned depth) : lock_(LockRank(LockClass::kLeaf, depth)) {}

  // Watches the space's working set until its end. Requires: these outlive the space.
  void watch(AddressSpace& space) PAGODA_REQUIRES(space.lock);

  // Appends the spaces above their minimum, in the order of their ids.
  void add_above_to(std::vector<AddressSpace*>& spaces) const;
  // The first space below its minimum with at least the id; null if there is none.
  [[nodiscard]] AddressSpace* below(std::uint32_t id) const;
  // Where the space is found.
  [[nodiscard]] WorkingSet::Trimmable listed(const AddressSpace& space) const;

 private:
  using List = std::map<std::uint32_t, AddressSpace*>;
  class Member;

  void move(Member& member, WorkingSet::Trimmable what);

  mutable Lock lock_;
  List above_ PAGODA_GUARDED_BY(lock_);
  List below_ PAGODA_GUARDED_BY(lock_);
};

}  // namespace pagoda::mm
