// A page in a paging file: a hard fault. Neighbours whose slots follow each other come with it and go to standby.
#include <algorithm>
#include <array>

#include "pagoda/mm/fault/fault.h"

namespace pagoda::mm::fault {

namespace {

struct Cluster {
  std::array<PhysicalAddress, kMaxTransferPages> pte{};
  std::array<RawPte, kMaxTransferPages> raw{};
  std::array<Pfn, kMaxTransferPages> frame{};
  std::size_t count = 0;
  std::size_t wanted = 0;  // Which of them the access needs.
};

// The page and its neighbours in the same page table whose entries name consecutive slots of the same file, forward
// first: programs read upward more often than downward.
Cluster choose(const Context& c, std::size_t most) {
  const PteCodec& codec = c.core.codec;
  const ByteCount width(c.core.mode.entry_bytes);
  const unsigned file = codec.file(c.raw);
  const std::int64_t slot = codec.slot(c.raw).value();
  const auto neighbour = [&](std::int64_t distance) -> RawPte {
    const PhysicalAddress pte(c.pte.value() + static_cast<std::uint64_t>(distance) * width.value());
    if (pte.pfn() != c.pte.pfn()) return 0;
    const RawPte raw = c.core.load(c.cpu, pte);
    const bool follows = codec.has_slot(raw) && codec.file(raw) == file && codec.slot(raw).value() == slot + distance;
    return follows ? raw : 0;
  };
  std::int64_t ahead = 0;
  std::int64_t behind = 0;
  while (static_cast<std::size_t>(ahead) + 1 < most && neighbour(ahead + 1) != 0) ++ahead;
  while (static_cast<std::size_t>(ahead + behind) + 1 < most && neighbour(-behind - 1) != 0) ++behind;

  Cluster cluster;
  cluster.wanted = static_cast<std::size_t>(behind);
  for (std::int64_t distance = -behind; distance <= ahead; ++distance) {
    cluster.pte[cluster.count] = PhysicalAddress(c.pte.value() + static_cast<std::uint64_t>(distance) * width.value());
    cluster.raw[cluster.count++] = distance == 0 ? c.raw : neighbour(distance);
  }
  return cluster;
}

// Takes frames and puts the entries into transition. Frames for neighbours are taken only beyond the faults' reserve:
// they cost a standby page each, which is what they will be themselves.
bool prepare(Context& c, Cluster& cluster) PAGODA_REQUIRES(c.space.lock) {
  const LockGuard guard(c.core.pfns.lock);
  if (c.core.pfns.available() < PageCount(cluster.count) + kFaultReserve && cluster.count > 1) {
    cluster = Cluster{.pte = {c.pte}, .raw = {c.raw}, .frame = {}, .count = 1, .wanted = 0};
  }
  for (std::size_t i = 0; i < cluster.count; ++i) {
    const auto taken = c.core.pfns.take(c.cpu, Contents::kAny);
    if (!taken) {
      PAGODA_CHECK_EQ(i, std::size_t{0});  // The cluster was cut to what is available.
      return false;
    }
    cluster.frame[i] = taken->frame;
    c.core.pfns.begin_read(taken->frame, cluster.pte[i], cluster.raw[i]);
    c.space.tables().replace(c.cpu, cluster.pte[i],
                             c.core.codec.transition(taken->frame, c.core.codec.protection(cluster.raw[i])));
  }
  return true;
}

void put_back(Context& c, const Cluster& cluster, std::size_t i) PAGODA_REQUIRES(c.space.lock, c.core.pfns.lock) {
  c.space.tables().replace(c.cpu, cluster.pte[i], cluster.raw[i]);
  c.core.pfns.abandon_read(cluster.frame[i]);
}

machine::DiskTransfer read(const Context& c, const Cluster& cluster, std::size_t first, std::size_t count) {
  PagingFile& file = c.core.paging_files[c.core.codec.file(cluster.raw[first])];
  const FileOffset at(bytes_of(PageCount(c.core.codec.slot(cluster.raw[first]).value())).value());
  return file.file().read(c.cpu, at, std::span(cluster.frame).subspan(first, count));
}

}  // namespace

Outcome page_file(Context& c) {
  Cluster cluster = choose(c, std::min<std::size_t>(c.core.tunables.read_cluster, kMaxTransferPages));
  if (!prepare(c, cluster)) return {Status::kNoMemory};
  machine::DiskTransfer transfer = read(c, cluster, 0, cluster.count);
  std::size_t first = 0;
  std::size_t count = cluster.count;
  std::uint64_t operations = 1;
  std::uint64_t errors = 0;
  if (transfer.status != Status::kSuccess) {
    ++errors;
    if (cluster.count > 1) {
      // The error may be a neighbour's. The access needs one page: ask for that alone.
      first = cluster.wanted;
      count = 1;
      transfer = read(c, cluster, first, count);
      ++operations;
      if (transfer.status != Status::kSuccess) ++errors;
    }
  }

  const LockGuard guard(c.core.pfns.lock);
  Counters& counters = c.core.counters;
  counters.page_file_reads += operations;
  counters.read_errors += errors;
  const bool arrived = transfer.status == Status::kSuccess;
  for (std::size_t i = 0; i < cluster.count; ++i) {
    if (arrived && i >= first && i < first + count) {
      c.core.pfns.set_read_completes(cluster.frame[i], transfer.completes);
      c.core.note(c.cpu, EventKind::kReadStarted, cluster.pte[i], cluster.frame[i], cluster.raw[i]);
    } else {
      put_back(c, cluster, i);
    }
  }
  c.cpu.wait_until(transfer.completes);
  if (!arrived) {
    c.core.note(c.cpu, EventKind::kReadFailed, c.pte, kNoPfn, c.raw);
    return {Status::kInPageError, FaultKind::kInPageError};
  }
  counters.page_file_pages_read += count;
  c.core.pfns.entry(cluster.frame[cluster.wanted]).awaited = 1;
  c.core.io.add(transfer.completes, PendingIo::Transfer::Kind::kRead, std::span(cluster.frame).subspan(first, count));
  return {Status::kSuccess, FaultKind::kPageFile};
}

}  // namespace pagoda::mm::fault
