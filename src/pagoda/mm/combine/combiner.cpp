#include "pagoda/mm/combine/combiner.h"

#include <algorithm>
#include <cstring>

#include "pagoda/base/zero_scan.h"

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

// Most pages are in no cache, and lie anywhere: the next one is on its way while this one is hashed.
void prefetch(const Processor& cpu, Pfn frame) {
  if (!cpu.physical().is_contiguous()) return;  // A guest's would have to be brought in.
  const std::byte* const bytes = cpu.physical().bytes(frame, machine::Access::kRead).data();
  for (std::uint64_t line = 0; line < kPageBytes; line += 64) __builtin_prefetch(bytes + line);
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
      random_(core.tunables.sharing.salt_seed) {}

// --- Who takes part ---

Result<DomainNumber> Combiner::enter_domain(SharingDomain domain) {
  if (const auto found = number_of_domain_.find(domain); found != number_of_domain_.end()) {
    ++domains_[static_cast<std::size_t>(found->second)].members;
    return found->second;
  }
  std::size_t number = 0;
  while (number < domains_.size() && domains_[number].members > 0) ++number;
  if (number == ContentTable::kMostOwners) return fail(Status::kInsufficientResources);
  if (number == domains_.size()) domains_.emplace_back();
  domains_[number] = {.domain = domain, .members = 1};
  return number_of_domain_[domain] = DomainNumber{static_cast<std::uint32_t>(number)};
}

void Combiner::leave_domain(DomainNumber number) {
  Domain& left = domains_[static_cast<std::size_t>(number)];
  if (--left.members == 0) number_of_domain_.erase(left.domain);
}

Result<MemberNumber> Combiner::enter(ProcessSpace& space) {
  if (const auto found = number_of_space_.find(space.id()); found != number_of_space_.end()) return found->second;
  std::size_t number = 0;
  while (number < members_.size() && members_[number].space != nullptr) ++number;
  if (number == ContentTable::kMostOwners) return fail(Status::kInsufficientResources);
  const DomainNumber domain = PAGODA_TRY(enter_domain(space.sharing_domain()));
  if (number == members_.size()) members_.emplace_back();
  members_[number] = {};
  members_[number].space = &space;
  members_[number].domain = domain;
  members_[number].salt = salt(space.sharing_domain());
  return number_of_space_[space.id()] = MemberNumber{static_cast<std::uint32_t>(number)};
}

Result<> Combiner::allow(ProcessSpace& space) {
  const LockGuard guard(spaces_.lock);
  member_of(PAGODA_TRY(enter(space))).is_allowed = true;
  return {};
}

Result<> Combiner::allow(ProcessSpace& space, SharingDomain domain) {
  const LockGuard guard(spaces_.lock);
  if (!number_of_space_.contains(space.id())) {
    PAGODA_TRY(space.set_sharing_domain(domain));
  } else if (space.sharing_domain() != domain) {
    return fail(Status::kInvalidParameter);
  }
  member_of(PAGODA_TRY(enter(space))).is_allowed = true;
  return {};
}

void Combiner::forbid(ProcessSpace& space) {
  const LockGuard guard(spaces_.lock);
  if (const auto found = number_of_space_.find(space.id()); found != number_of_space_.end())
    member_of(found->second).is_allowed = false;
}

bool Combiner::is_allowed(const ProcessSpace& space) const {
  const LockGuard guard(spaces_.lock);
  const auto found = number_of_space_.find(space.id());
  return found != number_of_space_.end() && members_[static_cast<std::size_t>(found->second)].is_allowed;
}

void Combiner::forget(const ProcessSpace& space) {
  spaces_.lock.assert_held();
  const auto found = number_of_space_.find(space.id());
  if (found == number_of_space_.end()) return;
  const MemberNumber number = found->second;
  {
    const LockGuard guard(core_.pfns.lock);
    table_.sweep(table_.end(), [&](const ContentTable::Hint& hint, std::uint32_t) { return hint.member == number; });
  }
  leave_domain(member_of(number).domain);
  member_of(number) = {};
  number_of_space_.erase(found);
}

bool Combiner::has_members() const {
  const LockGuard guard(spaces_.lock);
  return std::ranges::any_of(members_, [](const Member& member) { return member.is_allowed; });
}

const ProcessSpace* Combiner::member(MemberNumber number) const {
  spaces_.lock.assert_held();
  const auto at = static_cast<std::size_t>(number);
  return at < members_.size() ? members_[at].space : nullptr;
}

std::optional<SharingDomain> Combiner::domain(DomainNumber number) const {
  spaces_.lock.assert_held();
  const auto at = static_cast<std::size_t>(number);
  if (at >= domains_.size() || domains_[at].members == 0) return std::nullopt;
  return domains_[at].domain;
}

std::uint64_t Combiner::salt(SharingDomain domain) const {
  return Random::mix(core_.tunables.sharing.salt_seed ^ Random::mix(static_cast<std::uint64_t>(domain)));
}

Combiner::Statistics Combiner::statistics() const {
  const LockGuard guard(core_.pfns.lock);
  return {.shared = table_.shared(), .saved = table_.saved(), .hints = table_.hints()};
}

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
  for (; slots > 0 && turn_.size() < std::min(kPagesOfTurn, most.value()); --slots) {
    const ScanOrder::Step step = member.order.next(ws.end_slot(), core_.tunables.sharing.order, random_);
    if (step.begins_pass) member.pass = (member.pass + 1) % ContentTable::kPasses;
    member.order.note(step.slot, ws[step.slot].is_valid() && ws[step.slot].is_shared());
    if (const auto page = merger_.candidate(space, cpu, step.slot)) turn_.push_back(*page);
    if (!turn_.empty() && member.order.is_visit_over(ws.end_slot())) return slots - 1;
  }
  return slots;
}

