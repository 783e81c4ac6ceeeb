// The compression store: pages that left memory, compressed, in memory. Windows 10: the memory compression process.
//
//   modified ── compress ──> standby, clean; its slot is the store's ── repurposed ──> in the store alone
//      |                        ^ fault: decompress                                           |
//      └── does not compress ── | ──────> paging file  <── evicted when the budget is full ───┘
//
// It is a backing of the number kNumber, and a slot is an entry: what is true of pages with slots is true of its pages,
// [PF6] too. What LZ4 makes of a page lies in chunks of 128 bytes, in frames of the machine that the store takes as it
// grows and gives back as it shrinks. `free` has no processor to move bytes with, so it gives back frames that are
// empty; `tidy` moves chunks together until no frame more is there than needed.
//
// The store adds nothing to the commit limit, and its frames are not charged. It knows its pages by where their owners
// lie, so that a page of entries (a page table, or one of prototype PTEs) stays in memory while the store has a page of
// theirs. Promises are kept all the same; who is short of frames (MemoryManager::relieve) comes to 1 or 2 in the end:
//   1. No slot of a paging file is free. Then charged pages that are in no slot are as many as usable frames at most
//      (commit.h). Each costs a frame or less: an entry of the store takes 24 of a frame's 32 chunks at most, so that
//      after `tidy` the store has no more frames than entries; where its page is in memory too it is clean, and its
//      frame is available or can be; and a page of entries that has to stay is a charged page itself. What is left are
//      the frames that are never promised, which are more than a fault needs (Tunables::commit_reserve).
//   2. A slot is free. Then some page that is not in a slot can go into one: an active one is trimmed and a modified one
//      written, neither of which takes a frame; and if all that is left is in the store, or stays because of it, an
//      eviction (backing/compression.h) takes a frame, and it and the page of entries with no other can go out.
//      That frame exists: the last kKeptForEviction available frames are not taken for anything else
//      (PfnDatabase::take), in particular not for what could then stay, a page of entries or a frame of the store. So
//      what stays leaves so many: they are available, or used by evictions that are under way, at whose end they are
//      available again, or hold pages that can be trimmed and written.
// In a shortage pages go one way, from frames to the store and to slots, so that 2 ends. Evictions keep the budget too.
// Who is short of frames tidies first (ModifiedWriter::write_cluster).
//
// Invariants (mm::check):
//   [CS1] Slots in use have a chain of just the chunks that their bytes take; each used chunk is in one chain; the
//         order of age has each slot in use once. Counts agree with that.
//   [CS2] The store's frames are nonpaged, each has a used chunk, and there are no others and no more than the budget.
//   [CS3] An entry knows the PTE of its page: the one that names the slot, or the owner of the frame whose original PTE
//         does.
//   [CS4] What an entry holds decompresses to a page.
//   [CS5] The PFN database knows of each page of entries how many owners lie in it.
// Locking: the PFN lock, throughout. A page is compressed under it too, which on real processors keeps others waiting
// for 5 us.
// Source: reference/virtualization.md section 5, "Compression store"; layout, threshold and order of eviction are
// choices.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "pagoda/base/hash.h"
#include "pagoda/base/sparse_array.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/machine.h"
#include "pagoda/machine/processor.h"
#include "pagoda/mm/backing/backing_set.h"
#include "pagoda/mm/base/tunables.h"
#include "pagoda/mm/pfn/pfn_database.h"

namespace pagoda::mm {

// Available frames that nobody but an eviction takes while there is a store. One is enough for it to go on; with two, one
// may be under way elsewhere.
inline constexpr PageCount kKeptForEviction{2};

class CompressionStore final : public Backing {
 public:
  static constexpr unsigned kNumber = BackingSet::kMost - 1;  // If it is enabled: there can be one file less then.
  using ConstPage = std::span<const std::byte, kPageBytes>;

  static constexpr std::size_t kChunkBytes = 128;
  static constexpr std::uint32_t kChunksPerFrame = kPageBytes / kChunkBytes;

  // Adds itself to the set if it is enabled.
  CompressionStore(PfnDatabase& pfns, BackingSet& backings, const machine::Machine& machine, const Tunables& tunables);

  [[nodiscard]] bool is_enabled() const { return !budget_.is_zero(); }
  [[nodiscard]] PageCount budget() const { return budget_; }
  [[nodiscard]] PageCount pages() const { return pages_; }
  [[nodiscard]] PageCount frames() const { return held_; }
  [[nodiscard]] ByteCount bytes() const { return bytes_; }  // That pages compressed to; chunks round up.
  // A page may not fit any more until some are evicted.
  [[nodiscard]] bool is_full() const { return held_ == budget_ && free_chunks_ < most_chunks_; }
  // A page that compresses could be put, by what there is now.
  [[nodiscard]] bool has_room() const;

