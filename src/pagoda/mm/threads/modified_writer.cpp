#include "pagoda/mm/threads/modified_writer.h"

#include <algorithm>
#include <array>

#include "pagoda/mm/backing/compression.h"
#include "pagoda/mm/backing/zero_pages.h"
#include "pagoda/mm/threads/modified_run.h"

namespace pagoda::mm {

namespace {

// Transfers in one run, so that a fault storm does not wait for the whole list. A choice.
constexpr int kTransfersPerRun = 8;
// While memory is merely not plentiful the writer waits until so much of the modified maximum has gathered: neighbours
// leave their working set one after the other, and what is written together can be read back together. A choice.
constexpr std::uint64_t kWorthwhileShare = 4;
// After a failed write the next attempt waits, or the writer would ask a dead disk without end. A choice.
constexpr Duration kRetryDelay = 10_ms;
// Pages that one call takes from the list, zero pages included, so that it does not hold the lock for long. A choice.
constexpr std::size_t kMostTaken = 64;

}  // namespace

struct ModifiedWriter::Cluster {
  std::array<Pfn, kMaxTransferPages> frame;
  std::size_t count = 0;
  PagingFiles::Slot slot;
  Transfers::Id transfer{};

  [[nodiscard]] std::span<const Pfn> frames() const { return std::span(frame).first(count); }
  [[nodiscard]] PageFileSlot next_slot() const { return slot.first + PageCount(count); }
};

bool ModifiedWriter::wanted() const {
  const PageCount modified(core_.pfns.lists().head(PageState::kModified).count);
  if (modified.is_zero() || (core_.paging_files.free_slots().is_zero() && !core_.store.has_room())) return false;
  const PageCount available = core_.pfns.available();
  if (modified > core_.tunables.modified_maximum || available < core_.tunables.minimum_free) return true;
  return available < core_.tunables.plenty_free && modified >= core_.tunables.modified_maximum / kWorthwhileShare;
}

Time ModifiedWriter::due(Time now) const {
  const LockGuard guard(core_.pfns.lock);
  return wanted() ? std::max(now, not_before_) : kNever;
}

void ModifiedWriter::run(Processor& cpu) {
  for (int transfers = 0; transfers < kTransfersPerRun; ++transfers) {
    {
      const LockGuard guard(core_.pfns.lock);
      if (!wanted() || cpu.now() < not_before_) return;
    }
    if (write_cluster(cpu)) continue;
    const LockGuard guard(core_.pfns.lock);
    not_before_ = cpu.now() + kRetryDelay;  // Nothing helps: every slot is in use, and no page compresses.
    return;
  }
}

// Takes pages from the head of the modified list, each with its modified neighbours in the order of their addresses,
// and starts their write, as far as there are slots. Those that are all zero, or that the store takes, need none. True:
// some left the list.
bool ModifiedWriter::gather(Processor& cpu, Cluster& cluster) {
  std::size_t taken = 0;
  while (cluster.count < cluster.slot.count.value() && taken < kMostTaken) {
    const Pfn head(core_.pfns.lists().head(PageState::kModified).flink);
    if (head == kNoPfn) break;
    const ModifiedRun run = modified_run(core_, cpu, head, cluster.slot.count.value() - cluster.count);
    taken += run.count;
    for (const Pfn frame : std::span(run.frame).first(run.count)) {
      if (!needs_no_slot(cpu, frame)) begin_write(cpu, cluster, frame);
    }
  }
  return taken > 0;
}

void ModifiedWriter::begin_write(const Processor& cpu, Cluster& cluster, Pfn frame) {
  const PfnEntry& entry = core_.pfns.entry(frame);
  core_.pfns.begin_write(frame, core_.codec.in_slot(entry.original_pte, cluster.slot.file, cluster.next_slot()));
  add(cpu, cluster, frame);
}

void ModifiedWriter::add(const Processor& cpu, Cluster& cluster, Pfn frame) {
  const PfnEntry& entry = core_.pfns.entry(frame);
  core_.note(cpu, EventKind::kWriteStarted, entry.pte(), frame, entry.original_pte);
  cluster.frame[cluster.count++] = frame;
}

bool ModifiedWriter::needs_no_slot(Processor& cpu, Pfn frame) {
  return forget_if_zero(core_, cpu, frame, ZeroFinder::kWriter) || compress(core_, cpu, frame);
}

bool ModifiedWriter::gather_without_slots(Processor& cpu) {
  std::size_t left = kMostTaken;
  bool any = false;
  for (Pfn frame(core_.pfns.lists().head(PageState::kModified).flink); frame != kNoPfn && left > 0; --left) {
    const Pfn next(core_.pfns.entry(frame).flink);
    if (needs_no_slot(cpu, frame)) any = true;
    frame = next;
  }
  return any;
}

// Makes room in the store: its oldest pages into the cluster.
void ModifiedWriter::gather_evicted(Processor& cpu, Cluster& cluster) {
  while (cluster.count < cluster.slot.count.value()) {
    const Pfn frame = evict_oldest(core_, cpu, cluster.slot.file, cluster.next_slot(), EvictionFrames::kBeyondReserve);
    if (frame == kNoPfn) return;
    add(cpu, cluster, frame);
  }
}

void ModifiedWriter::gather_entries(Processor& cpu, Cluster& cluster) {
  while (cluster.count < cluster.slot.count.value()) {
    const Pfn oldest = evict_oldest(core_, cpu, cluster.slot.file, cluster.next_slot(), EvictionFrames::kAll);
    if (oldest == kNoPfn) return;
    add(cpu, cluster, oldest);
    std::array<Pfn, kMaxTransferPages> frames;
    const std::size_t others =
        evict_entries(core_, cpu, core_.pfns.entry(oldest).containing_page(), cluster.slot.file, cluster.next_slot(),
                      std::span(frames).first(cluster.slot.count.value() - cluster.count));
    for (const Pfn frame : std::span(frames).first(others)) add(cpu, cluster, frame);
  }
}

bool ModifiedWriter::begin_transfer(Cluster& cluster) {
  for (PageCount unused(cluster.count); unused < cluster.slot.count; ++unused)
    core_.paging_files[cluster.slot.file].free(cluster.slot.first + unused);
  if (cluster.count == 0) return false;
  cluster.transfer = core_.transfers.begin(Transfers::Kind::kWrite, cluster.frames(),
                                           {.file = cluster.slot.file, .slot = cluster.slot.first});
  return true;
}

bool ModifiedWriter::evict_cluster(Processor& cpu) {
  Cluster cluster;
  {
    const LockGuard guard(core_.pfns.lock);
    const PageCount before = core_.store.pages();
    if (before.is_zero()) return false;
    cluster.slot = core_.paging_files.allocate(PageCount(most_in_transfer()));
    gather_entries(cpu, cluster);
    if (!begin_transfer(cluster)) return core_.store.pages() != before;  // Mapped pages gave up theirs.
  }
  transfer(cpu, cluster);
  return true;
}

// After a failure pages go one by one.
std::size_t ModifiedWriter::most_in_transfer() {
  if (singles_ > 0) {
    --singles_;
    return 1;
  }
  return std::min<std::size_t>(core_.tunables.write_cluster, kMaxTransferPages);
}

bool ModifiedWriter::write_cluster(Processor& cpu) {
  Cluster cluster;
  {
    const LockGuard guard(core_.pfns.lock);
    core_.store.tidy(cpu.physical());
    const PageCount most(most_in_transfer());
    const PageCount wanted = std::min(PageCount(core_.pfns.lists().head(PageState::kModified).count), most);
    if (wanted.is_zero()) return false;
    cluster.slot = core_.paging_files.allocate(wanted);  // The longest run that there is.
    if (cluster.slot.count.is_zero()) return gather_without_slots(cpu);
    const bool makes_room = core_.store.is_enabled() && core_.store.is_full();
    if (makes_room) gather_evicted(cpu, cluster);
    // Nothing could be evicted: modified pages are written to the paging file, past the store.
    const bool any = cluster.count == 0 && gather(cpu, cluster);
    if (!begin_transfer(cluster)) return any;
  }
  transfer(cpu, cluster);
  return true;
}

void ModifiedWriter::transfer(Processor& cpu, const Cluster& cluster) {
  const machine::DiskTransfer done =
      core_.paging_files[cluster.slot.file].write(cpu, cluster.slot.first, cluster.frames());
  const bool written = done.status == Status::kSuccess;

  const LockGuard guard(core_.pfns.lock);
  ++core_.counters.page_file_writes;
  if (written) {
    core_.counters.page_file_pages_written += cluster.count;
  } else {
    write_failed(cpu, cluster, done.completes);
  }
  core_.transfers.answered(cluster.transfer, done.completes,
                           written ? PfnDatabase::WriteOutcome::kWritten : PfnDatabase::WriteOutcome::kFailed);
}

void ModifiedWriter::write_failed(const Processor& cpu, const Cluster& cluster, Time completes) {
  ++core_.counters.write_errors;
  not_before_ = std::max(cpu.now(), completes) + kRetryDelay;
  for (const Pfn frame : cluster.frames())
    core_.note(cpu, EventKind::kWriteFailed, core_.pfns.entry(frame).pte(), frame);
  if (cluster.count > 1) {
    singles_ = cluster.count;  // The disk does not say which slot failed.
  } else {
    // NT keeps a slot that could not be written out of use (reference/nt.md section 3). The page may have given it up
    // while the disk worked.
    core_.paging_files[cluster.slot.file].retire(cluster.slot.first);
    core_.transfers.give_up_slots(cluster.transfer);
    if (core_.pfns.has_slot(core_.pfns.entry(cluster.frame[0]))) core_.pfns.lose_slot(cluster.frame[0]);
  }
}

}  // namespace pagoda::mm
