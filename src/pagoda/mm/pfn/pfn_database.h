// The PFN database: every frame's entry, the lists, and the one set of functions through which a frame changes state.
// NT: MmPfnDatabase.
//
// Invariants (mm::check; ids in brackets), beside those of PageLists:
//   [PF1] Every frame is in one state; the counts of all states add up to the machine's frames.
//   [PF2] An active page is mapped by exactly `share_count` valid PTEs; its owner PTE is one of them. An entry that
//   maps
//         a large page counts once for each of its frames, and of a large-page section the prototype PTE too,
//         which keeps its page active.
//   [PF3] reference_count = (share_count > 0) + I/O under way + locks.
//   [PF4] A page table's share count is 1 + its valid and transition entries, its use count the entries that are not
//         zero; that of a page of prototype PTEs is 1 + its valid and transition entries.
//   [PF5] Standby, modified and transition pages have an owner PTE in transition form that names them, unless deleted.
//   [PF6] A modified page has no page-file slot; a clean page that has one is equal to the slot's bytes, and no valid
//         PTE lets the processor write to it.
//   [PF7] Pages on the zeroed list hold zeros.
//   [PF8] A clean page without a slot holds zeros: it was never written; or what its file has, if it comes from one
//         (behind the end of a file that is no image, anything); or anything, if it was reset.
//   [PF9] Entries of frames never used are all zero bytes.
//   [PF10] A page that was reset is clean and has no slot; nothing that is not a page was reset.
//   [PF11] Every valid PTE of a page has the page's cache attribute; a page that is not mapped has none.
//   [PF12] The counts of active shared pages are those of active pages that prototype PTEs own.
// Frames never used yet are a range above the highest used one: they count as zeroed, and neither they nor their
// entries cost memory.
//
// Locking: kPfn, public as `lock`; every function but `entry` needs it. Functions that write a PTE (repurposing) reach
// frames through the processor's view while holding it: on a guest that may take locks of the host's manager, which
// rank below. Source: reference/nt.md section 3.
#pragma once

#include <cstdint>

#include "pagoda/base/lock.h"
#include "pagoda/base/sparse_array.h"
#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/processor.h"
#include "pagoda/mm/pfn/frame_watch.h"
#include "pagoda/mm/pfn/page_lists.h"
#include "pagoda/mm/pfn/pfn_entry.h"
#include "pagoda/mm/pfn/prototype_pages.h"
#include "pagoda/mm/pte/pte_codec.h"

namespace pagoda::mm {

class PagingFiles;

enum class Contents : std::uint8_t { kZeroed, kAny };

class PfnDatabase {
 public:
  PfnDatabase(const machine::Machine& machine, const PteCodec& codec, PagingFiles& paging_files, unsigned depth);

  mutable Lock lock;  // Ranks below every space's and section's lock.

  [[nodiscard]] PfnEntry& entry(Pfn frame) { return entries_[frame.value()]; }
  [[nodiscard]] const PfnEntry& entry(Pfn frame) const { return entries_[frame.value()]; }
  [[nodiscard]] PageCount frames() const { return frames_; }
  // False: a device frame, of which nothing here may be asked (region/device_frames.h). NT: MI_IS_PFN.
  [[nodiscard]] bool contains(Pfn frame) const { return frame.value() < frames_.value(); }
  // Frames below were used at least once; those from here on never.
  [[nodiscard]] Pfn never_used() const PAGODA_REQUIRES(lock) { return never_used_; }

  // --- Counts ---
  [[nodiscard]] PageCount count(PageState state) const
      PAGODA_REQUIRES(lock);  // Listed states; frames never used are zeroed.
  [[nodiscard]] const PageLists& lists() const PAGODA_REQUIRES(lock) { return lists_; }
  // Zeroed + Free + Standby. NT: MmAvailablePages.
  [[nodiscard]] PageCount available() const PAGODA_REQUIRES(lock) { return available_; }
  [[nodiscard]] std::uint64_t repurposed() const PAGODA_REQUIRES(lock) { return repurposed_; }
  // Active pages that prototype PTEs own: those that come from files, and those that the paging files back.
  struct ActiveShared {
    PageCount file;
    PageCount page_file;
  };
  [[nodiscard]] ActiveShared active_shared() const PAGODA_REQUIRES(lock) { return active_shared_; }

