// Who takes part in sharing, in which domains, and how fast it goes.
#include <algorithm>

#include "pagoda/mm/combine/combiner.h"

namespace pagoda::mm {

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
  while (number < members_.size() && members_[number].pages != nullptr) ++number;
  if (number == ContentTable::kMostOwners) return fail(Status::kInsufficientResources);
  const DomainNumber domain = PAGODA_TRY(enter_domain(space.sharing_domain()));
  if (number == members_.size()) members_.emplace_back();
  const MemberNumber member{static_cast<std::uint32_t>(number)};
  members_[number] = {};
  members_[number].pages = std::make_unique<MemberPages>(
      MemberPages::Common{core_, table_, merger_, joins_}, space,
      MemberPages::Identity{.number = member, .domain = domain, .salt = salt(space.sharing_domain())});
  const LockGuard guard(core_.pfns.lock);
  table_.set_domain(member, domain);
  return number_of_space_[space.id()] = member;
}

Result<> Combiner::enter_and_allow(ProcessSpace& space) {
  Member& member = member_of(PAGODA_TRY(enter(space)));
  member.is_allowed = true;
  const LockGuard guard(space.lock);
  space.set_sharer(member.pages.get());
  return {};
}

Result<> Combiner::allow(ProcessSpace& space) {
  const LockGuard guard(spaces_.lock);
  return enter_and_allow(space);
}

Result<> Combiner::allow(ProcessSpace& space, SharingDomain domain) {
  const LockGuard guard(spaces_.lock);
  if (!number_of_space_.contains(space.id())) {
    PAGODA_TRY(space.set_sharing_domain(domain));
  } else if (space.sharing_domain() != domain) {
    return fail(Status::kInvalidParameter);
  }
  return enter_and_allow(space);
}

void Combiner::forbid(ProcessSpace& space) {
  const LockGuard guard(spaces_.lock);
  const auto found = number_of_space_.find(space.id());
  if (found == number_of_space_.end()) return;
  member_of(found->second).is_allowed = false;
  const LockGuard space_guard(space.lock);
  space.set_sharer(nullptr);
}

bool Combiner::is_allowed(const ProcessSpace& space) const {
  const LockGuard guard(spaces_.lock);
  const auto found = number_of_space_.find(space.id());
  return found != number_of_space_.end() && members_[static_cast<std::size_t>(found->second)].is_allowed;
}

void Combiner::forget(ProcessSpace& space) {
  spaces_.lock.assert_held();
  const auto found = number_of_space_.find(space.id());
  if (found == number_of_space_.end()) return;
  const MemberNumber number = found->second;
  {
    const LockGuard guard(core_.pfns.lock);
    table_.sweep(table_.end(), [&](const ContentTable::Hint& hint, std::uint32_t) { return hint.member == number; });
  }
  {
    const LockGuard guard(space.lock);
    space.set_sharer(nullptr);
  }
  leave_domain(member_of(number).pages->domain());
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
  return at < members_.size() && members_[at].pages ? &members_[at].pages->space() : nullptr;
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

// --- How fast ---

void Combiner::set_scan_rate(const ScanRate& rate) {
  PAGODA_CHECK(rate.period > Duration{});
  const LockGuard guard(spaces_.lock);
  rate_ = rate;
}

ScanRate Combiner::scan_rate() const {
  const LockGuard guard(spaces_.lock);
  return rate_;
}

}  // namespace pagoda::mm
