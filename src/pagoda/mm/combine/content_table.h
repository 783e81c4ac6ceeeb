// Which contents were seen, and where: what sharing by contents knows about pages. One table for a manager, 16 bytes an
// entry, chained by a hash of salt and contents.
//
//              seen once                  seen again, equal                 the last PTE is gone
//   (nothing) ───────────> hint (a page) ───────────────────> shared (a clone entry) ──────────> (nothing)
//                            │ looked at, and another by now
//                            └──────────> (nothing)
//
// A *hint* says that a page had these contents when it was looked at; the page stays writable, and the hint may be stale.
// A *shared* entry leads to the clone entry (pfn/prototype_pool.h) through which equal pages are mapped, none of them
// writable; it is never stale: the pool says when the clone entry ends. ESX's shared frame has the only count of its
// sharers, 16 bits and an overflow table; here the clone entry counts the PTEs that name it, in 32 bits, so that there is
// one count and nothing overflows.
//
// The hash says where to look and never what to do: who finds an entry compares all bytes, of pages that nobody can write
// meanwhile. So it may be as weak as a test likes (`hash_bits`).
//
// Invariants (mm::check; ids in brackets):
//   [CT1] Every entry in use is in the chain of its bucket, once, and in no other; the others are in the free chain; the
//         counts of hints and shared entries are right.
//   [CT2] A shared entry leads to a clone entry in use whose tag leads back, and no tag leads elsewhere; the references
//         of tagged entries are those that the pool counts.
//   [CT3] All PTEs that name the clone entry of a shared entry are of spaces of its domain.
//   [CT4] The contents of a shared entry's page, where it is resident, hash to the entry.
//   [CT5] A hint is of a member.
// Locking: the PFN lock, throughout. Source: reference/virtualization.md 1.5 (Waldspurger 2002, section 4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pagoda/base/hash.h"
#include "pagoda/base/sparse_array.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/pfn/clone_watch.h"
#include "pagoda/mm/pfn/prototype_pool.h"
#include "pagoda/mm/pte/protection.h"

namespace pagoda::mm {

// A space whose pages are looked at, and a domain, by small numbers that entries have room for.
enum class MemberNumber : std::uint32_t {};
enum class DomainNumber : std::uint32_t {};

class ContentTable final : public CloneWatch {
 public:
  static constexpr std::uint32_t kNone = 0;  // No entry: numbers begin with 1.
  static constexpr std::uint32_t kMostOwners = 1U << 20;
  static constexpr std::uint32_t kPasses = 1U << 12;  // A pass is a number modulo this.

  // Room for so many entries, which cost memory when they are used. Requires: 8 to 64 hash bits.
  ContentTable(PrototypePool& pool, PageCount entries, unsigned hash_bits);
  ~ContentTable() override;
  ContentTable(const ContentTable&) = delete;
  ContentTable& operator=(const ContentTable&) = delete;

  // --- Keys ---
  // What contents look like in a domain of the salt, mapped with the protection: pages that may do different things are
  // never made one.
  struct Key {
    std::uint64_t value = 0;  // `hash_bits` of it.
    friend bool operator==(Key, Key) = default;
  };
  [[nodiscard]] Key key(std::span<const std::byte, kPageBytes> contents, std::uint64_t salt,
                        Protection protection) const {
    return {hash_bytes(contents, salt + bits(protection)) & key_mask_};
  }

  // --- Looking ---
  // Ahead of `first`, for many keys: the bucket, and when that is there, the first entry.
  void prefetch_bucket(Key key) const { __builtin_prefetch(&buckets_[bucket_of(key)]); }
  void prefetch_entry(Key key) const { __builtin_prefetch(&entries_[buckets_[bucket_of(key)]]); }
  // The first entry that may have been made for the key, and the next one after it; kNone: there is none.
  [[nodiscard]] std::uint32_t first(Key key) const { return with_tag(buckets_[bucket_of(key)], tag_of(key)); }
  [[nodiscard]] std::uint32_t next(std::uint32_t number) const {
    return with_tag(follow(number), static_cast<std::uint32_t>(entry(number).tag));
  }
  [[nodiscard]] bool is_shared(std::uint32_t number) const { return entry(number).is_shared != 0; }
  // Whether the entry could have been made for the key.
  [[nodiscard]] bool fits(std::uint32_t number, Key key) const {
    return entry(number).tag == tag_of(key) && bucket_of_entry(number) == bucket_of(key);
  }
  // Of a hint.
  struct Hint {
    MemberNumber member{};
    Vpn page;
    friend bool operator==(const Hint&, const Hint&) = default;
  };
  [[nodiscard]] Hint hint(std::uint32_t number) const;
  // Whether the entry, seen before the lock was let go, is the page's hint yet: others publish, drop and add.
  [[nodiscard]] bool is_hint_of(std::uint32_t number, const Hint& page) const;
  // Of a shared entry.
  [[nodiscard]] VirtualAddress prototype(std::uint32_t number) const;
  // Of either.
  [[nodiscard]] DomainNumber domain(std::uint32_t number) const;
  // What there is for a member's page of the key, in the member's domain.
  struct Found {
    std::uint32_t own = kNone;              // The page's own hint.
    std::uint32_t hint = kNone;             // The first one of another page.
    std::array<std::uint32_t, 4> shared{};  // Shared entries, those first in the chain.
    std::size_t shared_count = 0;
    [[nodiscard]] std::span<const std::uint32_t> all_shared() const { return std::span(shared).first(shared_count); }
  };
  [[nodiscard]] Found find(Key key, const Hint& page) const;
  // The shared entry of a clone entry; kNone: it has none.
  [[nodiscard]] std::uint32_t shared_entry(VirtualAddress prototype) const { return pool_.clone_tag(prototype); }

