#include "pagoda/mm/backing/cluster_read.h"

#include <cstring>

namespace pagoda::mm {

namespace {

FileOffset offset_of(const Cluster& cluster, std::size_t page) { return cluster.at + bytes_of(PageCount(page)); }

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
  return true;
}

ReadOutcome finish_read(Core& core, Processor& cpu, Cluster& cluster) {
  ReadOutcome outcome{.operations = 1};
  std::size_t first = 0;
  std::size_t count = cluster.count;
  machine::DiskTransfer transfer = read(cpu, cluster, 0, count);
  if (transfer.status != Status::kSuccess) {
    ++outcome.errors;
    if (cluster.count > 1) {
      // The error may be a neighbour's. The access needs one page: ask for that alone.
      first = cluster.wanted;
      count = 1;
      transfer = read(cpu, cluster, first, count);
      ++outcome.operations;
      if (transfer.status != Status::kSuccess) ++outcome.errors;
    }
  }
  const bool arrived = transfer.status == Status::kSuccess;
  const LockGuard guard(core.pfns.lock);
  core.counters.read_errors += outcome.errors;
  for (std::size_t i = 0; i < cluster.count; ++i) {
    if (arrived && i >= first && i < first + count) {
      core.pfns.set_read_completes(cluster.frame[i], transfer.completes);
      core.note(cpu, EventKind::kReadStarted, cluster.pte[i], cluster.frame[i], cluster.raw[i]);
    } else {
      machine::store_entry(cpu.physical(), core.mode, cluster.pte[i], cluster.raw[i]);
      core.pfns.abandon_read(cluster.frame[i]);
    }
  }
  outcome.completes = transfer.completes;
  if (!arrived) {
    core.note(cpu, EventKind::kReadFailed, cluster.pte[cluster.wanted], kNoPfn, cluster.raw[cluster.wanted]);
    outcome.status = Status::kInPageError;
    return outcome;
  }
  outcome.pages = count;
  core.pfns.set_awaited(cluster.frame[cluster.wanted]);
  core.io.add(transfer.completes, PendingIo::Transfer::Kind::kRead, std::span(cluster.frame).subspan(first, count));
  return outcome;
}

}  // namespace pagoda::mm
