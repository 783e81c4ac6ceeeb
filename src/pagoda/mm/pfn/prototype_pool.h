// Where prototype PTEs live. NT: paged pool; here their pages stay in memory while an entry of theirs is resident, as
// page tables do.
//
// A range of system addresses, given out in runs of whole pages to control areas and clones. Process PTEs name a
// prototype PTE by its address here; frames name it by its physical address, as any PTE. A page of a run gets its frame
// when an entry of it is first needed. One of a file's data is given back with its last resident entry, since all the
// others are then in subsection form again, which the template says too.
//
// A clone page belongs to nobody: each entry holds a private page of a process that was forked, counted by those PTEs
// that name it (NT: CLONE_BLOCK), and goes with the last of them.
//
// Invariants (mm::check):
//   [PP1] Every page in use has a frame that says so, and the frame's number leads back here.
//   [PP2] Pages of prototype PTEs lie in their owner's runs; those of a file's data have a resident entry.
//   [PP3] Each clone entry is named by as many PTEs as it counts, and is not zero exactly if that is not none.
// Locking: the PFN lock of the manager, throughout. The pool and its callers name that lock by different ways, which
// the analysis cannot tell to be the same: what changes anything asserts at run time that it is held. Source:
// reference/nt.md 2.3, sections 5 and 6.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "pagoda/base/sparse_array.h"
#include "pagoda/base/status.h"
#include "pagoda/mm/pfn/pfn_database.h"
#include "pagoda/mm/section/control_area.h"

namespace pagoda::mm {

class PrototypePool : public PrototypePages {
 public:
  static constexpr PhysicalAddress kNone{~std::uint64_t{0}};

  PrototypePool(PfnDatabase& pfns, const PteCodec& codec);

  // --- Runs ---
  // Addresses for so many pages of entries. Fails with kInsufficientResources: no PTE could name them.
  Result<VirtualAddress> reserve(PageCount pages);
  // Gives them back; none of the pages has a frame any more.
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
  // Whether the address can be a prototype PTE's at all; all other functions trust theirs.
  [[nodiscard]] bool contains(VirtualAddress prototype) const {
    return prototype >= base_ && prototype - base_ < bytes_of(size_) &&
           prototype.value() % codec_.mode().entry_bytes == 0;
  }
  // Where the prototype PTE lies; kNone if its page does not exist.
  [[nodiscard]] PhysicalAddress find(VirtualAddress prototype) const {
    const Pfn frame = frame_of(prototype);
    return frame == kNoPfn ? kNone : PhysicalAddress(PhysicalAddress(frame).value() + prototype.page_offset());
  }
  // The same, making the page of it, with every entry in the owner's template. Fails with kNoMemory.
  Result<PhysicalAddress> make(machine::Processor& cpu, VirtualAddress prototype, const ControlArea& owner);
  // The address of a prototype PTE that a frame names by its physical address.
  [[nodiscard]] VirtualAddress address_of(PhysicalAddress pte) const {
    return page_address(pfns_.entry(pte.pfn()).used_entries) + ByteCount(pte.page_offset());
  }
  // Whose it is; null: a clone's.
  [[nodiscard]] ControlArea* owner_of(PhysicalAddress pte) const;
  // Pages of prototype PTEs that exist.
  [[nodiscard]] PageCount pages() const { return pages_; }

  // --- Control areas, by number ---
  void add_owner(ControlArea& owner);
  void remove_owner(const ControlArea& owner) { owners_.erase(owner.number()); }
  [[nodiscard]] const std::map<std::uint32_t, ControlArea*>& owners() const { return owners_; }
  // Frees the page of the prototype PTE, none of whose entries is resident; there may be none.
  void free_page(VirtualAddress prototype);
  // Control areas that nobody uses and whose last page left, in the order in which that happened; forgets them.
  [[nodiscard]] std::vector<std::uint32_t> take_emptied() { return std::exchange(emptied_, {}); }
  [[nodiscard]] bool any_emptied() const { return !emptied_.empty(); }

