#include "pagoda/mm/combine/combiner.h"

#include <algorithm>
#include <cstring>

#include "pagoda/base/zero_scan.h"
#include "pagoda/mm/ws/eviction_batch.h"

namespace pagoda::mm {

namespace {

// Pages of one space that are looked at before its lock is let go: some 20 microseconds. A choice.
constexpr std::uint64_t kPagesOfTurn = 32;
// Slots of a working set that are passed over for each page that may be looked at: what is shared already, or locked,
// costs a look at its entry.
constexpr std::uint32_t kSlotsOfPage = 16;
// Hints that a sweep looks at for each page that was looked at: it is around while a pass is.
constexpr std::uint32_t kSweptOfPage = 4;
// Passes of a member after which a hint that was not confirmed is stale; by yield, a page may be looked at in one round of
// sixteen.
constexpr std::uint32_t kStaleAfter = 2;
constexpr std::uint32_t kStaleAfterByYield = 2 * 16;

// Most pages are in no cache, and lie anywhere: the next one is on its way while this one is hashed. To the second cache: the
// first can wait for too few lines at a time.
void prefetch(const Processor& cpu, Pfn frame) {
  if (!cpu.physical().is_contiguous()) return;  // A guest's would have to be brought in.
  const std::byte* const bytes = cpu.physical().bytes(frame, machine::Access::kRead).data();
  for (std::uint64_t line = 0; line < kPageBytes; line += 64) __builtin_prefetch(bytes + line, 0, 2);
}

PageCount entries_of(const Core& core) {
  const PageCount wanted = core.tunables.sharing.table_entries;
  return wanted.is_zero() ? core.machine.frame_count() : wanted;
}

}  // namespace

Combiner::Combiner(Core& core, SpaceList& spaces)
    : core_(core),
      spaces_(spaces),
      table_(core.prototypes, entries_of(core), core.tunables.sharing.hash_bits),
      merger_(core, table_),
      rate_(ScanRate::of(core.tunables.sharing)),
      random_(core.tunables.sharing.salt_seed) {}

// --- Looking for equal pages ---

PageCount Combiner::scan(Processor& cpu, const Budget& budget) {
  const LockGuard guard(spaces_.lock);
  PageCount looked;
  for (std::size_t turn = 0; turn < members_.size() && looked < budget.in_all; ++turn) {
    if (next_member_ >= members_.size()) next_member_ = 0;
    const MemberNumber number{static_cast<std::uint32_t>(next_member_++)};
    if (member_of(number).is_allowed)
      looked += scan_member(cpu, number, std::min(budget.of_space, budget.in_all - looked));
  }
  const LockGuard pfn_guard(core_.pfns.lock);
  core_.counters.sharing_scanned += looked.value();
  table_.sweep(
      static_cast<std::uint32_t>(std::min<std::uint64_t>(looked.value() * kSweptOfPage, table_.end())),
      [&](const ContentTable::Hint& hint, std::uint32_t pass) {
        spaces_.lock.assert_held();
        const std::uint32_t now = member_of(hint.member).pass;
        return (now - pass) % ContentTable::kPasses >=
               (core_.tunables.sharing.order == SharingTunables::Order::kRandom ? kStaleAfter : kStaleAfterByYield);
      });
  return looked;
}

std::uint64_t Combiner::choose(ProcessSpace& space, const Processor& cpu, MemberNumber number, PageCount most,
                               std::uint64_t slots) {
  turn_.clear();
  const WorkingSet& ws = space.working_set();
  if (ws.end_slot() == 0) return 0;
  Member& member = member_of(number);
  slots = std::min<std::uint64_t>(slots, ws.end_slot());  // No page twice.
  most = std::min(most, PageCount(kPagesOfTurn));
  bool is_visit_over = false;
  while (slots > 0 && turn_.size() < most.value() && (turn_.empty() || !is_visit_over)) {
    upcoming_.clear();
    do {
      const ScanOrder::Step step = member.order.next(ws.end_slot(), core_.tunables.sharing.order, random_);
      if (step.begins_pass) member.pass = (member.pass + 1) % ContentTable::kPasses;
      upcoming_.push_back(step.slot);
      __builtin_prefetch(&ws[step.slot]);
      is_visit_over = member.order.is_visit_over(ws.end_slot());
    } while (--slots > 0 && turn_.size() + upcoming_.size() < most.value() && !is_visit_over);
    prefetch_entries(space, cpu);
    for (const std::uint32_t slot : upcoming_) {
      member.order.note(slot, ws[slot].is_valid() && ws[slot].is_shared());
      if (const auto page = merger_.candidate(space, cpu, slot)) turn_.push_back(*page);
    }
  }
  return slots;
}

// All lie anywhere, and each leads to the next: they are on their way together.
void Combiner::prefetch_entries(ProcessSpace& space, const Processor& cpu) const {
  if (!cpu.physical().is_contiguous()) return;  // A guest's would have to be brought in.
  const WorkingSet& ws = space.working_set();
  for (const std::uint32_t slot : upcoming_) {
    if (!ws[slot].is_valid()) continue;
    const PhysicalAddress pte = ws[slot].pte();
    __builtin_prefetch(cpu.physical().bytes(pte.pfn(), machine::Access::kRead).data() + pte.page_offset());
  }
  for (const std::uint32_t slot : upcoming_) {
    if (!ws[slot].is_valid()) continue;
    const Pfn frame = core_.codec.frame(core_.load(cpu, ws[slot].pte()));
    if (core_.pfns.contains(frame)) __builtin_prefetch(&core_.pfns.entry(frame));
  }
}

void Combiner::note_merged(ProcessSpace& space, MemberNumber number) {
  const LockGuard guard(space.lock);
  const WorkingSet& ws = space.working_set();
  for (const PageMerger::Candidate& page : turn_)
    member_of(number).order.note(page.slot, ws[page.slot].is_valid() && ws[page.slot].is_shared());
}

PageCount Combiner::scan_member(Processor& cpu, MemberNumber number, PageCount most) {
  ProcessSpace& space = member_of(number).pages->space();
  PageCount looked;
  std::uint64_t slots = most.value() * kSlotsOfPage;
  while (looked < most && slots > 0) {
    {
      const LockGuard guard(space.lock);
      slots = choose(space, cpu, number, most - looked, slots);
      hash_turn(space, cpu, number);
      // What was chosen twice, where one pass ends and the next begins, has changed since.
      for (std::size_t i = 0; i < turn_.size(); ++i)
        if (keys_[i] && core_.load(cpu, turn_[i].pte) == turn_[i].raw) look_up(space, cpu, number, turn_[i], *keys_[i]);
      if (!withheld_.empty()) evict_withheld(space, cpu);
      looked += PageCount(turn_.size());
    }
    for (const Match& match : matches_) settle(cpu, match);
    matches_.clear();
    if (core_.tunables.sharing.order == SharingTunables::Order::kByYield) note_merged(space, number);
  }
  return looked;
}

PageBytes Combiner::read(const machine::FrameView& view) {
  if constexpr (!machine::kRacesAreWatched) return view.bytes();
  machine::copy_shared(racy_.data(), view.data(), kPageBytes);
  return racy_;
}

void Combiner::evict_withheld(ProcessSpace& space, Processor& cpu) {
  EvictionBatch batch(space, cpu);
  for (const std::uint32_t slot : withheld_)
    if (space.working_set()[slot].is_valid()) batch.add(slot);  // Else it was chosen twice.
  batch.flush();
  withheld_.clear();
}

void Combiner::hash_turn(ProcessSpace& space, Processor& cpu, MemberNumber number) {
  keys_.clear();
  for (std::size_t i = 0; i < turn_.size(); ++i) {
    if (i + 1 < turn_.size()) prefetch(cpu, turn_[i + 1].frame);
    const bool is_same = core_.load(cpu, turn_[i].pte) == turn_[i].raw;
    keys_.push_back(is_same ? hash(space, cpu, number, turn_[i]) : std::nullopt);
  }
  const LockGuard guard(core_.pfns.lock);
  for (const auto& key : keys_)
    if (key) table_.prefetch_bucket(*key);
  for (const auto& key : keys_)
    if (key) table_.prefetch_entry(*key);
}

std::optional<ContentTable::Key> Combiner::hash(ProcessSpace& space, Processor& cpu, MemberNumber number,
                                                const PageMerger::Candidate& page) {
  if (page.is_published) {
    withheld_.push_back(page.slot);
    return std::nullopt;
  }
  MemberPages& pages = *member_of(number).pages;
  const machine::FrameView view = cpu.physical().bytes(page.frame, machine::Access::kRead);
  const PageBytes bytes = read(view);
  if (core_.tunables.sharing.zeros == SharingTunables::Zeros::kDemandZero && is_zero(bytes)) {
    const PageMerger::Outcome outcome = merger_.forget_zeros(space, cpu, page);
    const LockGuard guard(core_.pfns.lock);
    pages.count(outcome);
    return std::nullopt;
  }
  cpu.charge(core_.machine.costs().hash_page);
  return pages.key(bytes, page.protection);
}

void Combiner::look_up(ProcessSpace& space, Processor& cpu, MemberNumber number, const PageMerger::Candidate& page,
                       ContentTable::Key key) {
  space.lock.assert_held();
  MemberPages& pages = *member_of(number).pages;
  ContentTable::Found found;
  {
    const LockGuard guard(core_.pfns.lock);
    if (!merger_.is_free_to_go(page)) {
      pages.count(PageMerger::Outcome::kCannot);
      return;
    }
    found = table_.find(key, {number, page.page});
    if (found.own != ContentTable::kNone) table_.confirm(found.own, member_of(number).pass);
  }
  if (core_.tunables.sharing.combine == SharingTunables::Combine::kSameBehaviour) {
    if (copy(cpu, number, page, key) && pages.withhold(cpu, page, copy_, key) == PageMerger::Outcome::kDone)
      withheld_.push_back(page.slot);
    return;
  }
  if (found.shared_count > 0 && pages.join(cpu, page, found) != PageMerger::Outcome::kDiffers) return;
  if (found.hint != ContentTable::kNone) {
    matches_.push_back({number, page.page, found.hint});
  } else if (found.own == ContentTable::kNone && found.shared_count == 0) {
    remember(cpu, number, page, key);
  }
}

bool Combiner::copy(const Processor& cpu, MemberNumber number, const PageMerger::Candidate& page,
                    ContentTable::Key key) {
  const machine::FrameView view = cpu.physical().bytes(page.frame, machine::Access::kRead);
  machine::copy_shared(copy_.data(), view.data(), kPageBytes);
  return member_of(number).pages->key(copy_, page.protection) == key;
}

void Combiner::remember(Processor& cpu, MemberNumber number, const PageMerger::Candidate& page, ContentTable::Key key) {
  Member& member = member_of(number);
  if (core_.tunables.sharing.hints == SharingTunables::Hints::kNo) {
    if (copy(cpu, number, page, key)) static_cast<void>(member.pages->publish(cpu, page, copy_, key));
    return;
  }
  const LockGuard guard(core_.pfns.lock);
  if (table_.add_hint(key, {number, page.page}, member.pass)) {
    ++core_.counters.sharing_hints;
  } else {
    ++core_.counters.sharing_table_full;
  }
}

void Combiner::settle(Processor& cpu, const Match& match) {
  MemberPages& pages = *member_of(match.member).pages;
  ProcessSpace& space = pages.space();
  ContentTable::Key key;
  Protection protection{};
  {
    const LockGuard guard(space.lock);
    const auto page = merger_.candidate_at(space, cpu, match.page);
    if (!page) return;
    protection = page->protection;
    const machine::FrameView view = cpu.physical().bytes(page->frame, machine::Access::kRead);
    machine::copy_shared(copy_.data(), view.data(), kPageBytes);
    cpu.charge(core_.machine.costs().copy_page);
    key = pages.key(copy_, protection);
  }
  if (!publish(cpu, match, key, protection)) return;
  const LockGuard guard(space.lock);
  const auto page = merger_.candidate_at(space, cpu, match.page);
  if (!page) return;
  const PageMerger::Outcome outcome = merger_.merge(space, cpu, *page, match.entry, pages.domain());
  const LockGuard pfn_guard(core_.pfns.lock);
  pages.count(outcome);
}

bool Combiner::publish(Processor& cpu, const Match& match, ContentTable::Key key, Protection protection) {
  const std::uint32_t entry = match.entry;
  ContentTable::Hint hint;
  {
    const LockGuard guard(core_.pfns.lock);
    // Another match of this turn may have been there first, or a page that left.
    if (!table_.is_used(entry) || !table_.fits(entry, key) ||
        table_.domain(entry) != member_of(match.member).pages->domain())
      return false;
    if (table_.is_shared(entry)) return true;
    hint = table_.hint(entry);
  }
  MemberPages& pages = *member_of(hint.member).pages;
  ProcessSpace& space = pages.space();
  const LockGuard guard(space.lock);
  const auto page = merger_.candidate_at(space, cpu, hint.page);
  bool is_stale = !page.has_value();
  if (page) {
    const machine::FrameView view = cpu.physical().bytes(page->frame, machine::Access::kRead);
    const PageBytes bytes = read(view);
    cpu.charge(core_.machine.costs().compare_page);
    if (page->protection != protection || std::memcmp(bytes.data(), copy_.data(), kPageBytes) != 0) {
      cpu.charge(core_.machine.costs().hash_page);
      is_stale = pages.key(bytes, page->protection) != key;
      if (!is_stale) {
        const LockGuard pfn_guard(core_.pfns.lock);
        pages.count(PageMerger::Outcome::kDiffers);
        return false;
      }
    }
  }
  if (is_stale) {
    const LockGuard pfn_guard(core_.pfns.lock);
    if (table_.is_hint_of(entry, hint)) table_.drop_hint(entry);
    ++core_.counters.sharing_stale_hints;
    return false;
  }
  const PageMerger::Outcome outcome = merger_.publish(space, cpu, *page, copy_, [&](VirtualAddress prototype) {
    core_.pfns.lock.assert_held();
    if (!table_.is_hint_of(entry, hint)) return false;
    table_.make_shared(entry, prototype, pages.domain());
    return true;
  });
  if (outcome == PageMerger::Outcome::kDone) return true;
  // Its next twin is remembered in its place.
  const LockGuard pfn_guard(core_.pfns.lock);
  if (table_.is_hint_of(entry, hint)) table_.drop_hint(entry);
  pages.count(PageMerger::Outcome::kCannot);
  return false;
}

// --- What left meanwhile ---

bool Combiner::any_to_join() const {
  const LockGuard guard(core_.pfns.lock);
  return !joins_.empty();
}

void Combiner::join_late(Processor& cpu) {
  spaces_.lock.assert_held();
  std::vector<JoinsToCome::Join> joins;
  {
    const LockGuard guard(core_.pfns.lock);
    joins = joins_.take();
  }
  for (const JoinsToCome::Join& join : joins) {
    // Its space may have ended, and another have its number.
    const Member& member = member_of(join.page.member);
    if (!member.is_allowed) continue;
    ProcessSpace& space = member.pages->space();
    const LockGuard guard(space.lock);
    const auto page = merger_.candidate_at(space, cpu, join.page.page);
    if (!page || page->is_published) continue;
    cpu.charge(core_.machine.costs().hash_page);
    const PageBytes bytes = read(cpu.physical().bytes(page->frame, machine::Access::kRead));
    const ContentTable::Key key = member.pages->key(bytes, page->protection);
    ContentTable::Found found;
    {
      const LockGuard pfn_guard(core_.pfns.lock);
      if (!table_.is_used(join.entry) || !table_.is_shared(join.entry) ||
          table_.domain(join.entry) != member.pages->domain())
        continue;
      if (!table_.fits(join.entry, key)) {
        ++core_.counters.sharing_stale_hints;
        continue;
      }
      found.shared[found.shared_count++] = join.entry;
    }
    const PageMerger::Outcome outcome = member.pages->join(cpu, *page, found);
    const LockGuard pfn_guard(core_.pfns.lock);
    if (outcome == PageMerger::Outcome::kDone) ++core_.counters.sharing_offers_merged;
  }
}

}  // namespace pagoda::mm