  // --- Taking a frame for a new owner ---
  struct Taken {
    Pfn frame;
    bool zeroed = false;
  };
  // From the list that matches `contents`, else the other of Zeroed and Free, else the oldest standby page of the
  // lowest priority after putting its original PTE back. Fails with kNoMemory; whether to wait is the caller's choice.
  // The frame belongs to nobody until `make_active` or `begin_read`.
  Result<Taken> take(machine::Processor& cpu, Contents contents) PAGODA_REQUIRES(lock);
  // A frame taken becomes a page with one valid PTE. The PTE is the caller's to write.
  void make_active(Pfn frame, PhysicalAddress pte, RawPte original) PAGODA_REQUIRES(lock);
  // A frame taken becomes a page table (or a root, whose `pte` is its own address).
  void make_page_table(Pfn frame, PhysicalAddress pte) PAGODA_REQUIRES(lock);
  // A frame taken becomes a page of prototype PTEs of the owner, the pool's page of the number.
  void make_prototype_page(Pfn frame, std::uint32_t pool_page, std::uint64_t owner) PAGODA_REQUIRES(lock);
  // A modified page of the paging files whose bytes are all zero: its owner becomes demand zero, with the same
  // protection, and the frame goes to the zeroed list. It is on its list, so that nobody references it.
  void forget_zero(const machine::Processor& cpu, Pfn frame) PAGODA_REQUIRES(lock);
  // A frame taken becomes the manager's own, which nobody maps; and is free again.
  void make_nonpaged(Pfn frame) PAGODA_REQUIRES(lock);
  void free_nonpaged(Pfn frame) PAGODA_REQUIRES(lock);
  // A frame taken was not needed after all.
  void give_back(Pfn frame, Contents contents) PAGODA_REQUIRES(lock);

  // --- Large pages (pfn/contiguous.cpp) ---
  // `count` frames in a row, the first a multiple of `alignment`: from those never used, else where a row of frames is
  // available, standby pages among them. Fails with kInsufficientResources, also if less than `kept` would stay
  // available. As after `take` they belong to nobody; `zeroed` if all are.
  Result<Taken> take_contiguous(machine::Processor& cpu, PageCount count, PageCount alignment, PageCount kept)
      PAGODA_REQUIRES(lock);
  // Frames taken become a large page, which one entry of a page directory maps; the entry is the caller's to write.
  // Never clean, so that nobody ever looks for a slot.
  void make_large(Pfn first, PageCount count, PhysicalAddress entry_of_page, RawPte original) PAGODA_REQUIRES(lock);
  // That entry is gone for good: frees all frames.
  void remove_large(Pfn first, PageCount count) PAGODA_REQUIRES(lock);
  // A large page whose frames prototype PTEs own gets one more entry, in the table, that maps it; or one fewer.
  void share_large(Pfn first, PageCount count, Pfn table) PAGODA_REQUIRES(lock);
  void unshare_large(Pfn first, PageCount count, Pfn table) PAGODA_REQUIRES(lock);

  // --- AWE frames (pfn/awe_frames.cpp), for region/user_pages.h alone ---
  // A frame taken becomes a program's own, not mapped yet.
  void make_awe(Pfn frame, std::uint32_t index) PAGODA_REQUIRES(lock);
  // An entry, the caller's to write, maps it; or does so no more.
  void map_awe(Pfn frame, PhysicalAddress pte) PAGODA_REQUIRES(lock);
  void unmap_awe(Pfn frame) PAGODA_REQUIRES(lock);
  // Not mapped any more, and free.
  void remove_awe(Pfn frame) PAGODA_REQUIRES(lock);

