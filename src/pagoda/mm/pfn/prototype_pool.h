// Where prototype PTEs live. NT: paged pool. A page of them stays in memory while an entry of it is resident, as a page
// table does; without one it is trimmed, and the fault that needs it brings it in (prototype_pages.h).
//
// A range of system addresses, given out in runs of whole pages to segments and clones: from the shortest free run that
// is long enough, of equals the first, so that it is found at once among any number of holes. Process PTEs name a prototype
// PTE by its address here; frames name it by its physical address, as any PTE. A page of a run gets its frame when an
// entry of it is first needed. A page for a file's data is given back with its last resident entry, since all the
// others are then in subsection form again, which the template says too.
//
// A clone page has no owner: each entry holds a private page of a process that was forked, and counts the PTEs that
// name it (NT: CLONE_BLOCK). Forks share clone pages: a new entry comes from a page that has free ones. The page is freed
// with its last entry. Equal pages that are made one (mm/combine) lead to a clone entry too, which has a *tag*: the number
// that the table of contents knows it by.
//
// Invariants (mm::check):
//   [PP1] Every page in use has a frame that says so, and the frame's number leads back here.
//   [PP2] Pages of prototype PTEs lie in their owner's runs; those of a file's data have a resident entry.
//   [PP3] The count of a clone entry equals the PTEs that name it; the entry is zero iff the count is 0. None of them has
//         the right to write.
//   [PP4] A clone page knows how many of its entries are in use and which are not, and is among the pages with free
//         entries iff it has one and is in memory.
//   [PP5] A page that is out has no resident entry, and a pool table says where it is; what has nobody who names it is
//         given up. The pages in memory of which no entry is resident or compressed are known.
// Locking: the PFN lock of the manager, throughout. The pool and its callers name that lock by different ways, which
// the analysis cannot tell to be the same: what changes anything asserts at run time that it is held.
// Source: reference/nt.md 2.3, sections 5 and 6.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pagoda/base/status.h"
#include "pagoda/mm/pfn/clone_watch.h"
#include "pagoda/mm/pfn/pfn_database.h"
#include "pagoda/mm/pfn/prototype_owner.h"
#include "pagoda/mm/pfn/prototype_pages.h"

namespace pagoda::mm {

class PrototypePool {
 public:
  static constexpr PhysicalAddress kNone{~std::uint64_t{0}};

  PrototypePool(PfnDatabase& pfns, const PteCodec& codec);

  // --- Runs ---
  // Addresses for so many pages of entries. Fails with: kInsufficientResources, if no PTE could name them.
  Result<VirtualAddress> reserve(PageCount pages);
  // Gives them back; those of a page that is out, and given up, when it is back. Requires: no other page exists.
  void release(VirtualAddress first, PageCount pages);
  [[nodiscard]] std::uint64_t entries_per_page() const { return kPageBytes / codec_.mode().entry_bytes; }
  [[nodiscard]] PageCount pages_for(PageCount entries) const {
    return PageCount((entries.value() + entries_per_page() - 1) / entries_per_page());
  }

  // Entries of the prototype PTE's page from it on.
  [[nodiscard]] PageCount entries_left(VirtualAddress prototype) const {
    return PageCount(entries_per_page() - prototype.page_offset() / codec_.mode().entry_bytes);
  }

  // --- Entries ---
  // Whether the address can be a prototype PTE's at all. Required by all other functions.
  [[nodiscard]] bool contains(VirtualAddress prototype) const {
    return pages_.contains(prototype) && prototype.value() % codec_.mode().entry_bytes == 0;
  }
  // Where the prototype PTE lies; kNone if its page does not exist, or is out.
  [[nodiscard]] PhysicalAddress find(VirtualAddress prototype) const {
    const Pfn frame = frame_of(prototype);
    return frame == kNoPfn ? kNone : PhysicalAddress(PhysicalAddress(frame).value() + prototype.page_offset());
  }
  // Entries of the pool by their place in it.
  [[nodiscard]] std::uint64_t place_of(VirtualAddress prototype) const {
    return (prototype - first_page()).value() / codec_.mode().entry_bytes;
  }
  [[nodiscard]] VirtualAddress entry_at(std::uint64_t place) const {
    return first_page() + ByteCount(place * codec_.mode().entry_bytes);
  }
  // --- Pages that are out ---
  // Whether the prototype PTE's page exists and is not in memory.
  [[nodiscard]] bool is_out(VirtualAddress prototype) const {
    return frame_of(prototype) == kNoPfn && pages_.is_out(pages_.number_of(prototype));
  }
  // The entry of a pool table that says where that page is. Requires: it is out.
  [[nodiscard]] PhysicalAddress out_entry(VirtualAddress prototype) const;
  // A page of which no entry is resident leaves memory, for the modified list. False: there is no frame for the pool
  // table that it needs. Requires: the PFN entry's share count is 1; no file's data.
  bool page_out(machine::Processor& cpu, std::uint32_t page);
  // A page that is out is back: in the frame that its entry names in transition form, or in `frame`, taken, which has its
  // bytes. What was given up of it goes, and with the last entry the page. Returns the charge that the caller gives
  // back. Requires: not being read.
  [[nodiscard]] PageCount page_in(const machine::Processor& cpu, VirtualAddress prototype);
  [[nodiscard]] PageCount page_in(const machine::Processor& cpu, VirtualAddress prototype, Pfn frame);
  // A page that is out: nobody needs its entries any more.
  void give_up(VirtualAddress prototype) { pages_.disown(pages_.number_of(prototype)); }
  [[nodiscard]] VirtualAddress first_page() const { return pages_.address_of(0); }
  // The first page that is out, and of which something was given up, from the address on.
  [[nodiscard]] std::optional<VirtualAddress> given_up_from(VirtualAddress prototype) const;
  [[nodiscard]] bool any_given_up() const { return !pages_.given_up().empty(); }

