#include "pagoda/mm/backing/cluster_read.h"

#include <cstring>

namespace pagoda::mm {

namespace {

FileOffset offset_of(const Cluster& cluster, std::size_t page) { return cluster.at + bytes_of(PageCount(page)); }

// The slots of the pages; none of a file's.
SlotName slots_of(const Core& core, const Cluster& cluster) {
  return cluster.backing == nullptr ? SlotName{} : SlotName{core.codec.file(cluster.raw[0]), cluster.slot};
}

void count(Counters& counters, const Cluster& cluster, const ReadOutcome& outcome) {
  counters.read_errors += outcome.errors;
  if (cluster.backing != nullptr) {
    counters.page_file_reads += outcome.operations;
    counters.page_file_pages_read += outcome.pages;
  } else {
    counters.mapped_file_reads += outcome.operations;
    counters.mapped_file_pages_read += outcome.pages;
  }
}

machine::DiskTransfer read(Processor& cpu, Cluster& cluster, std::size_t first, std::size_t count) {
  const auto frames = std::span(cluster.frame).subspan(first, count);
  if (cluster.backing != nullptr) return cluster.backing->read(cpu, cluster.slot + PageCount(first), frames);
  const machine::DiskTransfer transfer = cluster.file->read(cpu, offset_of(cluster, first), frames);
  // What lies behind the last byte of a subsection belongs to another one.
  for (std::size_t i = first; i < first + count && transfer.status == Status::kSuccess; ++i) {
    const ByteCount start = bytes_of(PageCount(i));
    if (cluster.bytes >= start + kPageSize) continue;
    const std::size_t kept = cluster.bytes > start ? (cluster.bytes - start).value() : 0;
    const machine::FrameView view = cpu.physical().bytes(cluster.frame[i], machine::Access::kWrite);
    std::memset(view.data() + kept, 0, kPageBytes - kept);
  }
  return transfer;
}

}  // namespace

bool begin_read(Core& core, Processor& cpu, Cluster& cluster) {
  if (core.pfns.available() < PageCount(cluster.count) + kFaultReserve && cluster.count > 1) {
    const std::size_t wanted = cluster.wanted;
    const ByteCount before = bytes_of(PageCount(wanted));
    cluster.pte[0] = cluster.pte[wanted];
    cluster.raw[0] = cluster.raw[wanted];
    cluster.slot = cluster.slot + PageCount(wanted);
    cluster.at = offset_of(cluster, wanted);
    cluster.bytes = cluster.bytes > before ? cluster.bytes - before : ByteCount{};
    cluster.count = 1;
    cluster.wanted = 0;
  }
  for (std::size_t i = 0; i < cluster.count; ++i) {
    const auto taken = core.pfns.take(cpu, Contents::kAny);
    if (!taken) {
      PAGODA_CHECK_EQ(i, std::size_t{0});  // The cluster was cut to what is available.
      return false;
    }
    cluster.frame[i] = taken->frame;
    core.pfns.begin_read(taken->frame, cluster.pte[i], cluster.raw[i]);
    machine::store_entry(cpu.physical(), core.mode, cluster.pte[i],
                         core.codec.transition(taken->frame, core.codec.protection(cluster.raw[i], cluster.home)));
  }
  cluster.transfer = core.transfers.begin(Transfers::Kind::kRead, std::span(cluster.frame).first(cluster.count),
                                          slots_of(core, cluster));
  return true;
}

ReadOutcome finish_read(Core& core, Processor& cpu, Cluster& cluster) {
  ReadOutcome outcome{.operations = 1};
  machine::DiskTransfer transfer = read(cpu, cluster, 0, cluster.count);
  const bool together = transfer.status == Status::kSuccess;
  if (!together) {
    ++outcome.errors;
    if (cluster.count > 1) {
      // The error may be a neighbour's. The access needs one page: ask for that alone.
      transfer = read(cpu, cluster, cluster.wanted, 1);
      ++outcome.operations;
      if (transfer.status != Status::kSuccess) ++outcome.errors;
    }
  }
  const bool arrived = transfer.status == Status::kSuccess;
  outcome.completes = transfer.completes;
  const SlotName slots = slots_of(core, cluster);
  const LockGuard guard(core.pfns.lock);
  for (std::size_t i = 0; i < cluster.count; ++i) {
    if (arrived && (together || i == cluster.wanted)) {
      ++outcome.pages;
      core.pfns.set_read_completes(cluster.frame[i], transfer.completes);
      core.note(cpu, EventKind::kReadStarted, cluster.pte[i], cluster.frame[i], cluster.raw[i]);
    } else {
      core.pfns.fail_read(cpu, cluster.frame[i], slots.next(PageCount(i)));
    }
  }
  count(core.counters, cluster, outcome);
  if (!arrived) {
    core.transfers.failed(cluster.transfer);
    core.note(cpu, EventKind::kReadFailed, cluster.pte[cluster.wanted], kNoPfn, cluster.raw[cluster.wanted]);
    outcome.status = Status::kInPageError;
    return outcome;
  }
  core.pfns.set_awaited(cluster.frame[cluster.wanted]);
  if (together) {
    core.transfers.answered(cluster.transfer, transfer.completes);
  } else {
    core.transfers.answered_one(cluster.transfer, cluster.wanted, transfer.completes);
  }
  return outcome;
}

}  // namespace pagoda::mm
