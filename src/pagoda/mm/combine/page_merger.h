// Makes one page of two: what sharing by contents does to PTEs and frames.
//
//   first     Q's PTE ── private page                      a hint says where it is; Q may write
//   publish   Q's PTE ──> clone entry (counts 1) ── page   read-only, Write taken from the TLBs, compared, then moved
//   merge     Q's PTE ─┬> clone entry (counts 2) ── page   P is unmapped, its TLB entries are gone, all bytes are
//             P's PTE ─┘                                   compared, P's frame is free
//   write     P's PTE ── a copy of its own                 fault/copy_on_write.cpp, as after a fork; the last one left
//             Q's PTE ──> clone entry (counts 1)           takes the page back without a copy (fault/take_back.cpp)
//
// So a merged page is what a fork shares: a prototype PTE owns it, many PTEs lead there, none has Write. It ages in each
// working set, compresses, is written to one slot, and comes back for all who name the entry. Nothing in Vad or in
// PfnEntry knows of sharing, nor in the fault handler, other than who may time it (fault/withheld.cpp).
//
// Whoever compares holds what makes the comparison last: the lock of the space whose page it is, which every fault and
// every change of its PTE needs, and no TLB and no observer has the page writable. A published page cannot be written in
// place: its last owner takes it back under the PFN lock, under which a merge finds it and compares.
//
// While a change of a space has let its lock go, nothing of the space is merged.
// What is not merged: a page that is locked, that a transfer or a pin holds, that a program has reset (MEM_RESET); one of
// a view, of a large page, of an AWE window, of a device. Protections are equal, or pages are not.
// Locking: the lock of one space at a time, and the PFN lock inside. Source: reference/virtualization.md 1.5 and 6.2.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "pagoda/mm/combine/content_table.h"
#include "pagoda/mm/process/process_space.h"

namespace pagoda::mm {

using PageBytes = std::span<const std::byte, kPageBytes>;

class PageMerger {
 public:
  PageMerger(Core& core, ContentTable& table) : core_(core), table_(table) {}

  // A page of a working set that may be merged. Good while the space's lock is held.
  struct Candidate {
    std::uint32_t slot = WorkingSet::kNoSlot;
    Vpn page;
    PhysicalAddress pte;
    RawPte raw = 0;
    Pfn frame = kNoPfn;
    Protection protection = Protection::kNone;  // What it has, or would have, as a shared page.
    std::optional<VirtualAddress> clone;        // Where it is already, if a fork shares it.
    bool is_published = false;  // The clone entry is a shared one: there is no more to do than to withhold.
  };
  // Nothing: the page of the slot may not be merged, or is already and need not be withheld.
  [[nodiscard]] std::optional<Candidate> candidate(ProcessSpace& space, const Processor& cpu, std::uint32_t slot)
      PAGODA_REQUIRES(space.lock);
  // The same of a page, wherever it is by now.
  [[nodiscard]] std::optional<Candidate> candidate_at(ProcessSpace& space, const Processor& cpu, Vpn page)
      PAGODA_REQUIRES(space.lock);

  // Whether nobody holds the candidate's page: no transfer, no pin, no MEM_RESET. Requires: the PFN lock.
  [[nodiscard]] bool is_free_to_go(const Candidate& of) const;

  enum class Outcome : std::uint8_t {
    kDone,
    kDiffers,  // The bytes are not the same.
    kCannot,   // Somebody holds the page, or what it would be merged with is not in memory; or memory is short.
  };
  // Leads the candidate's PTE to the page of a shared entry of the table and frees its own. kCannot also if the entry is
  // not a shared one of the space's domain any more.
  Outcome merge(ProcessSpace& space, Processor& cpu, const Candidate& of, std::uint32_t entry, DomainNumber domain)
      PAGODA_REQUIRES(space.lock);
  // Moves the candidate's page into a clone entry, if its bytes are those; then `enter(prototype)` puts that into the
  // table, with the PFN lock held. False from `enter`: there is no room.
  template <class Enter>
  Outcome publish(ProcessSpace& space, Processor& cpu, const Candidate& of, PageBytes expected, Enter&& enter)
      PAGODA_REQUIRES(space.lock);
  // A page that holds nothing but zeros becomes demand zero again: no frame at all.
  Outcome forget_zeros(ProcessSpace& space, Processor& cpu, const Candidate& of) PAGODA_REQUIRES(space.lock);

 private:
  [[nodiscard]] RawPte shared_form(const ProcessSpace& space, const Candidate& of, Pfn frame) const;
  // Nobody reaches the page, by its PTE, a TLB or an observer, until the PTE is valid again.
  void hide(ProcessSpace& space, Processor& cpu, const Candidate& of) PAGODA_REQUIRES(space.lock);
  Outcome join(ProcessSpace& space, Processor& cpu, const Candidate& of, std::uint32_t entry, DomainNumber domain,
               RawPte& now) PAGODA_REQUIRES(space.lock, core_.pfns.lock);
  // The candidate's page, private until now and read-only, enters a clone entry that it alone names.
  Result<VirtualAddress> move(ProcessSpace& space, Processor& cpu, const Candidate& of)
      PAGODA_REQUIRES(space.lock, core_.pfns.lock);
  // The page's PTE, which is valid, loses Write.
  void protect(ProcessSpace& space, Processor& cpu, const Candidate& of) PAGODA_REQUIRES(space.lock);
  void map_as_shared(ProcessSpace& space, Processor& cpu, const Candidate& of) PAGODA_REQUIRES(space.lock);
  [[nodiscard]] bool holds(Processor& cpu, Pfn frame, PageBytes expected) const;

  Core& core_;
  ContentTable& table_;
};

template <class Enter>
PageMerger::Outcome PageMerger::publish(ProcessSpace& space, Processor& cpu, const Candidate& of, PageBytes expected,
                                        Enter&& enter) {
  if (of.clone) {  // Nobody can write to it as it is.
    if (!holds(cpu, of.frame, expected)) return Outcome::kDiffers;
    const LockGuard guard(core_.pfns.lock);
    return enter(*of.clone) ? Outcome::kDone : Outcome::kCannot;
  }
  if (!space.working_set().has_room_for_shared()) return Outcome::kCannot;
  protect(space, cpu, of);
  Outcome outcome = holds(cpu, of.frame, expected) ? Outcome::kDone : Outcome::kDiffers;
  bool moved = false;
  if (outcome == Outcome::kDone) {
    const LockGuard guard(core_.pfns.lock);
    const auto prototype = move(space, cpu, of);
    moved = prototype.has_value();
    // Without room in the table it stays there, as its only owner, which takes it back with its next write.
    if (!moved || !enter(*prototype)) outcome = Outcome::kCannot;
  }
  if (moved) {
    map_as_shared(space, cpu, of);
  } else {
    space.tables().replace(cpu, of.pte, of.raw);
  }
  return outcome;
}

}  // namespace pagoda::mm