  // As `find`, but makes a page that does not exist, each entry as the owner's template says. Fails with: kNoMemory.
  // Requires: it is not out.
  Result<PhysicalAddress> make(machine::Processor& cpu, VirtualAddress prototype, const PrototypeOwner& owner);
  // The address of a prototype PTE that a frame names by its physical address.
  [[nodiscard]] VirtualAddress address_of(PhysicalAddress pte) const {
    return pages_.address_of(pfns_.entry(pte.pfn()).used_entries) + ByteCount(pte.page_offset());
  }
  // Null: a clone's entry. (section/control_area.h has `control_area_of`.)
  [[nodiscard]] PrototypeOwner* owner_of(PhysicalAddress pte) const {
    return pages_.owner(pfns_.entry(pte.pfn()).original_pte);
  }
  // Null: none has the number.
  [[nodiscard]] PrototypeOwner* owner(std::uint32_t number) const { return pages_.owner(number); }
  [[nodiscard]] PageCount pages() const { return pages_.count(); }  // That exist.
  [[nodiscard]] PageCount pool_tables() const { return PageCount(pages_.tables().size()); }
  // Frees the page of the prototype PTE if it exists. Requires: none of its entries is resident.
  void free_page(VirtualAddress prototype);

  // --- Owners (prototype_pages.h) ---
  void add_owner(PrototypeOwner& owner) { pages_.add_owner(owner); }
  void remove_owner(const PrototypeOwner& owner) { pages_.remove_owner(owner); }
  [[nodiscard]] std::vector<std::uint32_t> take_emptied() { return pages_.take_emptied(); }
  [[nodiscard]] bool any_emptied() const { return pages_.any_emptied(); }

  // --- Clones ---
  // A new page of clone entries, all zero, whose entries `find_clone_entry` gives next. Fails with:
  // kInsufficientResources, kNoMemory.
  Result<VirtualAddress> make_clone_page(machine::Processor& cpu);
  // An entry that is not in use before it is referenced; none: every page is full.
  [[nodiscard]] std::optional<VirtualAddress> find_clone_entry() const;
  // The entry comes into use, named by so many PTEs, all of whose spaces allow this: two of a fork.
  void use_clone_entry(VirtualAddress prototype, Protection protection, std::uint32_t references);
  // One more PTE names the entry, which is in use.
  void add_clone_reference(VirtualAddress prototype);
  // One PTE fewer names the entry. The last reference removes the entry's page and slot; the last entry in use frees
  // the page of entries. If the page of entries is out, all that waits until it is in. Returns the charge that the
  // caller gives back.
  [[nodiscard]] PageCount drop_clone_reference(const machine::Processor& cpu, VirtualAddress prototype);
  // The same of the last reference, whose PTE has become the owner of the page: the entry is zero already.
  [[nodiscard]] PageCount drop_moved_clone(VirtualAddress prototype);
  [[nodiscard]] std::uint32_t clone_references(VirtualAddress prototype) const;
  [[nodiscard]] bool is_clone(PhysicalAddress pte) const {
    return (pfns_.entry(pte.pfn()).original_pte & PrototypePages::kClone) != 0;
  }
  // For an address that a PTE names.
  [[nodiscard]] bool is_clone(VirtualAddress prototype) const {
    return (owner_word(prototype) & PrototypePages::kClone) != 0;
  }
  // What both spaces that share the page of a clone entry allow.
  [[nodiscard]] Protection clone_protection(VirtualAddress prototype) const {
    return clones_[clone_number(prototype)]->protections[entry_of(prototype)];
  }
  // Whether there is a page of clone entries where the frame of the entry says: for the checker.
  [[nodiscard]] bool has_clone(PhysicalAddress pte) const {
    const std::uint64_t number = pfns_.entry(pte.pfn()).original_pte & ~PrototypePages::kClone;
    return number < clones_.size() && clones_[number] != nullptr &&
           clones_[number]->address.vpn() == address_of(pte).vpn();
  }
  // The same of a page that is out.
  [[nodiscard]] bool has_clone(VirtualAddress prototype) const {
    const std::uint64_t number = owner_word(prototype) & ~PrototypePages::kClone;
    return number < clones_.size() && clones_[number] != nullptr && clones_[number]->address.vpn() == prototype.vpn();
  }
  // --- Tags of clone entries in use (pfn/clone_watch.h); 0: none ---
  // At most one; null: none. Stays the caller's.
  void set_clone_watch(CloneWatch* watch) { clone_watch_ = watch; }
  void set_clone_tag(VirtualAddress prototype, std::uint32_t tag);
  [[nodiscard]] std::uint32_t clone_tag(VirtualAddress prototype) const;
  // PTEs that name entries with a tag.
  [[nodiscard]] std::uint64_t tagged_references() const { return tagged_references_; }