  enum class Outcome : std::uint8_t {
    kStored,
    kIncompressible,
    kNoRoom,  // The budget is full, or no frame can be spared.
  };
  struct Put {
    Outcome outcome = Outcome::kNoRoom;
    PageFileSlot slot;
    ByteCount bytes;
  };
  // Compresses the page, whose PTE is `owner`, into a slot of its own, the newest.
  Put put(machine::Processor& cpu, ConstPage page, PhysicalAddress owner);
  // Gives back all frames but those that the chunks need.
  void tidy(const machine::PhysicalView& memory);

  // --- Age and owners ---
  static constexpr std::uint32_t kNone = 0;  // Slot 0 is never used.
  [[nodiscard]] PageFileSlot oldest() const { return PageFileSlot(oldest_); }
  void renew(PageFileSlot slot);  // The newest from now on.
  [[nodiscard]] PhysicalAddress owner(PageFileSlot slot) const { return PhysicalAddress(entries_[slot.value()].owner); }

  // --- Backing ---
  [[nodiscard]] std::string_view name() const override { return "compression store"; }
  machine::DiskTransfer read(machine::Processor& cpu, PageFileSlot first, std::span<const Pfn> frames) override;
  void free(PageFileSlot slot) override;
  void moved(PageFileSlot slot, PhysicalAddress pte) override;
  [[nodiscard]] bool is_used(PageFileSlot slot) const override {
    return slot.value() > 0 && slot.value() < end_ && entries_[slot.value()].bytes > 0;
  }
  // False if the slot's chunks hold no page, which only a wild store can cause. Requires: in use, its chain sound.
  [[nodiscard]] bool peek(const machine::PhysicalView& memory, PageFileSlot slot, Page page) const override;

  void add_to(StateHash& hash) const;

 private:
  friend struct Corruptor;
  friend class CompressionCheck;

  struct Entry {
    std::uint64_t owner;
    std::uint32_t first;  // Chunk.
    std::uint32_t older;  // Slots; a free one's `newer` is the next free one.
    std::uint32_t newer;
    std::uint16_t bytes;  // 0: free.
  };
  // Chunk c is number c % 32 of the frame c / 32.
  struct Link {
    std::uint32_t next;      // kEnd at the end.
    std::uint32_t previous;  // The first chunk's is the slot, with kIsSlot.
  };
  static constexpr std::uint32_t kEnd = ~std::uint32_t{0};
  static constexpr std::uint32_t kIsSlot = 1U << 31;
  static constexpr std::uint32_t kAllFree = ~std::uint32_t{0};
  static_assert(kChunksPerFrame == 32);

  static std::uint32_t chunks_for(std::size_t bytes) {
    return static_cast<std::uint32_t>((bytes + kChunkBytes - 1) / kChunkBytes);
  }
  bool add_frame(machine::Processor& cpu);
  void drop_frame(std::uint32_t index);
  std::uint32_t take_slot();
  std::uint32_t take_chunk();
  void free_chunk(std::uint32_t chunk);
  void move_chunk(const machine::PhysicalView& memory, std::uint32_t from);
  void link_newest(std::uint32_t slot);
  void unlink(std::uint32_t slot);

  PfnDatabase& pfns_;
  const machine::CostModel& costs_;
  const PageCount budget_;
  const std::size_t most_bytes_;
  const std::uint32_t most_chunks_;
  std::vector<Pfn> frame_;           // By index; kNoPfn: none now.
  std::vector<std::uint32_t> free_;  // Bits of the chunks that are free; none where there is no frame.
  std::uint32_t first_free_ = 0;     // No frame of a lower index has a free chunk.
  std::uint32_t first_hole_ = 0;     // All lower indexes have a frame.
  PageCount held_;
  std::uint64_t free_chunks_ = 0;
  SparseArray<Entry> entries_;
  SparseArray<Link> links_;
  std::uint32_t end_ = 1;  // Slots from here on were never used.
  std::uint32_t free_slot_ = kNone;
  std::uint32_t oldest_ = kNone;
  std::uint32_t newest_ = kNone;
  PageCount pages_;
  ByteCount bytes_;
  mutable std::array<char, kPageBytes> buffer_{};  // For what is compressed: it lies in pieces.
};

}  // namespace pagoda::mm
