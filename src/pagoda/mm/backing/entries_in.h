// Pages of entries on their way back into memory: page tables and pages of prototype PTEs, which leave it as other pages
// do (space/page_tables.h, pfn/prototype_pages.h). The entry that says where such a page is, in transition or page-file
// form, is an upper one of a space, or one of a pool table.
#pragma once

#include <optional>
#include <span>

#include "pagoda/mm/backing/cluster_read.h"

namespace pagoda::mm {

// What has begun to bring in a page of entries. If there is nothing to read and nothing to wait for, it is in.
struct EntriesIn {
  Status status = Status::kSuccess;  // kNoMemory: there is no frame; nothing has changed.
  std::optional<Cluster> read;       // The disk is to be asked, with no lock held. Then look again.
  Pfn being_read = kNoPfn;           // Somebody else reads the page: wait for it, then look again.

  [[nodiscard]] bool is_in() const { return status == Status::kSuccess && !read && being_read == kNoPfn; }
};

// The page of entries that the entry names, which is not valid: `rescue(frame)` takes it where it is in memory;
// `adopt(frame)` takes a frame with its bytes, which come from a backing in memory.
template <class Rescue, class Adopt>
EntriesIn begin_entries_in(Core& core, Processor& cpu, PhysicalAddress entry, Rescue&& rescue, Adopt&& adopt)
    PAGODA_REQUIRES(core.pfns.lock) {
  const RawPte raw = core.load(cpu, entry);
  EntriesIn in;
  if (PteCodec::is_transition(raw)) {
    const Pfn frame = core.codec.frame(raw);
    if (core.pfns.entry(frame).read_in_progress) {
      in.being_read = frame;
    } else if (is_available(core.pfns.entry(frame).state) && core.pfns.none_to_spare()) {
      in.status = Status::kNoMemory;  // It may be there to stay, once the compression store has a page of its entries.
    } else {
      rescue(frame);
    }
    return in;
  }
  PAGODA_CHECK(core.codec.has_slot(raw));
  if (core.is_compressed(raw)) {
    const auto taken = core.pfns.take(cpu, Contents::kAny);
    if (!taken) return {.status = Status::kNoMemory};
    core.backing_of(raw).read(cpu, core.codec.slot(raw), std::span(&taken->frame, 1));
    ++core.counters.pages_decompressed;
    core.backings.free(core.codec.file(raw), core.codec.slot(raw));
    adopt(taken->frame);
    return in;
  }
  Cluster& cluster = in.read.emplace();
  cluster.pte[0] = entry;
  cluster.raw[0] = raw;
  cluster.count = 1;
  cluster.backing = &core.backing_of(raw);
  cluster.slot = core.codec.slot(raw);
  if (begin_read(core, cpu, cluster)) return in;
  return {.status = Status::kNoMemory};
}

// The bytes of the page of entries that the entry names, which is not valid; nothing changes. False: the medium does not
// give them. Requires: the PFN lock.
[[nodiscard]] bool peek_entries(const Core& core, const Processor& cpu, RawPte out, Backing::Page bytes);
// The prototype PTE, wherever its page of entries is; zero: there is none.
[[nodiscard]] RawPte peek_prototype(const Core& core, const Processor& cpu, VirtualAddress prototype)
    PAGODA_REQUIRES(core.pfns.lock);

// The page of the prototype PTE, which is out.
EntriesIn begin_prototypes_in(Core& core, Processor& cpu, VirtualAddress prototype) PAGODA_REQUIRES(core.pfns.lock);

struct GivenUpIn {
  bool progress = false;  // Something came in, or was begun.
  Time next = kNever;     // When there is more to do, unless more is given up.
};
// Brings in pages of prototype PTEs of which something was given up while they were out, so that the slots are free, or
// begins to. Requires: no lock is held.
GivenUpIn bring_in_given_up(Core& core, Processor& cpu) PAGODA_EXCLUDES(core.pfns.lock);

}  // namespace pagoda::mm
