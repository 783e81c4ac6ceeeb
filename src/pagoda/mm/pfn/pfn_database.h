// The PFN database: every frame's entry, the lists, and the one set of functions through which a frame changes state.
// NT: MmPfnDatabase.
//
// Outside this class an entry is const. Each function is one transition: it says from which state to which ("taken ->
// active", in the words of pfn_entry.h), what it requires, and checks that.
//
// Invariants (mm::check; ids in brackets), beside those of PageLists:
//   [PF1] Every frame is in one state; the counts of all states add up to the machine's frames.
//   [PF2] An active page is mapped by exactly `share_count` valid PTEs; its owner PTE is one of them. An entry for a
//         large page counts once for each of its frames. In a large-page section the prototype PTE counts too, which
//         keeps its page active.
//   [PF3] reference_count = (share_count > 0) + transfers under way + pins.
//   [PF4] A page table's share count is 1 + its valid and transition entries, its use count the entries that are not
//         zero; that of a page of prototype PTEs is 1 + its valid and transition entries.
//   [PF5] Standby, modified and transition pages have an owner PTE in transition form that names them, unless deleted.
//   [PF6] A modified page has no page-file slot; a clean page that has one is equal to the slot's bytes, and no valid
//         PTE lets the processor write to it.
//   [PF7] Pages on the zeroed list hold zeros.
//   [PF8] A clean page without a slot holds zeros (it was never written), or what its file has if it comes from one
//         (anything behind the end of a file that is no image), or anything if it was reset.
//   [PF9] Entries of frames never used are all zero bytes.
//   [PF10] A page that was reset is clean and has no slot; only pages are reset.
//   [PF11] Every valid PTE of a page has the page's cache attribute; a page that is not mapped has none.
//   [PF12] The counts of active shared pages are those of active pages that prototype PTEs own.
// Locking: kPfn, public as `lock`; every function but `entry` and those that say otherwise needs it. Functions that
// write a PTE (repurposing) reach frames through the processor's view while they hold it: on a guest that may take
// locks of the host's manager, which rank below. Source: reference/nt.md section 3.
#pragma once

#include <cstdint>

#include "pagoda/base/lock.h"
#include "pagoda/base/sparse_array.h"
#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/processor.h"
#include "pagoda/mm/pfn/available_blocks.h"
#include "pagoda/mm/pfn/frame_watch.h"
#include "pagoda/mm/pfn/page_file_slots.h"
#include "pagoda/mm/pfn/page_lists.h"
#include "pagoda/mm/pfn/pfn_entry.h"
#include "pagoda/mm/pfn/prototype_pages.h"
#include "pagoda/mm/pte/pte_codec.h"

namespace pagoda::mm {

class PfnDatabase {
 public:
  PfnDatabase(const machine::Machine& machine, const PteCodec& codec, PageFileSlots& slots, unsigned depth);

  mutable Lock lock;  // Ranks below every space's and section's lock.

  [[nodiscard]] const PfnEntry& entry(Pfn frame) const { return entries_[frame.value()]; }
  // Whether the page has a slot of a paging file, or of the store. A page of prototype PTEs has its owner in the place of an
  // original PTE, whose bits may look like one.
  [[nodiscard]] bool has_slot(const PfnEntry& entry) const {
    return entry.page_table == 0 && codec_.has_slot(entry.original_pte);
  }
  [[nodiscard]] PageCount frames() const { return frames_; }
  // False for device frames (region/device_frames.h): they have no entry. NT: MI_IS_PFN.
  [[nodiscard]] bool contains(Pfn frame) const { return frame.value() < frames_.value(); }
  // Frames from here on were never used: they count as zeroed, and neither they nor their entries cost memory.
  [[nodiscard]] Pfn never_used() const PAGODA_REQUIRES(lock) { return never_used_; }