  // --- Clones ---
  // A new page of clone entries, all zero. Fails with kInsufficientResources, kNoMemory.
  Result<VirtualAddress> make_clone_page(machine::Processor& cpu);
  // One more PTE names the entry, or the first two.
  void add_clone_reference(VirtualAddress prototype, std::uint32_t references = 1);
  // One fewer. The last takes the entry's page and slot away, and the last entry of a page that page, whose charge is
  // then to be given back: returns how much.
  [[nodiscard]] PageCount drop_clone_reference(const machine::Processor& cpu, VirtualAddress prototype);
  [[nodiscard]] std::uint32_t clone_references(VirtualAddress prototype) const;
  [[nodiscard]] bool is_clone(PhysicalAddress pte) const { return (pfns_.entry(pte.pfn()).original_pte & kClone) != 0; }
  // The same of an address that a PTE names.
  [[nodiscard]] bool is_clone(VirtualAddress prototype) const {
    const Pfn frame = frame_of(prototype);
    return frame != kNoPfn && is_clone(PhysicalAddress(frame));
  }
  // Whether there is a page of clone entries where the frame of the entry says.
  [[nodiscard]] bool has_clone(PhysicalAddress pte) const {
    const std::uint64_t number = pfns_.entry(pte.pfn()).original_pte & ~kClone;
    return number < clones_.size() && clones_[number] != nullptr &&
           clones_[number]->address.vpn() == address_of(pte).vpn();
  }
  // Pages of clone entries, each of which is charged.
  [[nodiscard]] PageCount clone_pages() const { return clone_pages_; }

  // --- PrototypePages ---
  void entry_resident(Pfn page) override;
  void entry_left(Pfn page) override;
  [[nodiscard]] bool writes_back(Pfn page) const override;

  // Keeps the page that holds a prototype PTE from being given back while its entries change.
  class Pin {
   public:
    Pin(PrototypePool& pool, PhysicalAddress pte) : pool_(pool), page_(pte.pfn()) { pool_.pfns_.pin_table(page_); }
    ~Pin() { pool_.unpin(page_); }
    Pin(const Pin&) = delete;
    Pin& operator=(const Pin&) = delete;

   private:
    PrototypePool& pool_;
    Pfn page_;
  };

 private:
  friend struct Corruptor;

  static constexpr std::uint64_t kClone = std::uint64_t{1} << 63;  // In the owner word of a page.

  struct ClonePage {
    VirtualAddress address;
    std::uint32_t used = 0;                 // Entries that are counted.
    std::vector<std::uint32_t> references;  // By entry.
  };

  [[nodiscard]] VirtualAddress page_address(std::uint32_t page) const { return base_ + bytes_of(PageCount(page)); }
  [[nodiscard]] std::uint32_t page_number(VirtualAddress prototype) const {
    return static_cast<std::uint32_t>((prototype - base_) / kPageSize);
  }
  [[nodiscard]] Pfn frame_of(VirtualAddress prototype) const {
    const std::uint32_t frame = frames_[page_number(prototype)];
    return frame == 0 ? kNoPfn : Pfn(frame);
  }
  Result<Pfn> make_page(machine::Processor& cpu, std::uint32_t page, std::uint64_t owner);
  void unpin(Pfn page);
  void free_if_template(Pfn page);
  [[nodiscard]] ClonePage& clone_page(VirtualAddress prototype);

  PfnDatabase& pfns_;
  const PteCodec& codec_;
  const VirtualAddress base_;
  const PageCount size_;
  SparseArray<std::uint32_t> frames_;            // By page; 0: none.
  std::map<std::uint64_t, std::uint64_t> free_;  // Runs: first page, pages.
  std::map<std::uint32_t, ControlArea*> owners_;
  std::vector<std::uint32_t> emptied_;
  std::vector<std::unique_ptr<ClonePage>> clones_;  // By the number in the owner word.
  std::vector<std::uint32_t> free_clones_;
  PageCount pages_;
  PageCount clone_pages_;
};

}  // namespace pagoda::mm
