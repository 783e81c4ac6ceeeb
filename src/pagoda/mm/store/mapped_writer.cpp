#include "pagoda/mm/store/mapped_writer.h"

#include <algorithm>
#include <array>

namespace pagoda::mm {

namespace {

// Choices, as the modified page writer's.
constexpr int kTransfersPerRun = 8;
constexpr Duration kRetryDelay = 10_ms;

struct Cluster {
  std::shared_ptr<FileStream> file;  // Lives as long as the transfer is made; its control area need not.
  PageCount first;
  std::array<Pfn, kMaxTransferPages> frame{};
  std::size_t count = 0;
};

// The page at the head of the list and its neighbours, whose prototype PTEs stand side by side.
Cluster take_cluster(Core& core, const Processor& cpu) PAGODA_REQUIRES(core.pfns.lock) {
  Cluster cluster;
  const Pfn head(core.pfns.lists().modified_of_files().flink);
  if (head == kNoPfn) return cluster;
  const std::uint64_t width = core.mode.entry_bytes;
  const std::uint64_t head_pte = core.pfns.entry(head).pte_address;
  const auto modified_at = [&](std::uint64_t pte) -> Pfn {
    if (PhysicalAddress(pte).pfn() != PhysicalAddress(head_pte).pfn()) return kNoPfn;
    const RawPte raw = core.load(cpu, PhysicalAddress(pte));
    if (!PteCodec::is_transition(raw)) return kNoPfn;
    const Pfn frame = core.codec.frame(raw);
    const PfnEntry& entry = core.pfns.entry(frame);
    return entry.state == PageState::kModified && entry.maps_file() ? frame : kNoPfn;
  };
  const std::size_t most = std::min<std::size_t>(core.tunables.write_cluster, kMaxTransferPages);
  std::uint64_t pte = head_pte;
  for (std::size_t n = 1; n < most && modified_at(pte - width) != kNoPfn; ++n) pte -= width;
  const ControlArea& area = *core.prototypes.owner_of(PhysicalAddress(head_pte));
  cluster.file = area.file();
  cluster.first = area.page_of(core.codec, core.prototypes.address_of(PhysicalAddress(pte)));
  for (; cluster.count < most; pte += width) {
    const Pfn frame = modified_at(pte);
    if (frame == kNoPfn) break;
    core.pfns.begin_write(frame, core.pfns.entry(frame).original_pte);
    core.note(cpu, EventKind::kWriteStarted, PhysicalAddress(pte), frame);
    cluster.frame[cluster.count++] = frame;
  }
  return cluster;
}

}  // namespace

MappedWrite write_mapped(Core& core, Processor& cpu, FileStream& file, PageCount first, std::span<const Pfn> frames) {
  // Of a file's data a page's place in the segment is its place in the file.
  const machine::DiskTransfer transfer = file.file().write(cpu, FileOffset(bytes_of(first).value()), frames);
  const LockGuard guard(core.pfns.lock);
  ++core.counters.mapped_file_writes;
  ++file.writes;
  if (transfer.status == Status::kSuccess) {
    core.counters.mapped_file_pages_written += frames.size();
    core.io.add(transfer.completes, PendingIo::Transfer::Kind::kWrite, frames);
  } else {
    ++core.counters.write_errors;
    for (const Pfn frame : frames) core.note(cpu, EventKind::kWriteFailed, core.pfns.entry(frame).pte(), frame);
    core.io.add(transfer.completes, PendingIo::Transfer::Kind::kFailedWrite, frames);
  }
  return {transfer.status, transfer.completes};
}

bool MappedWriter::wanted() const {
  const std::uint32_t pages = core_.pfns.lists().modified_of_files().count;
  if (pages == 0) return false;
  return aged_ > 0 || core_.pfns.count(PageState::kModified) > core_.tunables.modified_maximum ||
         core_.pfns.available() < core_.tunables.plenty_free;
}

Time MappedWriter::due(Time now) const {
  const LockGuard guard(core_.pfns.lock);
  if (core_.pfns.lists().modified_of_files().count == 0) return kNever;
  return std::max({now, not_before_, wanted() ? now : by_age_});
}

void MappedWriter::run(Processor& cpu) {
  {
    const LockGuard guard(core_.pfns.lock);
    if (cpu.now() >= by_age_) {
      aged_ = core_.pfns.lists().modified_of_files().count;
      by_age_ = cpu.now() + kMappedPageAge;
    }
  }
  for (int transfers = 0; transfers < kTransfersPerRun; ++transfers) {
    {
      const LockGuard guard(core_.pfns.lock);
      if (!wanted() || cpu.now() < not_before_) return;
    }
    if (!write_cluster(cpu)) return;
  }
}

bool MappedWriter::write_cluster(Processor& cpu) {
  Cluster cluster;
  {
    const LockGuard guard(core_.pfns.lock);
    cluster = take_cluster(core_, cpu);
    aged_ -= std::min(aged_, static_cast<std::uint32_t>(cluster.count));
  }
  if (cluster.count == 0) return false;
  const MappedWrite write =
      write_mapped(core_, cpu, *cluster.file, cluster.first, std::span(cluster.frame).first(cluster.count));
  if (write.status == Status::kSuccess) return true;
  const LockGuard guard(core_.pfns.lock);
  aged_ = 0;
  not_before_ = std::max(cpu.now(), write.completes) + kRetryDelay;
  return true;
}

}  // namespace pagoda::mm