  // --- Counts ---
  [[nodiscard]] PageCount count(PageState state) const PAGODA_REQUIRES(lock);  // Requires: a listed state.
  [[nodiscard]] const PageLists& lists() const PAGODA_REQUIRES(lock) { return lists_; }
  [[nodiscard]] PageCount available() const PAGODA_REQUIRES(lock) { return available_; }  // NT: MmAvailablePages.
  [[nodiscard]] const AvailableBlocks& available_blocks() const PAGODA_REQUIRES(lock) { return blocks_; }
  [[nodiscard]] std::uint64_t repurposed() const PAGODA_REQUIRES(lock) { return repurposed_; }
  // Pages put on a list ever: it changes when a page loses its last mapping, when a transfer of such a page ends, and when a frame
  // becomes free.
  [[nodiscard]] std::uint64_t listings() const PAGODA_REQUIRES(lock) { return listings_; }
  // Active pages that prototype PTEs own: those that come from files, and those that the paging files back.
  struct ActiveShared {
    PageCount file;
    PageCount page_file;
  };
  [[nodiscard]] ActiveShared active_shared() const PAGODA_REQUIRES(lock) { return active_shared_; }

  // --- Taking frames ---
  struct TakenFrame {
    Pfn frame;
    bool zeroed = false;
  };
  // Zeroed, free or standby -> taken: from the list that matches `contents`, else the other of Zeroed and Free, else
  // the oldest standby page of the lowest priority, whose original PTE returns to its owner.
  // Fails with: kNoMemory, if no more are available than are kept; whether to wait is the caller's choice.
  Result<TakenFrame> take(machine::Processor& cpu, Contents contents) PAGODA_REQUIRES(lock) {
    return none_to_spare() ? Result<TakenFrame>(fail(Status::kNoMemory)) : take_kept(cpu, contents);
  }
  // Available frames that only `take_kept` takes: for what takes a frame to make more available (backing/compression.h).
  // Whatever takes one for long asks `take`, or, where it needs a frame that is available already, `none_to_spare`.
  void keep(PageCount frames) PAGODA_REQUIRES(lock) { kept_ = frames; }
  [[nodiscard]] bool none_to_spare() const PAGODA_REQUIRES(lock) { return available_ <= kept_; }
  Result<TakenFrame> take_kept(machine::Processor& cpu, Contents contents) PAGODA_REQUIRES(lock);
  // As `take`, for `count` frames in a row, the first a multiple of `alignment` (pfn/contiguous.cpp): from those never
  // used, else the first row of frames that are available. `zeroed` if all are. A large page's are found at once.
  // Fails with: kInsufficientResources, also if fewer than `kept` would stay available.
  Result<TakenFrame> take_contiguous(machine::Processor& cpu, PageCount count, PageCount alignment, PageCount kept)
      PAGODA_REQUIRES(lock);
  // As `take`, for a frame below another. Fails with: kInsufficientResources, if none there is available.
  Result<TakenFrame> take_below(machine::Processor& cpu, Pfn end) PAGODA_REQUIRES(lock);
  void give_back(Pfn frame, Contents contents) PAGODA_REQUIRES(lock);  // Taken -> zeroed or free.