  // --- Changing ---
  // From now on hints of the member are of the domain.
  void set_domain(MemberNumber member, DomainNumber domain);
  // A page was seen. False: the table is full.
  [[nodiscard]] bool add_hint(Key key, const Hint& hint, std::uint32_t pass);
  // It was seen again, as it was.
  void confirm(std::uint32_t number, std::uint32_t pass) { entry(number).pass = pass % kPasses; }
  void drop_hint(std::uint32_t number);
  // The page of the hint, or of no hint before, is in the clone entry now.
  void make_shared(std::uint32_t number, VirtualAddress prototype, DomainNumber domain);
  [[nodiscard]] bool add_shared(Key key, VirtualAddress prototype, DomainNumber domain);
  void clone_ended(std::uint32_t number) override;
  // Looks at the next `most` entries, in a circle, and drops each hint for which `is_stale(hint, pass)` holds.
  template <class IsStale>
  void sweep(std::uint32_t most, IsStale&& is_stale) {
    for (std::uint32_t looked = 0; looked < most && looked + 1 < end_; ++looked) {
      if (++hand_ >= end_) hand_ = 1;
      const Entry& at = entry(hand_);
      if (at.is_used != 0 && at.is_shared == 0 && is_stale(hint(hand_), static_cast<std::uint32_t>(at.pass)))
        drop_hint(hand_);
    }
  }

  // --- Counts ---
  [[nodiscard]] PageCount hints() const { return hints_; }
  [[nodiscard]] PageCount shared() const { return shared_; }
  // Pages that are nowhere because others are mapped in their place.
  [[nodiscard]] PageCount saved() const { return PageCount(pool_.tagged_references()) - shared_; }
  [[nodiscard]] bool is_full() const { return free_ == kNone && end_ >= entries_.size(); }
  [[nodiscard]] std::uint32_t end() const { return end_; }  // Entries in use lie below.
  [[nodiscard]] bool is_used(std::uint32_t number) const { return entry(number).is_used != 0; }
  // What is wrong with the chains [CT1].
  void check_chains(const std::function<void(const std::string&)>& finding) const;
  void add_to(StateHash& hash) const;

 private:
  friend struct Corruptor;

  static constexpr unsigned kTagBits = 27;
  static constexpr std::uint32_t kMostTag = (1U << kTagBits) - 1;
  static constexpr unsigned kWhereBits = 35;  // Pages that a program may name, clone entries of the largest pool.
  static constexpr std::uint64_t kMostWhere = (std::uint64_t{1} << kWhereBits) - 1;
  static constexpr std::uint32_t kEnd = std::uint32_t{1} << 31;

  struct Entry {
    std::uint64_t next : 32;   // In its chain, or in the free chain. A chain's last one has kEnd and its bucket.
    std::uint64_t owner : 20;  // A hint's member; a shared entry's domain.
    std::uint64_t pass : 12;   // Of a hint: when its page was seen last.
    std::uint64_t where : kWhereBits;  // A hint's page; a shared entry's clone entry, by its place in the pool.
    std::uint64_t is_used : 1;
    std::uint64_t is_shared : 1;
    std::uint64_t tag : kTagBits;  // Of the key, beside its bucket.
  };
  static_assert(sizeof(Entry) == 16);

  [[nodiscard]] Entry& entry(std::uint32_t number) { return entries_[number]; }
  [[nodiscard]] const Entry& entry(std::uint32_t number) const { return entries_[number]; }
  [[nodiscard]] std::size_t bucket_of(Key key) const { return static_cast<std::size_t>(key.value) & bucket_mask_; }
  [[nodiscard]] std::uint32_t tag_of(Key key) const {
    return static_cast<std::uint32_t>(key.value >> bucket_bits_) & kMostTag;
  }
  [[nodiscard]] std::uint32_t with_tag(std::uint32_t number, std::uint32_t tag) const {
    while (number != kNone && entry(number).tag != tag) number = follow(number);
    return number;
  }
  [[nodiscard]] std::uint32_t follow(std::uint32_t number) const {
    const auto next = static_cast<std::uint32_t>(entry(number).next);
    return (next & kEnd) != 0 ? kNone : next;
  }
  [[nodiscard]] std::size_t bucket_of_entry(std::uint32_t number) const;
  // A new entry in the chain of the key; kNone: the table is full.
  std::uint32_t add(Key key);
  void remove(std::uint32_t number);

  PrototypePool& pool_;
  const std::uint64_t key_mask_;
  const unsigned bucket_bits_;
  const std::size_t bucket_mask_;
  SparseArray<std::uint32_t> buckets_;
  SparseArray<Entry> entries_;
  std::vector<DomainNumber> domains_;  // By member.
  std::uint32_t end_ = 1;
  std::uint32_t free_ = kNone;
  std::uint32_t hand_ = 0;
  PageCount hints_;
  PageCount shared_;
};

}  // namespace pagoda::mm
