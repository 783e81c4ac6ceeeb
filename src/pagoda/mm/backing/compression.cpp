#include "pagoda/mm/backing/compression.h"

#include <span>

namespace pagoda::mm {

namespace {

// Pages that are looked at in search of one that can be moved. Few cannot: those whose owner is being freed.
constexpr int kMostLooked = 64;

// The frame of a page that is in memory and has the slot; kNoPfn if its entry says something else, because its owner is
// freeing it.
Pfn frame_with_slot(const Core& core, RawPte raw, PageFileSlot slot) PAGODA_REQUIRES(core.pfns.lock) {
  if (!PteCodec::is_valid(raw) && !PteCodec::is_transition(raw)) return kNoPfn;
  const Pfn frame = core.codec.frame(raw);
  const PfnEntry& entry = core.pfns.entry(frame);
  const bool has_it = core.pfns.has_slot(entry) && core.codec.file(entry.original_pte) == CompressionStore::kNumber &&
                      core.codec.slot(entry.original_pte) == slot;
  return has_it && !entry.deleted && !entry.read_in_progress && !entry.write_in_progress ? frame : kNoPfn;
}

bool is_in_store(const Core& core, RawPte raw) {
  return core.codec.has_slot(raw) && core.codec.file(raw) == CompressionStore::kNumber;
}

// The page is in the store alone.
Pfn move_out(Core& core, Processor& cpu, PhysicalAddress pte, RawPte raw, RawPte original, EvictionFrames from)
    PAGODA_REQUIRES(core.pfns.lock) {
  if (from == EvictionFrames::kBeyondReserve && core.pfns.available() <= kFaultReserve) return kNoPfn;
  const auto taken = core.pfns.take_kept(cpu, Contents::kAny);
  if (!taken) return kNoPfn;
  core.store.read(cpu, core.codec.slot(raw), std::span(&taken->frame, 1));
  core.store.free(core.codec.slot(raw));
  core.pfns.begin_move(taken->frame, pte, original);
  machine::store_entry(cpu.physical(), core.mode, pte,
                       core.codec.transition(taken->frame, core.codec.protection(raw, PteHome::kSegment)));
  ++core.counters.pages_evicted;
  return taken->frame;
}

}  // namespace

bool compress(Core& core, Processor& cpu, Pfn frame) {
  if (!core.store.has_room()) return false;
  const PfnEntry& entry = core.pfns.entry(frame);
  const machine::FrameView page = cpu.physical().bytes(frame, machine::Access::kRead);
  const CompressionStore::Put put = core.store.put(cpu, page.bytes(), entry.pte());
  cpu.charge(core.machine.costs().compress_page);
  if (put.outcome != CompressionStore::Outcome::kStored) {
    if (put.outcome == CompressionStore::Outcome::kIncompressible) ++core.counters.pages_incompressible;
    return false;
  }
  ++core.counters.pages_compressed;
  core.counters.bytes_compressed += put.bytes.value();
  const RawPte original = core.codec.in_slot(entry.original_pte, CompressionStore::kNumber, put.slot);
  core.note(cpu, EventKind::kCompressed, entry.pte(), frame, original);
  core.pfns.written(frame, original);
  return true;
}

Pfn evict_oldest(Core& core, Processor& cpu, unsigned file, PageFileSlot slot, EvictionFrames from) {
  for (int looked = 0; looked < kMostLooked && !core.store.pages().is_zero(); ++looked) {
    const PageFileSlot victim = core.store.oldest();
    const PhysicalAddress pte = core.store.owner(victim);
    const RawPte raw = core.load(cpu, pte);
    if (is_in_store(core, raw) && core.codec.slot(raw) == victim)
      return move_out(core, cpu, pte, raw, core.codec.in_slot(raw, file, slot), from);
    const Pfn frame = frame_with_slot(core, raw, victim);
    if (frame == kNoPfn) {
      core.store.renew(victim);
      continue;
    }
    const PfnEntry& entry = core.pfns.entry(frame);
    if (entry.state == PageState::kActive) {
      core.pfns.make_dirty(frame);
      continue;
    }
    core.store.free(victim);
    core.pfns.begin_rewrite(frame, core.codec.in_slot(entry.original_pte, file, slot));
    ++core.counters.pages_evicted;
    return frame;
  }
  return kNoPfn;
}

std::size_t evict_entries(Core& core, Processor& cpu, Pfn entries, unsigned file, PageFileSlot first,
                          std::span<Pfn> frames) {
  std::size_t moved = 0;
  PhysicalAddress pte(entries);
  for (; moved < frames.size() && core.pfns.compressed_in(entries) > 0 && pte.pfn() == entries;
       pte += ByteCount(core.mode.entry_bytes)) {
    const RawPte raw = core.load(cpu, pte);
    if (!is_in_store(core, raw)) continue;
    const RawPte original = core.codec.in_slot(raw, file, first + PageCount(moved));
    const Pfn frame = move_out(core, cpu, pte, raw, original, EvictionFrames::kAll);
    if (frame == kNoPfn) break;
    frames[moved++] = frame;
  }
  return moved;
}

}  // namespace pagoda::mm
