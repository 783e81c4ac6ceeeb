// Finds equal pages and makes them one: sharing by contents. ESX: transparent page sharing; Linux: KSM; Windows: memory
// combining.
//
//   allow(space) ── member ── scan: a page of its working set ── zeros? ── forgotten
//                                          │ hash of salt and contents
//                                          ├─ nothing in the table ── a hint
//                                          ├─ shared entry ── PageMerger::merge
//                                          └─ hint of a page ── that page is published, then merged with
//
// A member's pages are looked at at random, or by what their region has yielded (scan_order.h). Pages that are on their
// way out of memory, or out, are not looked at. Only pages of one domain meet: the hash is salted with the domain, and what the table says of
// another domain is passed over.
//
// A page that leaves a working set is offered first, whoever takes it out (member_pages.h).
//
// A page whose hash fits and whose bytes do not (a false match) is left alone: it gets no hint, so that a weak hash makes
// no long chains. A hint that turns out stale is dropped where it is found, and one that was not confirmed for two passes
// of its member by a sweep. A table that is full takes no more; what is in it still finds its equals.
//
// Locking: the lock of the list of spaces throughout, which keeps them from ending; below it one space at a time, for at
// most kPagesOfTurn pages. Source: reference/virtualization.md 1.5, 6.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "pagoda/base/random.h"
#include "pagoda/mm/combine/content_table.h"
#include "pagoda/mm/combine/member_pages.h"
#include "pagoda/mm/combine/page_merger.h"
#include "pagoda/mm/combine/scan_order.h"
#include "pagoda/mm/process/space_list.h"

namespace pagoda::mm {

class Combiner {
 public:
  Combiner(Core& core, SpaceList& spaces);

  // --- Who takes part ---
  // From now on private pages of the space may be made one with equal pages of its domain.
  // Fails with: kInsufficientResources (as many spaces do as an entry can name).
  Result<> allow(ProcessSpace& space);
  // The same, and from now on the space is in the domain. Fails with, besides: kInvalidParameter (it is in another, and takes
  // part already, or a fork shares its pages).
  Result<> allow(ProcessSpace& space, SharingDomain domain);
  // No more of its pages are. What is shared stays so until it is written.
  void forbid(ProcessSpace& space);
  [[nodiscard]] bool is_allowed(const ProcessSpace& space) const;
  // The child of a fork takes part if its parent does. Fails as `allow`.
  Result<> allow_as(ProcessSpace& child, const ProcessSpace& parent) {
    return is_allowed(parent) ? allow(child) : Result<>{};
  }
  // The space ends. Requires: its regions are gone; the lock of the list of spaces.
  void forget(ProcessSpace& space);

  // --- Looking for equal pages ---
  struct Budget {
    PageCount of_space;
    PageCount in_all;
  };
  // Looks at pages of each member in turn, as far as the budget goes. Returns how many it looked at.
  PageCount scan(Processor& cpu, const Budget& budget);
  [[nodiscard]] bool has_members() const;
  // How fast the thread scans, from its next look on. Requires: a period above zero.
  void set_scan_rate(const ScanRate& rate);
  [[nodiscard]] ScanRate scan_rate() const;
  // Pages that hints named join equal ones, which have left their working set as shared pages. Requires: the lock of the
  // list, and no space's.
  void join_late(Processor& cpu);
  [[nodiscard]] bool any_to_join() const;

  // --- Counts, beside those of Counters ---
  struct Statistics {
    PageCount shared;  // Contents through which pages are shared.
    PageCount saved;   // Pages that are nowhere because of that.
    PageCount hints;
  };
  [[nodiscard]] Statistics statistics() const;
  // The member of a number, and the domain of one; null and nothing if there is none. Require: the lock of the list.
  [[nodiscard]] const ProcessSpace* member(MemberNumber number) const;
  [[nodiscard]] std::optional<SharingDomain> domain(DomainNumber number) const;
  // What the domain's hashes are salted with.
  [[nodiscard]] std::uint64_t salt(SharingDomain domain) const;
  [[nodiscard]] const ContentTable& table() const { return table_; }
  // Requires: the PFN lock.
  void add_to(StateHash& hash) const { table_.add_to(hash); }

 private:
  friend struct Corruptor;

