#include "pagoda/mm/section/mapped_read.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace pagoda::mm {

namespace {

// Pages of an image's data that come together (reference/nt.md section 4; code and other files take the manager's own
// cluster).
constexpr std::size_t kImageDataCluster = 4;

std::size_t cluster_size(const Core& core, const ControlArea& area, const Subsection& subsection) {
  const std::size_t most = std::min<std::size_t>(core.tunables.read_cluster, kMaxTransferPages);
  const bool data = area.kind() == SectionKind::kImage && !is_executable(subsection.protection);
  return data ? std::min(most, kImageDataCluster) : most;
}

}  // namespace

MappedRead begin_mapped_read(Core& core, Processor& cpu, const ControlArea& area, PageCount page) {
  const LockGuard guard(core.pfns.lock);
  const PteCodec& codec = core.codec;
  if (core.prototypes.is_out(area.prototype_of(codec, page))) return {};
  const auto made = core.prototypes.make(cpu, area.prototype_of(codec, page), area);
  if (!made) return {.status = Status::kNoMemory};
  const PhysicalAddress pte = *made;
  // Taking frames may take the last other page of these entries away.
  const PrototypePool::Pin pin(core.prototypes, pte);
  if (codec.kind(core.load(cpu, pte), PteHome::kSegment) != PteKind::kSubsection) return {};
  const Subsection& subsection = area.subsection_of(page);
  const ByteCount file_size = area.file()->size();
  const auto in_file = [&](PageCount at) {
    return subsection.contains(at) && at < area.pages() && subsection.offset_of(at).value() < file_size.value() &&
           (area.kind() == SectionKind::kData || subsection.in_file(at));
  };
  if (!in_file(page)) return {.status = Status::kInPageError};
  Cluster cluster =
      gather(core, cpu, pte, cluster_size(core, area, subsection), [&](std::int64_t distance, RawPte raw) {
        const auto at = PageCount(page.value() + static_cast<std::uint64_t>(distance));
        return in_file(at) && codec.kind(raw, PteHome::kSegment) == PteKind::kSubsection;
      });
  const PageCount first = page - PageCount(cluster.wanted);
  cluster.home = PteHome::kSegment;
  cluster.file = std::shared_ptr<machine::DiskFile>(area.file(), &area.file()->file());
  cluster.at = subsection.offset_of(first);
  if (area.kind() == SectionKind::kImage) cluster.bytes = subsection.file_bytes - bytes_of(first - subsection.first);
  if (!begin_read(core, cpu, cluster)) return {.status = Status::kNoMemory};
  return {.cluster = std::move(cluster)};
}

}  // namespace pagoda::mm