  // --- Pages ---
  // Taken -> active, with one valid PTE, which the caller writes. `dirty`: the contents will not be what `original`
  // says. Requires: no slot in `original` if dirty.
  void make_active(Pfn frame, PhysicalAddress pte, RawPte original, PteCodec::Dirty dirty = PteCodec::Dirty::kNo)
      PAGODA_REQUIRES(lock);
  // Standby, modified or pinned -> active: the owner PTE, now in transition form (which counts in its page table as a
  // valid one does), is about to be valid. Requires: not being read, not deleted.
  void rescue(Pfn frame) PAGODA_REQUIRES(lock);
  // Active -> pinned, modified or standby: the last valid PTE became a transition PTE. `dirty` is that PTE's dirty bit.
  void unmap(Pfn frame, PteCodec::Dirty dirty) PAGODA_REQUIRES(lock);
  // Active -> active: a page that a prototype PTE owns gets one more valid PTE, in the page table.
  // Requires: fewer than PfnEntry::kMostCounted of them.
  void share(Pfn frame, Pfn table) PAGODA_REQUIRES(lock);
  // One valid PTE of such a page less. With the last one the prototype PTE becomes a transition entry, as by `unmap`.
  void unshare(const machine::Processor& cpu, Pfn frame, Pfn table, PteCodec::Dirty dirty) PAGODA_REQUIRES(lock);
  // The owner becomes a prototype PTE, which is about to name the page as its PTE did; the state stays.
  // Requires: owned by a PTE of a page table, not deleted.
  void move_to_prototype(Pfn frame, PhysicalAddress prototype, RawPte original) PAGODA_REQUIRES(lock);
  // Active -> active: the owner becomes the one PTE that maps the page, which is about to be its own again. The prototype
  // PTE is zero already. Requires: owned by a prototype PTE, share count 1.
  void move_to_table(Pfn frame, PhysicalAddress pte, RawPte original) PAGODA_REQUIRES(lock);
  // Any state but free -> free, or deleted until the last transfer or pin ends: the owner PTE holds the page no more.
  // Gives up the slot, and takes the entry out of the page table's share count. Requires: share count 1 if active.
  void remove(Pfn frame) PAGODA_REQUIRES(lock);
  // Sets the rights in the original PTE and, of a mapped page, the cache attribute. The caller sets the page's PTEs.
  void set_protection(Pfn frame, Protection protection) PAGODA_REQUIRES(lock);
  // Clean -> modified: the contents are about to differ from the slot's, which the page gives up. A page of an image does not
  // come from the file any more. Requires: active, or in transition.
  void make_dirty(Pfn frame) PAGODA_REQUIRES(lock);
  // Modified -> clean, without a slot, and from a list to the head of Standby: the owner does not want the contents.
  // Holds until `make_dirty` or `undo_reset`. Requires: no valid PTE lets the processor write to it. NT: MEM_RESET.
  void reset(Pfn frame) PAGODA_REQUIRES(lock);
  // Reset -> modified: the contents are wanted after all.
  void undo_reset(Pfn frame) PAGODA_REQUIRES(lock);
  // Modified -> zeroed: all bytes are zero, so the owner becomes demand zero. Requires: no page of a file.
  void forget_zero(const machine::Processor& cpu, Pfn frame) PAGODA_REQUIRES(lock);
  // Standby -> free: the owner's entry says again where the contents are, as when the frame gets a new owner.
  void forget_clean(const machine::Processor& cpu, Pfn frame) PAGODA_REQUIRES(lock);
  // Empties a prototype PTE: removes its page, frees its slot. Requires: the entry is not valid.
  void drop_prototype(const machine::Processor& cpu, PhysicalAddress pte) PAGODA_REQUIRES(lock);
  // Where the working set keeps an active private page. Needs the lock of the space, not this one.
  void set_working_set_slot(Pfn frame, std::uint32_t slot) {
    PAGODA_DCHECK_EQ(entry(frame).share_count, 1U);
    writable(frame).ws_index = slot;
  }

  // --- Transfers and pins (pfn/pfn_transfers.cpp) ---
  // Taken -> pinned, being read from where `original` says; `pte` is about to be in transition form.
  void begin_read(Pfn frame, PhysicalAddress pte, RawPte original) PAGODA_REQUIRES(lock);
  // When the bytes of a page that is being read will be there; kNever until then.
  void set_read_completes(Pfn frame, Time completes) PAGODA_REQUIRES(lock);
  // A fault waits for a page that is being read: when it comes back it is not counted again.
  void set_awaited(Pfn frame) PAGODA_REQUIRES(lock);
  // Being read -> standby, or free if it was removed meanwhile: the bytes are there. `from`: the slot that the transfer
  // used, which is freed if the page gave it up meanwhile.
  void end_read(Pfn frame, SlotName from) PAGODA_REQUIRES(lock);
  // Being read -> free: the read failed. The owner's entry says again where the page is, unless it was removed.
  void fail_read(const machine::Processor& cpu, Pfn frame, SlotName from) PAGODA_REQUIRES(lock);
  // Keeps a page in memory: one more reference; listed -> pinned. Requires: not being read, not deleted, fewer than
  // PfnEntry::kMostCounted references.
  void pin(Pfn frame) PAGODA_REQUIRES(lock);
  // One reference less; the last one sends the page to the list that its contents deserve.
  void unpin(Pfn frame, PteCodec::Dirty dirty) PAGODA_REQUIRES(lock);
  // Modified -> clean, being written to where `original` says, a slot or a file; listed -> pinned. Requires: no slot.
  void begin_write(Pfn frame, RawPte original) PAGODA_REQUIRES(lock);
  // Standby or pinned -> pinned, being written to another slot, which `original` names; the caller frees the old one.
  // Requires: clean, with a slot.
  void begin_rewrite(Pfn frame, RawPte original) PAGODA_REQUIRES(lock);
  // Taken -> pinned, being written to the slot that `original` names: the frame has the bytes of a page that was in no
  // frame, whose entry `pte` is about to name it in transition form.
  void begin_move(Pfn frame, PhysicalAddress pte, RawPte original) PAGODA_REQUIRES(lock);
  // Modified -> standby: written to where `original` says without a transfer. Requires: listed, no page of a file.
  void written(Pfn frame, RawPte original) PAGODA_REQUIRES(lock);
  // Being written to a slot -> modified without one: the slot failed; it is the transfer's, for the caller to retire.
  void lose_slot(Pfn frame) PAGODA_REQUIRES(lock);
  // Being written -> standby; modified if the write failed or the page was dirtied; free if it was removed. `to`: the
  // slot that the transfer used, which is freed if the page gave it up meanwhile.
  enum class WriteOutcome : std::uint8_t { kWritten, kFailed };
  void end_write(Pfn frame, WriteOutcome outcome, SlotName to) PAGODA_REQUIRES(lock);