  // What is wrong with the pages of clone entries [PP4].
  void check_clones(const std::function<void(const std::string&)>& finding) const;
  // Each of them is charged.
  [[nodiscard]] PageCount clone_pages() const { return clone_pages_; }

  // Keeps the page that holds a prototype PTE from being given back while its entries change.
  class Pin {
   public:
    Pin(PrototypePool& pool, PhysicalAddress pte) : pfns_(pool.pfns_), page_(pte.pfn()) {
      pfns_.lock.assert_held();
      pfns_.pin_table(page_);
    }
    ~Pin() {
      pfns_.lock.assert_held();
      pfns_.unpin_table(page_);
    }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

   private:
    PfnDatabase& pfns_;
    Pfn page_;
  };

 private:
  friend struct Corruptor;

  struct ClonePage {
    VirtualAddress address;
    std::vector<std::uint32_t> references;  // By entry.
    std::vector<Protection> protections;    // By entry in use.
    std::vector<std::uint32_t> tags;        // By entry in use; empty: none has one.
    std::vector<std::uint16_t> free;        // Entries that nothing references; the last is taken next.
    std::size_t place = 0;                  // In `partial_`, if any is free.
  };

  [[nodiscard]] Pfn frame_of(VirtualAddress prototype) const { return pages_.frame(pages_.number_of(prototype)); }
  // Zero: the page does not exist.
  [[nodiscard]] std::uint64_t owner_word(VirtualAddress prototype) const {
    if (const Pfn frame = frame_of(prototype); frame != kNoPfn) return pfns_.entry(frame).original_pte;
    return is_out(prototype) ? pages_.owner_of_out(pages_.number_of(prototype)) : 0;
  }
  // Requires: the page holds clone entries.
  [[nodiscard]] std::uint32_t clone_number(VirtualAddress prototype) const {
    return static_cast<std::uint32_t>(owner_word(prototype) & ~PrototypePages::kClone);
  }
  // The page is not out any more; returns its owner word.
  std::uint64_t leave_pool_table(const machine::Processor& cpu, VirtualAddress prototype);
  // The page is back: what was given up of it goes. Returns as `page_in`.
  [[nodiscard]] PageCount drop_given_up(const machine::Processor& cpu, VirtualAddress prototype);
  // Removes the page and slot of each entry for which `unused(entry number)` holds.
  template <class Unused>
  void drop_entries(const machine::Processor& cpu, PhysicalAddress first, Unused&& unused);
  // Returns its charge.
  [[nodiscard]] PageCount free_clone_page(std::uint32_t number);
  void free_pool_table_if_empty(VirtualAddress prototype);
  Result<Pfn> make_page(machine::Processor& cpu, std::uint32_t page, std::uint64_t owner);
  [[nodiscard]] ClonePage& clone_page(VirtualAddress prototype);
  [[nodiscard]] std::size_t entry_of(VirtualAddress prototype) const {
    return static_cast<std::size_t>(prototype.page_offset() / codec_.mode().entry_bytes);
  }
  void release_run(std::uint64_t start, std::uint64_t size);
  // The entry of the page has one reference fewer, or has ended.
  void note_dropped(const ClonePage& page, std::size_t entry);
  void end_tag(ClonePage& page, std::size_t entry);
  void add_partial(std::uint32_t number);
  void remove_partial(std::uint32_t number);

  void add_free(std::uint64_t first, std::uint64_t pages);
  void remove_free(std::map<std::uint64_t, std::uint64_t>::iterator run);

  PfnDatabase& pfns_;
  const PteCodec& codec_;
  PrototypePages& pages_;
  std::map<std::uint64_t, std::uint64_t> free_;                     // Runs: first page, pages.
  std::set<std::pair<std::uint64_t, std::uint64_t>> free_by_size_;  // The same: pages, first page.
  std::vector<std::unique_ptr<ClonePage>> clones_;                  // By the number in the owner word.
  std::vector<std::uint32_t> free_clones_;
  std::vector<std::uint32_t> partial_;  // Clone pages with free entries; the last one's are taken next.
  PageCount clone_pages_;
  CloneWatch* clone_watch_ = nullptr;
  std::uint64_t tagged_references_ = 0;
};

}  // namespace pagoda::mm