  struct Member {
    std::unique_ptr<MemberPages> pages;  // Null: the number is free.
    bool is_allowed = false;
    std::uint32_t pass = 0;
    ScanOrder order;
  };
  struct Domain {
    SharingDomain domain{};
    std::uint32_t members = 0;
  };
  // A page that may be equal to that of a hint.
  struct Match {
    MemberNumber member{};
    Vpn page;
    std::uint32_t entry = ContentTable::kNone;
  };
  [[nodiscard]] Member& member_of(MemberNumber number) PAGODA_REQUIRES(spaces_.lock) {
    return members_[static_cast<std::size_t>(number)];
  }
  Result<MemberNumber> enter(ProcessSpace& space) PAGODA_REQUIRES(spaces_.lock);
  Result<> enter_and_allow(ProcessSpace& space) PAGODA_REQUIRES(spaces_.lock);
  Result<DomainNumber> enter_domain(SharingDomain domain) PAGODA_REQUIRES(spaces_.lock);
  void leave_domain(DomainNumber number) PAGODA_REQUIRES(spaces_.lock);
  // Looks at pages of the member, at most so many; returns how many.
  PageCount scan_member(Processor& cpu, MemberNumber number, PageCount most) PAGODA_REQUIRES(spaces_.lock);
  // Chooses the pages of a turn, at most so many, passing over at most `slots`. Returns how many slots are left.
  std::uint64_t choose(ProcessSpace& space, const Processor& cpu, MemberNumber number, PageCount most,
                       std::uint64_t slots) PAGODA_REQUIRES(spaces_.lock, space.lock);
  // Tells the order what has become of the pages of the turn.
  void note_merged(ProcessSpace& space, MemberNumber number) PAGODA_REQUIRES(spaces_.lock);
  void prefetch_entries(ProcessSpace& space, const Processor& cpu) const PAGODA_REQUIRES(spaces_.lock, space.lock);
  // Fills `keys_` for the turn.
  void hash_turn(ProcessSpace& space, Processor& cpu, MemberNumber number) PAGODA_REQUIRES(spaces_.lock, space.lock);
  // Nothing: the page held zeros, or is shared already.
  [[nodiscard]] std::optional<ContentTable::Key> hash(ProcessSpace& space, Processor& cpu, MemberNumber number,
                                                      const PageMerger::Candidate& page)
      PAGODA_REQUIRES(spaces_.lock, space.lock);
  // Merges the page, or remembers it, or leaves a match.
  void look_up(ProcessSpace& space, Processor& cpu, MemberNumber number, const PageMerger::Candidate& page,
               ContentTable::Key key) PAGODA_REQUIRES(spaces_.lock, space.lock);
  // Seen for the first time.
  void remember(Processor& cpu, MemberNumber number, const PageMerger::Candidate& page, ContentTable::Key key)
      PAGODA_REQUIRES(spaces_.lock);
  // Its bytes are in `copy_` now; false: they are not those of the key any more.
  [[nodiscard]] bool copy(const Processor& cpu, MemberNumber number, const PageMerger::Candidate& page,
                          ContentTable::Key key) PAGODA_REQUIRES(spaces_.lock);
  // What was withheld of the turn leaves the working set.
  void evict_withheld(ProcessSpace& space, Processor& cpu) PAGODA_REQUIRES(spaces_.lock, space.lock);
  void settle(Processor& cpu, const Match& match) PAGODA_REQUIRES(spaces_.lock);
  // The page of the match's hint is published if it holds the bytes that are in `copy_`, whose key this is with the
  // protection. Whether the entry is a shared one.
  bool publish(Processor& cpu, const Match& match, ContentTable::Key key, Protection protection)
      PAGODA_REQUIRES(spaces_.lock);
  // The bytes of a page, which a program may be writing: good for a hash, and for a first comparison.
  [[nodiscard]] PageBytes read(const machine::FrameView& view) PAGODA_REQUIRES(spaces_.lock);

  Core& core_;
  SpaceList& spaces_;
  ContentTable table_;
  PageMerger merger_;
  JoinsToCome joins_;
  std::vector<Member> members_ PAGODA_GUARDED_BY(spaces_.lock);                            // By number.
  std::vector<Domain> domains_ PAGODA_GUARDED_BY(spaces_.lock);                            // By number.
  std::map<std::uint32_t, MemberNumber> number_of_space_ PAGODA_GUARDED_BY(spaces_.lock);  // By the space's id.
  std::map<SharingDomain, DomainNumber> number_of_domain_ PAGODA_GUARDED_BY(spaces_.lock);
  std::size_t next_member_ PAGODA_GUARDED_BY(spaces_.lock) = 0;
  std::vector<std::uint32_t> upcoming_ PAGODA_GUARDED_BY(spaces_.lock);  // Slots.
  std::vector<PageMerger::Candidate> turn_ PAGODA_GUARDED_BY(spaces_.lock);
  std::vector<std::optional<ContentTable::Key>> keys_ PAGODA_GUARDED_BY(spaces_.lock);  // Of the turn.
  std::vector<Match> matches_ PAGODA_GUARDED_BY(spaces_.lock);
  std::vector<std::uint32_t> withheld_ PAGODA_GUARDED_BY(spaces_.lock);  // Slots.
  ScanRate rate_ PAGODA_GUARDED_BY(spaces_.lock);
  Random random_ PAGODA_GUARDED_BY(spaces_.lock);
  alignas(64) std::array<std::byte, kPageBytes> copy_ PAGODA_GUARDED_BY(spaces_.lock){};
  alignas(64) std::array<std::byte, kPageBytes> racy_ PAGODA_GUARDED_BY(spaces_.lock){};
};

}  // namespace pagoda::mm