  // --- Frames of the manager's own (pfn/pfn_tables.cpp) ---
  // Taken -> active: a page table with so many entries that are not zero, or a root, whose `pte` is its own address.
  void make_page_table(Pfn frame, PhysicalAddress pte, std::uint32_t used = 0) PAGODA_REQUIRES(lock);
  // Taken -> active: a page of prototype PTEs of the owner, the pool's page of the number.
  void make_prototype_page(Pfn frame, std::uint32_t pool_page, std::uint64_t owner) PAGODA_REQUIRES(lock);
  // Active -> modified: a page table whose share count is 1 leaves memory like any page; `pte`, above it, is in transition
  // form by now. From here on it is a page: `original` is what its entry becomes, the use count included where the
  // format has it. Requires: not a root, nor empty.
  void page_out_table(Pfn frame, RawPte original) PAGODA_REQUIRES(lock);
  // Standby, modified or pinned -> active: such a page is a page table again; the entry above it is about to be valid.
  // Requires: not being read.
  void rescue_table(Pfn frame, std::uint32_t used) PAGODA_REQUIRES(lock);
  // Page tables other than roots whose share count is 1, and of whose entries the compression store has none: those that
  // are empty, or could be paged out.
  [[nodiscard]] PageCount idle_tables() const PAGODA_REQUIRES(lock) { return idle_tables_; }
  // The same of a page of prototype PTEs, which `pte`, an entry of a pool table, names in transition form by now, and of
  // what comes back. Not for a file's data, whose pages are freed instead.
  void page_out_prototypes(Pfn frame, PhysicalAddress pte, RawPte original) PAGODA_REQUIRES(lock);
  void rescue_prototypes(Pfn frame, std::uint32_t pool_page, std::uint64_t owner) PAGODA_REQUIRES(lock);
  // Active -> free: a page table whose entries are all zero; a page of prototype PTEs of which none is resident.
  void free_page_table(Pfn frame) PAGODA_REQUIRES(lock);
  void free_prototype_page(Pfn frame) PAGODA_REQUIRES(lock);
  [[nodiscard]] PrototypePages& prototype_pages() { return prototype_pages_; }  // Guarded by `lock`.
  // One more, or one fewer, entry of the table is valid or in transition. Frees a page of file data's prototype PTEs
  // with the last one: they are as in the template again.
  void add_table_share(Pfn table) PAGODA_REQUIRES(lock);
  void drop_table_share(Pfn table) PAGODA_REQUIRES(lock);
  // --- Tables that must stay because what they lead to must (pfn/kept_tables.cpp, backing/kept.h) ---
  // How many are not kept yet and would be by one more entry of this table: it, and those above it. A root always stays,
  // and so do PAE's directories; a page of prototype PTEs has none above it.
  [[nodiscard]] PageCount tables_to_keep(Pfn table) const PAGODA_REQUIRES(lock);
  // One more entry does, which is resident. `charge`: whether those that it keeps first are charged to commit.
  enum class KeptCharge : std::uint8_t { kNone, kCommit };
  void keep_table(Pfn table, KeptCharge charge = KeptCharge::kNone) PAGODA_REQUIRES(lock);
  // One fewer. Returns how many are not kept any more, and how many of them were charged.
  struct LetGo {
    PageCount tables;
    PageCount charged;
  };
  LetGo let_go_table(Pfn table) PAGODA_REQUIRES(lock);
  // Whether the table is a page of file data's prototype PTEs.
  [[nodiscard]] bool holds_file_data(Pfn table) const PAGODA_REQUIRES(lock) {
    return entry(table).prototype_pte != 0 && prototype_pages_.is_file_data(entry(table).original_pte);
  }
  // Keeps a page of prototype PTEs from that while its entries change.
  void pin_table(Pfn table) PAGODA_REQUIRES(lock);
  void unpin_table(Pfn table) PAGODA_REQUIRES(lock);
  // One more, or one fewer, page of the compression store has its entry in the page of entries, which stays in memory while
  // there are any.
  void add_compressed(Pfn entries) PAGODA_REQUIRES(lock);
  void drop_compressed(Pfn entries) PAGODA_REQUIRES(lock);
  [[nodiscard]] std::uint32_t compressed_in(Pfn entries) const PAGODA_REQUIRES(lock) {
    return compressed_in_[entries.value()];
  }
  // One more, or one fewer, entry of a page table is not zero. Needs the lock of the space, not this one.
  void add_table_use(Pfn table) { ++writable(table).used_entries; }
  void drop_table_use(Pfn table) { --writable(table).used_entries; }
  // Taken -> active, nonpaged: no PTE maps it. And -> free.
  void make_nonpaged(Pfn frame) PAGODA_REQUIRES(lock);
  void free_nonpaged(Pfn frame) PAGODA_REQUIRES(lock);
  // The first free frame -> taken, for the zero-page thread; kNoPfn if there is none to spare. And -> the head of Zeroed.
  Pfn begin_zeroing() PAGODA_REQUIRES(lock);
  void finish_zeroing(Pfn frame) PAGODA_REQUIRES(lock);
  // Zeroed -> taken, to tell a hypervisor about the frame (pfn/hinted_frames.h). And -> the tail of Zeroed.
  void set_aside(Pfn frame) PAGODA_REQUIRES(lock);
  void put_back(Pfn frame) PAGODA_REQUIRES(lock);

