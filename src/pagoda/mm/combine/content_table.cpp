#include "pagoda/mm/combine/content_table.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "pagoda/base/interleave.h"

namespace pagoda::mm {

namespace {

// Two entries a chain when the table is full: with 4 bytes a bucket, an entry costs 18 bytes. A choice.
constexpr std::uint64_t kEntriesOfBucket = 2;
constexpr std::uint64_t kFewestBuckets = 64;

std::uint64_t buckets_for(PageCount entries) {
  return std::max(kFewestBuckets, std::bit_ceil(entries.value()) / kEntriesOfBucket);
}

}  // namespace

ContentTable::ContentTable(PrototypePool& pool, PageCount entries, unsigned hash_bits)
    : pool_(pool),
      key_mask_(~std::uint64_t{0} >> (64 - hash_bits)),
      bucket_bits_(static_cast<unsigned>(std::countr_zero(buckets_for(entries)))),
      bucket_mask_(static_cast<std::size_t>(buckets_for(entries) - 1)),
      buckets_(static_cast<std::size_t>(buckets_for(entries))),
      entries_(static_cast<std::size_t>(entries.value() + 1)) {
  PAGODA_CHECK(hash_bits >= 8 && hash_bits <= 64);
  PAGODA_CHECK_LT(entries.value(), std::uint64_t{kEnd});
  pool_.set_clone_watch(this);
}

ContentTable::~ContentTable() { pool_.set_clone_watch(nullptr); }

ContentTable::Hint ContentTable::hint(std::uint32_t number) const {
  const Entry& at = entry(number);
  PAGODA_DCHECK(at.is_used != 0 && at.is_shared == 0);
  return {MemberNumber{static_cast<std::uint32_t>(at.owner)}, Vpn(at.where)};
}

bool ContentTable::is_hint_of(std::uint32_t number, const Hint& page) const {
  if (PAGODA_FAULT_SWITCH(a_hint_is_trusted_to_stay_one)) return true;
  return is_used(number) && !is_shared(number) && hint(number) == page;
}

VirtualAddress ContentTable::prototype(std::uint32_t number) const {
  const Entry& at = entry(number);
  PAGODA_DCHECK(at.is_used != 0 && at.is_shared != 0);
  return pool_.entry_at(at.where);
}

DomainNumber ContentTable::domain(std::uint32_t number) const {
  const auto owner = static_cast<std::uint32_t>(entry(number).owner);
  return is_shared(number) ? DomainNumber{owner} : domains_[owner];
}

ContentTable::Found ContentTable::find(Key key, const Hint& page) const {
  Found found;
  const DomainNumber mine = domains_[static_cast<std::size_t>(page.member)];
  for (std::uint32_t at = first(key); at != kNone; at = next(at)) {
    if (domain(at) != mine) continue;
    if (is_shared(at)) {
      if (found.shared_count < found.shared.size()) found.shared[found.shared_count++] = at;
    } else if (const Hint seen = hint(at); seen.member == page.member && seen.page == page.page) {
      found.own = at;
    } else if (found.hint == kNone) {
      found.hint = at;
    }
  }
  return found;
}

void ContentTable::set_domain(MemberNumber member, DomainNumber domain) {
  const auto at = static_cast<std::size_t>(member);
  if (at >= domains_.size()) domains_.resize(at + 1);
  domains_[at] = domain;
}

std::size_t ContentTable::bucket_of_entry(std::uint32_t number) const {
  while ((entry(number).next & kEnd) == 0) number = static_cast<std::uint32_t>(entry(number).next);
  return static_cast<std::size_t>(entry(number).next & ~std::uint64_t{kEnd});
}

std::uint32_t ContentTable::add(Key key) {
  std::uint32_t number = free_;
  if (number != kNone) {
    free_ = static_cast<std::uint32_t>(entry(number).next);
  } else if (end_ < entries_.size()) {
    number = end_++;
  } else {
    return kNone;
  }
  const std::size_t bucket = bucket_of(key);
  const std::uint32_t head = buckets_[bucket];
  Entry& added = entry(number);
  added = {};
  added.next = head != kNone ? head : kEnd | static_cast<std::uint32_t>(bucket);
  added.is_used = 1;
  added.tag = tag_of(key) & kMostTag;
  buckets_[bucket] = number;
  return number;
}

void ContentTable::remove(std::uint32_t number) {
  const std::size_t bucket = bucket_of_entry(number);
  const std::uint32_t after = follow(number);
  if (buckets_[bucket] == number) {
    buckets_[bucket] = after;
  } else {
    std::uint32_t before = buckets_[bucket];
    while (follow(before) != number) before = follow(before);
    entry(before).next = entry(number).next;
  }
  entry(number) = {};
  entry(number).next = free_;
  free_ = number;
}

bool ContentTable::add_hint(Key key, const Hint& hint, std::uint32_t pass) {
  const std::uint32_t number = add(key);
  if (number == kNone) return false;
  Entry& added = entry(number);
  added.owner = static_cast<std::uint32_t>(hint.member) & (kMostOwners - 1);
  added.where = hint.page.value() & kMostWhere;
  added.pass = pass % kPasses;
  PAGODA_DCHECK_EQ(std::uint64_t{added.where}, hint.page.value());
  ++hints_;
  return true;
}

void ContentTable::drop_hint(std::uint32_t number) {
  PAGODA_DCHECK(entry(number).is_used != 0 && entry(number).is_shared == 0);
  remove(number);
  --hints_;
}

void ContentTable::make_shared(std::uint32_t number, VirtualAddress prototype, DomainNumber domain) {
  Entry& at = entry(number);
  PAGODA_DCHECK(at.is_used != 0 && at.is_shared == 0);
  at.owner = static_cast<std::uint32_t>(domain) & (kMostOwners - 1);
  at.pass = 0;
  at.where = pool_.place_of(prototype) & kMostWhere;
  at.is_shared = 1;
  pool_.set_clone_tag(prototype, number);
  --hints_;
  ++shared_;
}

bool ContentTable::add_shared(Key key, VirtualAddress prototype, DomainNumber domain) {
  if (!add_hint(key, {}, 0)) return false;
  make_shared(buckets_[bucket_of(key)], prototype, domain);
  return true;
}

void ContentTable::clone_ended(std::uint32_t number) {
  PAGODA_CHECK(entry(number).is_used != 0 && entry(number).is_shared != 0);
  remove(number);
  --shared_;
}

void ContentTable::check_chains(const std::function<void(const std::string&)>& finding) const {
  std::vector<std::uint8_t> seen(end_);
  const auto visit = [&](std::uint32_t number) {
    if (number == kNone || number >= end_ || seen[number] != 0) {
      finding("a chain leads to entry " + std::to_string(number) + ", which is in another place of it, or nowhere");
      return false;
    }
    seen[number] = 1;
    return true;
  };
  std::uint64_t hints = 0;
  std::uint64_t shared = 0;
  for (std::size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
    std::uint32_t number = buckets_[bucket];
    while (number != kNone && visit(number)) {
      const Entry& at = entry(number);
      if (at.is_used == 0)
        finding("bucket " + std::to_string(bucket) + " has entry " + std::to_string(number) + ", which is free");
      ++(at.is_shared != 0 ? shared : hints);
      if (follow(number) == kNone && at.next != (kEnd | bucket))
        finding("the chain of bucket " + std::to_string(bucket) + " ends as another's");
      number = follow(number);
    }
  }
  for (std::uint32_t number = free_; number != kNone && visit(number);
       number = static_cast<std::uint32_t>(entry(number).next)) {
    if (entry(number).is_used != 0) finding("entry " + std::to_string(number) + " is in use and in the free chain");
  }
  const auto reached = std::ranges::count(seen, std::uint8_t{1});
  if (hints != hints_.value() || shared != shared_.value() || static_cast<std::uint64_t>(reached) + 1 != end_) {
    finding("the chains have " + std::to_string(hints) + " hints and " + std::to_string(shared) + " shared entries, " +
            std::to_string(reached) + " of " + std::to_string(end_ - 1) + " are in a chain; the table counts " +
            std::to_string(hints_.value()) + " and " + std::to_string(shared_.value()));
  }
}

void ContentTable::add_to(StateHash& hash) const {
  hash.add(hints_.value());
  hash.add(shared_.value());
  for (std::uint32_t number = 1; number < end_; ++number) hash.add(std::as_bytes(std::span(&entry(number), 1)));
}

}  // namespace pagoda::mm