  // --- Mapping and unmapping ---
  // A transition page (standby, modified, or with a write under way) becomes active: its PTE is about to be valid. Not
  // while it is being read. The share count of the page table does not change: a transition entry counts as a valid one
  // does.
  void rescue(Pfn frame) PAGODA_REQUIRES(lock);
  // The last valid PTE became a transition PTE. `dirty` is the PTE's dirty bit.
  void unmap(Pfn frame, PteCodec::Dirty dirty) PAGODA_REQUIRES(lock);
  // A page that a prototype PTE owns, active already, gets one more valid PTE, in the page table.
  void share(Pfn frame, Pfn table) PAGODA_REQUIRES(lock);
  // One of the valid PTEs of such a page is gone. With the last one its prototype PTE becomes a transition entry.
  void unshare(const machine::Processor& cpu, Pfn frame, Pfn table, PteCodec::Dirty dirty) PAGODA_REQUIRES(lock);
  // A page in memory gets another owner: a prototype PTE, which is about to name it as its PTE did. A page that is
  // active stays mapped there.
  void move_to_prototype(Pfn frame, PhysicalAddress prototype, RawPte original) PAGODA_REQUIRES(lock);
  // The owner's PTE is gone for good: valid (share count 1) or transition before. Frees the slot, and the frame as soon
  // as nobody references it; takes the entry out of the page table's share count.
  void remove(Pfn frame) PAGODA_REQUIRES(lock);
  // The page has other rights from now on, which its PTEs get before or after under the space's lock: in its original
  // PTE and, while it is mapped, in its cache attribute.
  void set_protection(Pfn frame, Protection protection) PAGODA_REQUIRES(lock);
  // What a prototype PTE that is not valid holds goes for good: its page, its slot. The entry becomes zero.
  void drop_prototype(const machine::Processor& cpu, PhysicalAddress pte) PAGODA_REQUIRES(lock);
  // Contents are about to differ from the slot's: marks modified and frees the slot.
  void make_dirty(Pfn frame) PAGODA_REQUIRES(lock);

  // Its owner does not want the contents any more: clean, without a slot, and first to be repurposed. No valid PTE may
  // let the processor write to it. Until it is written again: `make_dirty`. NT: MEM_RESET.
  void reset(Pfn frame) PAGODA_REQUIRES(lock);
  // The contents of a page that was reset are wanted after all: modified.
  void undo_reset(Pfn frame) PAGODA_REQUIRES(lock);

  // --- I/O ---
  // A frame taken will receive a page from `original`'s slot; `pte` is about to be in transition form. `completes` may
  // be set later.
  void begin_read(Pfn frame, PhysicalAddress pte, RawPte original) PAGODA_REQUIRES(lock);
  void set_read_completes(Pfn frame, Time completes) PAGODA_REQUIRES(lock);
  // The bytes are there: to standby, or freed if it was removed meanwhile.
  void end_read(Pfn frame) PAGODA_REQUIRES(lock);
  // The read failed. The frame is free again and out of its page table's count; the caller has put the PTE back before.
  void abandon_read(Pfn frame) PAGODA_REQUIRES(lock);
  // Keeps a page that is in memory, and not being read, where it is: one more reference. Listed pages leave their list.
  void hold(Pfn frame) PAGODA_REQUIRES(lock);
  void let_go(Pfn frame, PteCodec::Dirty dirty) PAGODA_REQUIRES(lock);
  // A modified page, on its list or active, is on its way to a slot or a place in a file, which `original` names.
  void begin_write(Pfn frame, RawPte original) PAGODA_REQUIRES(lock);
  // A modified page on its list was written at once, as into the compression store: `original` names where to.
  void written(Pfn frame, RawPte original) PAGODA_REQUIRES(lock);
  // A clean page in memory that nobody maps is on its way to another slot, which `original` names; its old one is the
  // caller's to free. Not while it is being read or written.
  void begin_rewrite(Pfn frame, RawPte original) PAGODA_REQUIRES(lock);
  // A frame taken has the bytes of a page that was in the compression store alone, and is on its way to the slot that
  // `original` names; the page's entry, about to name the frame in transition form, is `pte`.
  void begin_move(Pfn frame, PhysicalAddress pte, RawPte original) PAGODA_REQUIRES(lock);
  // The write is done; `status` says how. Clean pages go to standby; failed or dirtied ones back to modified; removed
  // ones are freed.
  enum class WriteOutcome : std::uint8_t { kWritten, kFailed };
  void end_write(Pfn frame, WriteOutcome outcome) PAGODA_REQUIRES(lock);