  // --- Large pages (pfn/contiguous.cpp) ---
  // Taken -> active: a large page, which one entry of a page directory maps; the caller writes the entry. Always
  // modified, so that nothing looks for a slot.
  void make_large(Pfn first, PageCount count, PhysicalAddress entry_of_page, RawPte original) PAGODA_REQUIRES(lock);
  // Active -> free: that entry maps it no more.
  void remove_large(Pfn first, PageCount count) PAGODA_REQUIRES(lock);
  // One more, or one fewer, entry in the table maps a large page whose frames prototype PTEs own.
  void share_large(Pfn first, PageCount count, Pfn table) PAGODA_REQUIRES(lock);
  void unshare_large(Pfn first, PageCount count, Pfn table) PAGODA_REQUIRES(lock);

  // --- AWE frames (pfn/awe_frames.cpp), for region/user_pages.h alone ---
  // Taken -> active: a program's own, not mapped. `index` is its place in the list of its space.
  void make_awe(Pfn frame, std::uint32_t index) PAGODA_REQUIRES(lock);
  void set_awe_index(Pfn frame, std::uint32_t index) PAGODA_REQUIRES(lock);
  // An entry, which the caller writes, maps it; or does so no more.
  void map_awe(Pfn frame, PhysicalAddress pte) PAGODA_REQUIRES(lock);
  void unmap_awe(Pfn frame) PAGODA_REQUIRES(lock);
  // Deleted, so that naming it again fails, until `remove_awe`: not mapped -> free.
  void begin_remove_awe(Pfn frame) PAGODA_REQUIRES(lock);
  void remove_awe(Pfn frame) PAGODA_REQUIRES(lock);

  // At most one; null: none. Stays the caller's.
  void set_watch(FrameWatch* watch) PAGODA_REQUIRES(lock) { watch_ = watch; }

 private:
  friend struct Corruptor;  // Tests of the checker.

