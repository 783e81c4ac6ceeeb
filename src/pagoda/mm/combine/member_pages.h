// The pages of one space that takes part in sharing, for whoever looks at them: the scan (combiner.h), and what takes
// pages out of the working set, which offers them first (space/page_sharer.h).
//
// A page that leaves, and would have to be written:
//
//   hash ─┬─ shared entry, its page in memory ── merged: the frame is free, a mapping leaves in its place
//         ├─ hint of a page of this space ────── published and merged with at once
//         ├─ hint of another space's ─────────── published; that page joins it as soon as its space's lock may be taken
//         │                                      (`JoinsToCome`)
//         └─ nothing, or the entry's page is out ── leaves as it is: to compare them would cost the transfer
//
// With Combine::kSameBehaviour each page that is looked at, by either, is *withheld*: it is merged, or alone in a clone
// entry of its own, and in both cases leaves the working set. The fault handler serves the next access to any such page by
// a copy (fault/withheld.cpp). Nothing is withheld unless there is room for a clone entry and for an entry of the table,
// which a page that has an equal does not need: else a lack of it would tell the two apart.
//
// Locking: the space's lock, and the PFN lock inside. Source: reference/virtualization.md 1.5 ("shared before it is paged
// out" is ESX's; Waldspurger 2002, section 4), 6.2 (VUsion).
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "pagoda/mm/combine/content_table.h"
#include "pagoda/mm/combine/page_merger.h"
#include "pagoda/mm/space/page_sharer.h"

namespace pagoda::mm {

// Pages that hints named, whose equals have left memory as shared pages. Locking: the PFN lock.
class JoinsToCome {
 public:
  struct Join {
    ContentTable::Hint page;
    std::uint32_t entry = ContentTable::kNone;
  };
  // What finds no room is found by the scan, later.
  void add(const Join& join) {
    if (joins_.size() < kMost) joins_.push_back(join);
  }
  [[nodiscard]] bool empty() const { return joins_.empty(); }
  [[nodiscard]] std::vector<Join> take() { return std::exchange(joins_, {}); }

 private:
  static constexpr std::size_t kMost = 1024;  // A choice.
  std::vector<Join> joins_;
};

class MemberPages final : public PageSharer {
 public:
  using Key = ContentTable::Key;
  using Outcome = PageMerger::Outcome;
  struct Identity {
    MemberNumber number{};
    DomainNumber domain{};
    std::uint64_t salt = 0;
  };
  // What the pages of all members have in common.
  struct Common {
    Core& core;
    ContentTable& table;
    PageMerger& merger;
    JoinsToCome& joins;
  };
  MemberPages(const Common& common, ProcessSpace& space, const Identity& identity)
      : core_(common.core),
        table_(common.table),
        merger_(common.merger),
        joins_(common.joins),
        space_(space),
        identity_(identity) {}

  [[nodiscard]] ProcessSpace& space() const { return space_; }
  [[nodiscard]] MemberNumber number() const { return identity_.number; }
  [[nodiscard]] DomainNumber domain() const { return identity_.domain; }
  [[nodiscard]] Key key(PageBytes bytes, Protection protection) const {
    return table_.key(bytes, identity_.salt, protection);
  }

  void offer(Processor& cpu, std::uint32_t slot) override;

  // --- One page, which is looked at: with the space's lock held, as the analysis cannot tell ---
  // Merges it with the first of the shared entries that holds the same bytes. Counts what came of each.
  [[nodiscard]] Outcome join(Processor& cpu, const PageMerger::Candidate& page, const ContentTable::Found& found);
  // Moves it, if it still holds those bytes, into a shared entry of its own.
  [[nodiscard]] Outcome publish(Processor& cpu, const PageMerger::Candidate& page, PageBytes bytes, Key key);
  // Merges it or publishes it. kDone: it is in a shared entry, from where the caller takes it out of the working set.
  [[nodiscard]] Outcome withhold(Processor& cpu, const PageMerger::Candidate& page, PageBytes bytes, Key key);

  // Requires: the PFN lock.
  void count(Outcome outcome);

 private:
  [[nodiscard]] bool is_to_be_written(const PageMerger::Candidate& page) const PAGODA_REQUIRES(core_.pfns.lock);
  // Whether a clone entry can be had, without taking a frame that a fault may need in whose middle this is.
  [[nodiscard]] bool may_publish() const PAGODA_REQUIRES(core_.pfns.lock);
  // The page takes the place of the hint's, which is to join it.
  void publish_for(Processor& cpu, const PageMerger::Candidate& page, std::uint32_t hint, PageBytes bytes, Key key)
      PAGODA_REQUIRES(space_.lock);
  // The hint's page, which is the space's own, if it still holds those bytes with that protection; a stale hint is dropped.
  [[nodiscard]] std::optional<PageMerger::Candidate> twin(Processor& cpu, Vpn page, std::uint32_t hint, PageBytes bytes,
                                                          Protection protection) PAGODA_REQUIRES(space_.lock);

  Core& core_;
  ContentTable& table_;
  PageMerger& merger_;
  JoinsToCome& joins_;
  ProcessSpace& space_;
  const Identity identity_;
};

}  // namespace pagoda::mm
