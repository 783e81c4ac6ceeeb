// The balance set manager: once a second it ages working sets, and when memory is short it trims them. NT:
// KeBalanceSetManager, MmWorkingSetManager; priority 16.
//
// Trimming orders by age first and by excess second: the oldest pages of the space that is furthest above its minimum,
// then those of the next space, then younger pages. No space is trimmed below its minimum unless nothing else is left.
// What was trimmed and shared on the way is joined by its equals before anybody writes it (combine/member_pages.h).
// A trim walks the spaces that have something to trim (ws/trim_candidates.h), and of those the ages that they have.
// Source: reference/nt.md section 9.
#pragma once

#include <vector>

#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/process/space_list.h"
#include "pagoda/mm/threads/system_thread.h"

namespace pagoda::mm {

class Combiner;

class BalanceSetManager : public SystemThread {
 public:
  BalanceSetManager(Core& core, SpaceList& spaces, Combiner& combiner)
      : core_(core), spaces_(spaces), combiner_(combiner), next_tick_(Time{} + core.tunables.balance_period) {}

  [[nodiscard]] std::string_view name() const override { return "balance set manager"; }
  [[nodiscard]] Time due(Time now) const override;
  void run(Processor& cpu) override;

  // What modified pages are to who wants frames.
  enum class Modified : std::uint8_t {
    kComing,  // Available soon, if there is a slot, or room in the compression store.
    kStay,    // The writer has found that none of them can go.
  };
  // Trims until `goal` pages are available or on their way there, or nothing is left to trim. Returns how many pages it
  // trimmed.
  PageCount trim(Processor& cpu, PageCount goal, Modified modified = Modified::kComing);
  // Pages that are missing to the goal.
  [[nodiscard]] PageCount missing(PageCount goal, Modified modified = Modified::kComing) const;

 private:
  struct Candidate {
    AddressSpace* space = nullptr;
    PageCount above;      // Its minimum.
    unsigned oldest = 0;  // No page to trim is older.
  };
  // Fills `candidates_`, in the order in which they are trimmed.
  void find_candidates() PAGODA_REQUIRES(spaces_.lock);
  PageCount trim_to_minimum(Processor& cpu, PageCount goal, Modified modified) PAGODA_REQUIRES(spaces_.lock);
  PageCount trim_below_minimum(Processor& cpu, PageCount goal, Modified modified) const PAGODA_REQUIRES(spaces_.lock);
  // Of tables without resident entries, while there are any.
  PageCount trim_tables(Processor& cpu, PageCount goal, Modified modified) PAGODA_REQUIRES(spaces_.lock);

  Core& core_;
  SpaceList& spaces_;
  Combiner& combiner_;
  Time next_tick_;
  // Kept from trim to trim, so that a shortage does not allocate.
  std::vector<AddressSpace*> above_ PAGODA_GUARDED_BY(spaces_.lock);
  std::vector<Candidate> candidates_ PAGODA_GUARDED_BY(spaces_.lock);
};

}  // namespace pagoda::mm