  [[nodiscard]] PfnEntry& writable(Pfn frame) { return entries_[frame.value()]; }
  void note_use(Pfn frame) PAGODA_REQUIRES(lock) {
    if (watch_ != nullptr) [[unlikely]]
      watch_->used(frame);
  }
  void mark_taken(Pfn frame) PAGODA_REQUIRES(lock);
  // A root, or a directory of PAE: never out, and charged with its space.
  [[nodiscard]] bool always_stays(Pfn table) const PAGODA_REQUIRES(lock);
  [[nodiscard]] bool is_run_available(Pfn first, PageCount count) const PAGODA_REQUIRES(lock);
  // The first row of available frames; kNoPfn if there is none.
  [[nodiscard]] Pfn find_run(PageCount count, std::uint64_t step) const PAGODA_REQUIRES(lock);
  // The first frame that was never used is used from now on; and counts as taken.
  Pfn use_next() PAGODA_REQUIRES(lock);
  // An available frame, wherever it is -> taken.
  TakenFrame take_frame(machine::Processor& cpu, Pfn frame) PAGODA_REQUIRES(lock);
  TakenFrame take_run(machine::Processor& cpu, Pfn first, PageCount count) PAGODA_REQUIRES(lock);
  void put(Pfn frame, PageState state, PageLists::End end) PAGODA_REQUIRES(lock);
  void put_free(Pfn frame) PAGODA_REQUIRES(lock);  // To the tail, without owner and flags.
  PfnEntry& expect_contents(Pfn frame, PhysicalAddress pte, RawPte original) PAGODA_REQUIRES(lock);
  void take_off(Pfn frame) PAGODA_REQUIRES(lock);
  void repurpose(machine::Processor& cpu, Pfn frame) PAGODA_REQUIRES(lock);
  // Takes a listed page off its list and out of its owner's entry, which becomes the original PTE.
  void disown(const machine::Processor& cpu, Pfn frame) PAGODA_REQUIRES(lock);
  void note_mapped(PfnEntry& entry) PAGODA_REQUIRES(lock);
  void drop_reference(Pfn frame) PAGODA_REQUIRES(lock);
  // Counts an active page among the shared ones, or no longer, by what it is now.
  void count_in(const PfnEntry& entry) PAGODA_REQUIRES(lock);
  void count_out(const PfnEntry& entry) PAGODA_REQUIRES(lock);
  // The page has its slot no more: it is free, or that of the transfer that uses it, which frees it at its end.
  void give_up_slot(PfnEntry& entry) PAGODA_REQUIRES(lock);
  void free_if_given_up(const PfnEntry& entry, SlotName of_transfer) PAGODA_REQUIRES(lock);
  void free_if_template(Pfn table) PAGODA_REQUIRES(lock);
  // The frame holds a page of the pool from now on, or no more.
  void add_to_pool(PfnEntry& entry, std::uint32_t pool_page, std::uint64_t owner) PAGODA_REQUIRES(lock);
  void remove_from_pool(const PfnEntry& entry) PAGODA_REQUIRES(lock);
  // The table, or page of prototype PTEs, has got its first share beyond 1 or its first compressed entry, or lost the last
  // of both, or begins or ends to be one. The roots of spaces are not counted.
  void note_busy(Pfn table) PAGODA_REQUIRES(lock);
  void note_idle(Pfn table) PAGODA_REQUIRES(lock);

  const PteCodec& codec_;
  PageFileSlots& slots_;
  FrameWatch* watch_ PAGODA_GUARDED_BY(lock) = nullptr;
  PrototypePages prototype_pages_;
  const PageCount frames_;
  SparseArray<PfnEntry> entries_;
  SparseArray<std::uint16_t> compressed_in_ PAGODA_GUARDED_BY(lock);  // By frame.
  PageLists lists_ PAGODA_GUARDED_BY(lock);
  Pfn never_used_ PAGODA_GUARDED_BY(lock);
  PageCount available_ PAGODA_GUARDED_BY(lock);
  PageCount kept_ PAGODA_GUARDED_BY(lock);
  PageCount idle_tables_ PAGODA_GUARDED_BY(lock);
  AvailableBlocks blocks_ PAGODA_GUARDED_BY(lock);
  ActiveShared active_shared_ PAGODA_GUARDED_BY(lock);
  std::uint64_t repurposed_ PAGODA_GUARDED_BY(lock) = 0;
  std::uint64_t listings_ PAGODA_GUARDED_BY(lock) = 0;
};

}  // namespace pagoda::mm
