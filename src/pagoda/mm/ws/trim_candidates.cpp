#include "pagoda/mm/ws/trim_candidates.h"

#include <utility>

namespace pagoda::mm {

// A space's place on the lists, kept by its working set.
class TrimCandidates::Member final : public WorkingSet::Watcher {
 public:
  Member(TrimCandidates& lists, AddressSpace& space) : lists_(lists), id_(space.id()) {
    List one;
    one.emplace(id_, &space);
    spare_ = one.extract(id_);
  }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;
  ~Member() override { lists_.move(*this, WorkingSet::Trimmable::kNothing); }

  void may_be_trimmed(WorkingSet::Trimmable what) override { lists_.move(*this, what); }

 private:
  friend class TrimCandidates;
  TrimCandidates& lists_;
  const std::uint32_t id_;
  List::node_type spare_;  // While the space is on no list.
};

void TrimCandidates::move(Member& member, WorkingSet::Trimmable what) {
  const LockGuard guard(lock_);
  List::node_type node = std::move(member.spare_);
  if (node.empty()) node = above_.extract(member.id_);
  if (node.empty()) node = below_.extract(member.id_);
  switch (what) {
    case WorkingSet::Trimmable::kAboveMinimum:
      above_.insert(std::move(node));
      break;
    case WorkingSet::Trimmable::kBelowMinimum:
      below_.insert(std::move(node));
      break;
    case WorkingSet::Trimmable::kNothing:
      member.spare_ = std::move(node);
  }
}

void TrimCandidates::watch(AddressSpace& space) { space.working_set().watch(std::make_unique<Member>(*this, space)); }

void TrimCandidates::add_above_to(std::vector<AddressSpace*>& spaces) const {
  const LockGuard guard(lock_);
  for (const auto& [id, space] : above_) spaces.push_back(space);
}

AddressSpace* TrimCandidates::below(std::uint32_t id) const {
  const LockGuard guard(lock_);
  const auto found = below_.lower_bound(id);
  return found == below_.end() ? nullptr : found->second;
}

WorkingSet::Trimmable TrimCandidates::listed(const AddressSpace& space) const {
  const LockGuard guard(lock_);
  if (above_.contains(space.id())) return WorkingSet::Trimmable::kAboveMinimum;
  return below_.contains(space.id()) ? WorkingSet::Trimmable::kBelowMinimum : WorkingSet::Trimmable::kNothing;
}

}  // namespace pagoda::mm