void Combiner::note_merged(ProcessSpace& space, MemberNumber number) {
  const LockGuard guard(space.lock);
  const WorkingSet& ws = space.working_set();
  for (const PageMerger::Candidate& page : turn_)
    member_of(number).order.note(page.slot, ws[page.slot].is_valid() && ws[page.slot].is_shared());
}

PageCount Combiner::scan_member(Processor& cpu, MemberNumber number, PageCount most) {
  ProcessSpace& space = *member_of(number).space;
  PageCount looked;
  std::uint64_t slots = most.value() * kSlotsOfPage;
  while (looked < most && slots > 0) {
    {
      const LockGuard guard(space.lock);
      slots = choose(space, cpu, number, most - looked, slots);
      for (std::size_t i = 0; i < turn_.size(); ++i) {
        if (i + 1 < turn_.size()) prefetch(cpu, turn_[i + 1].frame);
        // What was chosen twice, where one pass ends and the next begins, has changed since.
        if (core_.load(cpu, turn_[i].pte) == turn_[i].raw) look_at(space, cpu, number, turn_[i]);
      }
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

Combiner::Found Combiner::find(const Member& member, MemberNumber number, Vpn page, ContentTable::Key key) {
  Found found;
  for (std::uint32_t at = table_.first(key); at != ContentTable::kNone; at = table_.next(at)) {
    if (table_.is_shared(at)) {
      if (table_.domain(at) == member.domain && found.shared_count < found.shared.size())
        found.shared[found.shared_count++] = at;
      continue;
    }
    const ContentTable::Hint hint = table_.hint(at);
    if (hint.member == number && hint.page == page) {
      found.own = at;
    } else if (found.hint == ContentTable::kNone && member_of(hint.member).domain == member.domain) {
      found.hint = at;
    }
  }
  return found;
}

void Combiner::look_at(ProcessSpace& space, Processor& cpu, MemberNumber number, const PageMerger::Candidate& page) {
  const Member& member = member_of(number);
  const machine::FrameView view = cpu.physical().bytes(page.frame, machine::Access::kRead);
  const PageBytes bytes = read(view);
  if (core_.tunables.sharing.zeros == SharingTunables::Zeros::kDemandZero && is_zero(bytes)) {
    const PageMerger::Outcome outcome = merger_.forget_zeros(space, cpu, page);
    const LockGuard guard(core_.pfns.lock);
    count_outcome(outcome);
    return;
  }
  cpu.charge(core_.machine.costs().hash_page);
  const ContentTable::Key key = table_.key(bytes, member.salt, page.protection);
  Found found;
  {
    const LockGuard guard(core_.pfns.lock);
    if (!merger_.is_free_to_go(page)) {
      count_outcome(PageMerger::Outcome::kCannot);
      return;
    }
    found = find(member, number, page.page, key);
    if (found.own != ContentTable::kNone) table_.confirm(found.own, member.pass);
  }
  for (std::size_t i = 0; i < found.shared_count; ++i) {
    const PageMerger::Outcome outcome = merger_.merge(space, cpu, page, found.shared[i]);
    const LockGuard guard(core_.pfns.lock);
    count_outcome(outcome);
    if (outcome == PageMerger::Outcome::kDiffers) continue;
    if (outcome == PageMerger::Outcome::kDone && found.own != ContentTable::kNone) table_.drop_hint(found.own);
    return;
  }
  if (found.hint != ContentTable::kNone) {
    matches_.push_back({number, page.page, found.hint});
  } else if (found.own == ContentTable::kNone && found.shared_count == 0) {
    remember(space, cpu, number, page, key);
  }
}

void Combiner::remember(ProcessSpace& space, Processor& cpu, MemberNumber number, const PageMerger::Candidate& page,
                        ContentTable::Key key) {
  const Member& member = member_of(number);
  if (core_.tunables.sharing.hints == SharingTunables::Hints::kYes) {
    const LockGuard guard(core_.pfns.lock);
    if (table_.add_hint(key, {number, page.page}, member.pass)) {
      ++core_.counters.sharing_hints;
    } else {
      ++core_.counters.sharing_table_full;
    }
    return;
  }
  {
    const machine::FrameView view = cpu.physical().bytes(page.frame, machine::Access::kRead);
    machine::copy_shared(copy_.data(), view.data(), kPageBytes);
  }
  if (table_.key(copy_, member.salt, page.protection) != key) return;  // Written meanwhile.
  const PageMerger::Outcome outcome = merger_.publish(space, cpu, page, copy_, [&](VirtualAddress prototype) {
    core_.pfns.lock.assert_held();
    const bool added = table_.add_shared(key, prototype, member.domain);
    if (!added) ++core_.counters.sharing_table_full;
    return added;
  });
  const LockGuard guard(core_.pfns.lock);
  count_outcome(outcome);
}

void Combiner::settle(Processor& cpu, const Match& match) {
  ProcessSpace& space = *member_of(match.member).space;
  const Member& member = member_of(match.member);
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
    key = table_.key(copy_, member.salt, protection);
  }
  if (!publish(cpu, match.entry, key, protection)) return;
  const LockGuard guard(space.lock);
  const auto page = merger_.candidate_at(space, cpu, match.page);
  if (!page) return;
  const PageMerger::Outcome outcome = merger_.merge(space, cpu, *page, match.entry);
  const LockGuard pfn_guard(core_.pfns.lock);
  count_outcome(outcome);
}

bool Combiner::publish(Processor& cpu, std::uint32_t entry, ContentTable::Key key, Protection protection) {
  ContentTable::Hint hint;
  {
    const LockGuard guard(core_.pfns.lock);
    // Another match of this turn may have been there first.
    if (!table_.is_used(entry) || !table_.fits(entry, key)) return false;
    if (table_.is_shared(entry)) return true;
    hint = table_.hint(entry);
  }
  const Member& member = member_of(hint.member);
  const LockGuard guard(member.space->lock);
  const auto page = merger_.candidate_at(*member.space, cpu, hint.page);
  bool is_stale = !page.has_value();
  if (page) {
    const machine::FrameView view = cpu.physical().bytes(page->frame, machine::Access::kRead);
    const PageBytes bytes = read(view);
    cpu.charge(core_.machine.costs().compare_page);
    if (page->protection != protection || std::memcmp(bytes.data(), copy_.data(), kPageBytes) != 0) {
      cpu.charge(core_.machine.costs().hash_page);
      is_stale = table_.key(bytes, member.salt, page->protection) != key;
      if (!is_stale) {
        const LockGuard pfn_guard(core_.pfns.lock);
        count_outcome(PageMerger::Outcome::kDiffers);
        return false;
      }
    }
  }
  if (is_stale) {
    const LockGuard pfn_guard(core_.pfns.lock);
    table_.drop_hint(entry);
    ++core_.counters.sharing_stale_hints;
    return false;
  }
  const PageMerger::Outcome outcome = merger_.publish(*member.space, cpu, *page, copy_, [&](VirtualAddress prototype) {
    core_.pfns.lock.assert_held();
    table_.make_shared(entry, prototype, member.domain);
    return true;
  });
  if (outcome == PageMerger::Outcome::kDone) return true;
  // Its next twin is remembered in its place.
  const LockGuard pfn_guard(core_.pfns.lock);
  table_.drop_hint(entry);
  count_outcome(PageMerger::Outcome::kCannot);
  return false;
}

void Combiner::count_outcome(PageMerger::Outcome outcome) {
  switch (outcome) {
    case PageMerger::Outcome::kDone:
      break;
    case PageMerger::Outcome::kDiffers:
      ++core_.counters.sharing_false_matches;
      break;
    case PageMerger::Outcome::kCannot:
      ++core_.counters.sharing_put_off;
      break;
  }
}

}  // namespace pagoda::mm
