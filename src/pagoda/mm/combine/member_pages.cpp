#include "pagoda/mm/combine/member_pages.h"

#include <array>
#include <cstring>

#include "pagoda/base/zero_scan.h"

namespace pagoda::mm {

void MemberPages::count(Outcome outcome) {
  core_.pfns.lock.assert_held();
  switch (outcome) {
    case Outcome::kDone:
      break;
    case Outcome::kDiffers:
      ++core_.counters.sharing_false_matches;
      break;
    case Outcome::kCannot:
      ++core_.counters.sharing_put_off;
      break;
  }
}

MemberPages::Outcome MemberPages::join(Processor& cpu, const PageMerger::Candidate& page,
                                       const ContentTable::Found& found) {
  space_.lock.assert_held();
  Outcome outcome = Outcome::kDiffers;
  for (const std::uint32_t entry : found.all_shared()) {
    outcome = merger_.merge(space_, cpu, page, entry, identity_.domain);
    const LockGuard guard(core_.pfns.lock);
    count(outcome);
    if (outcome == Outcome::kDiffers) continue;
    if (outcome == Outcome::kDone && found.own != ContentTable::kNone &&
        table_.is_hint_of(found.own, {identity_.number, page.page}))
      table_.drop_hint(found.own);
    break;
  }
  return outcome;
}

MemberPages::Outcome MemberPages::publish(Processor& cpu, const PageMerger::Candidate& page, PageBytes bytes, Key key) {
  space_.lock.assert_held();
  const Outcome outcome = merger_.publish(space_, cpu, page, bytes, [&](VirtualAddress prototype) {
    core_.pfns.lock.assert_held();
    const bool added = table_.add_shared(key, prototype, identity_.domain);
    if (!added) ++core_.counters.sharing_table_full;
    return added;
  });
  const LockGuard guard(core_.pfns.lock);
  count(outcome);
  return outcome;
}

bool MemberPages::may_publish() const {
  if (core_.prototypes.find_clone_entry()) return true;
  return core_.pfns.available() >= kFaultReserve * 2 && core_.commit.charged() < core_.commit.limit();
}

MemberPages::Outcome MemberPages::withhold(Processor& cpu, const PageMerger::Candidate& page, PageBytes bytes,
                                           Key key) {
  space_.lock.assert_held();
  ContentTable::Found found;
  {
    const LockGuard guard(core_.pfns.lock);
    if (table_.is_full()) {
      ++core_.counters.sharing_table_full;
      return Outcome::kCannot;
    }
    if (!may_publish()) {
      count(Outcome::kCannot);
      return Outcome::kCannot;
    }
    found = table_.find(key, {identity_.number, page.page});
  }
  Outcome outcome = join(cpu, page, found);
  if (outcome != Outcome::kDone) outcome = publish(cpu, page, bytes, key);
  if (outcome != Outcome::kDone) return outcome;
  const LockGuard guard(core_.pfns.lock);
  ++core_.counters.sharing_withheld;
  return outcome;
}

bool MemberPages::is_to_be_written(const PageMerger::Candidate& page) const {
  return PteCodec::is_dirty(page.raw) || core_.pfns.entry(page.frame).modified != 0;
}

void MemberPages::offer(Processor& cpu, std::uint32_t slot) {
  space_.lock.assert_held();
  const auto page = merger_.candidate(space_, cpu, slot);
  if (!page || page->is_published) return;
  {
    const LockGuard guard(core_.pfns.lock);
    if (!is_to_be_written(*page) || !merger_.is_free_to_go(*page)) return;
    ++core_.counters.sharing_offered;
  }
  alignas(64) std::array<std::byte, kPageBytes> bytes{};
  machine::copy_shared(bytes.data(), cpu.physical().bytes(page->frame, machine::Access::kRead).data(), kPageBytes);
  // Whoever takes it out of memory finds that it needs none.
  if (core_.tunables.sharing.zeros == SharingTunables::Zeros::kDemandZero && is_zero(PageBytes(bytes))) return;
  cpu.charge(core_.machine.costs().hash_page);
  const Key key = this->key(bytes, page->protection);
  if (core_.tunables.sharing.combine == SharingTunables::Combine::kSameBehaviour) {
    static_cast<void>(withhold(cpu, *page, bytes, key));
    return;
  }
  ContentTable::Found found;
  {
    const LockGuard guard(core_.pfns.lock);
    found = table_.find(key, {identity_.number, page->page});
  }
  if (found.shared_count > 0) {
    const Outcome outcome = join(cpu, *page, found);
    const LockGuard guard(core_.pfns.lock);
    if (outcome == Outcome::kDone) ++core_.counters.sharing_offers_merged;
  } else if (found.hint != ContentTable::kNone) {
    publish_for(cpu, *page, found.hint, bytes, key);
  }
}

std::optional<PageMerger::Candidate> MemberPages::twin(Processor& cpu, Vpn page, std::uint32_t hint, PageBytes bytes,
                                                       Protection protection) {
  const auto found = merger_.candidate_at(space_, cpu, page);
  bool is_stale = true;
  if (found) {
    cpu.charge(core_.machine.costs().compare_page);
    alignas(64) std::array<std::byte, kPageBytes> its{};
    machine::copy_shared(its.data(), cpu.physical().bytes(found->frame, machine::Access::kRead).data(), kPageBytes);
    if (found->protection == protection && std::memcmp(its.data(), bytes.data(), kPageBytes) == 0) return found;
    cpu.charge(core_.machine.costs().hash_page);
    is_stale = key(its, found->protection) != key(bytes, protection);
  }
  const LockGuard guard(core_.pfns.lock);
  if (!is_stale) {
    count(Outcome::kDiffers);
  } else if (table_.is_hint_of(hint, {identity_.number, page})) {
    table_.drop_hint(hint);
    ++core_.counters.sharing_stale_hints;
  }
  return std::nullopt;
}

void MemberPages::publish_for(Processor& cpu, const PageMerger::Candidate& page, std::uint32_t hint, PageBytes bytes,
                              Key key) {
  ContentTable::Hint named;
  {
    const LockGuard guard(core_.pfns.lock);
    // Another processor may have met it meanwhile.
    if (!table_.is_used(hint) || table_.is_shared(hint) || !table_.fits(hint, key) ||
        table_.domain(hint) != identity_.domain || !may_publish())
      return;
    named = table_.hint(hint);
  }
  std::optional<PageMerger::Candidate> equal;
  if (named.member == identity_.number) {
    equal = twin(cpu, named.page, hint, bytes, page.protection);
    if (!equal) return;
  }
  std::uint32_t entry = ContentTable::kNone;
  const Outcome published = merger_.publish(space_, cpu, page, bytes, [&](VirtualAddress prototype) {
    core_.pfns.lock.assert_held();
    if (table_.is_hint_of(hint, named) && table_.fits(hint, key)) {
      table_.make_shared(hint, prototype, identity_.domain);
    } else if (!table_.add_shared(key, prototype, identity_.domain)) {
      return false;
    }
    entry = table_.shared_entry(prototype);
    if (!equal) joins_.add({named, entry});
    return true;
  });
  Outcome outcome = published;
  if (published == Outcome::kDone && equal) outcome = merger_.merge(space_, cpu, *equal, entry, identity_.domain);
  const LockGuard guard(core_.pfns.lock);
  count(outcome);
  if (outcome == Outcome::kDone && equal) ++core_.counters.sharing_offers_merged;
}

}  // namespace pagoda::mm