  // --- Page tables ---
  void add_table_share(Pfn table) PAGODA_REQUIRES(lock);
  void drop_table_share(Pfn table) PAGODA_REQUIRES(lock);
  // A page table without entries goes back to the free list; so does a page of prototype PTEs.
  void free_page_table(Pfn frame) PAGODA_REQUIRES(lock);
  void set_prototype_pages(PrototypePages& pages) { prototype_pages_ = &pages; }

  // --- Zeroing ---
  // The first free page, unlinked, for the zero-page thread; kNoPfn if none. `finish_zeroing` puts it on the zeroed
  // list.
  Pfn begin_zeroing() PAGODA_REQUIRES(lock);
  void finish_zeroing(Pfn frame) PAGODA_REQUIRES(lock);

  // --- Telling a hypervisor about frames (guest/enlightenments.h) ---
  // A frame leaves the zeroed list so that nobody takes it meanwhile, and comes back to its tail, still zeroed.
  void set_aside(Pfn frame) PAGODA_REQUIRES(lock);
  void put_back(Pfn frame) PAGODA_REQUIRES(lock);
  // At most one; null: none. Stays the caller's.
  void set_watch(FrameWatch* watch) PAGODA_REQUIRES(lock) { watch_ = watch; }

 private:
  friend struct Corruptor;  // Tests of the checker.

  void note_use(Pfn frame) PAGODA_REQUIRES(lock) {
    if (watch_ != nullptr) [[unlikely]]
      watch_->used(frame);
  }
  // A frame off all lists, of nobody yet.
  void mark_taken(Pfn frame) PAGODA_REQUIRES(lock);
  [[nodiscard]] bool is_run_available(Pfn first, PageCount count) const PAGODA_REQUIRES(lock);
  Taken take_run(machine::Processor& cpu, Pfn first, PageCount count) PAGODA_REQUIRES(lock);
  void put(Pfn frame, PageState state, PageLists::End end) PAGODA_REQUIRES(lock);
  void take_off(Pfn frame) PAGODA_REQUIRES(lock);
  void repurpose(machine::Processor& cpu, Pfn frame) PAGODA_REQUIRES(lock);
  // A listed page leaves its list and its owner's entry, which becomes the original PTE.
  void disown(const machine::Processor& cpu, Pfn frame) PAGODA_REQUIRES(lock);
  void note_mapped(PfnEntry& entry) PAGODA_REQUIRES(lock);
  void drop_reference(Pfn frame) PAGODA_REQUIRES(lock);
  // An active page is, or is no longer, counted where it belongs by now.
  void count_in(const PfnEntry& entry) PAGODA_REQUIRES(lock);
  void count_out(const PfnEntry& entry) PAGODA_REQUIRES(lock);
  void free_slot(PfnEntry& entry) PAGODA_REQUIRES(lock);

  const PteCodec& codec_;
  PagingFiles& paging_files_;
  FrameWatch* watch_ PAGODA_GUARDED_BY(lock) = nullptr;
  PrototypePages* prototype_pages_ = nullptr;  // Set once, before the first section.
  const PageCount frames_;
  SparseArray<PfnEntry> entries_;
  PageLists lists_ PAGODA_GUARDED_BY(lock);
  Pfn never_used_ PAGODA_GUARDED_BY(lock);
  PageCount available_ PAGODA_GUARDED_BY(lock);
  ActiveShared active_shared_ PAGODA_GUARDED_BY(lock);
  std::uint64_t repurposed_ PAGODA_GUARDED_BY(lock) = 0;
};

}  // namespace pagoda::mm
