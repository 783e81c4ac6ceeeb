#include "pagoda/mm/threads/mapped_writer.h"

#include <algorithm>
#include <memory>
#include <span>

#include "pagoda/mm/section/control_area.h"
#include "pagoda/mm/section/mapped_write.h"
#include "pagoda/mm/threads/modified_run.h"

namespace pagoda::mm {

namespace {

// Choices, as the modified page writer's.
constexpr int kMappedTransfersPerRun = 8;
constexpr Duration kMappedRetryDelay = 10_ms;

}  // namespace

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
  for (int transfers = 0; transfers < kMappedTransfersPerRun; ++transfers) {
    {
      const LockGuard guard(core_.pfns.lock);
      if (!wanted() || cpu.now() < not_before_) return;
    }
    if (!write_cluster(cpu)) return;
  }
}

bool MappedWriter::write_cluster(Processor& cpu) {
  ModifiedRun run;
  std::shared_ptr<FileStream> file;  // Lives as long as the transfer is made; its control area need not.
  PageCount first;
  Transfers::Id transfer{};
  {
    const LockGuard guard(core_.pfns.lock);
    const Pfn head(core_.pfns.lists().modified_of_files().flink);
    if (head == kNoPfn) return false;
    run = modified_run(core_, cpu, head, core_.tunables.write_cluster);
    const ControlArea& area = *control_area_of(core_.prototypes, run.pte);
    file = area.file();
    first = area.page_of(core_.codec, core_.prototypes.address_of(run.pte));
    for (const Pfn frame : std::span(run.frame).first(run.count)) {
      const PfnEntry& entry = core_.pfns.entry(frame);
      core_.pfns.begin_write(frame, entry.original_pte);
      core_.note(cpu, EventKind::kWriteStarted, entry.pte(), frame);
    }
    transfer = core_.transfers.begin(Transfers::Kind::kWrite, std::span(run.frame).first(run.count), SlotName{});
    aged_ -= std::min(aged_, static_cast<std::uint32_t>(run.count));
  }
  const MappedWrite write = write_mapped(core_, cpu, *file, first, std::span(run.frame).first(run.count), transfer);
  if (write.status == Status::kSuccess) return true;
  const LockGuard guard(core_.pfns.lock);
  aged_ = 0;
  not_before_ = std::max(cpu.now(), write.completes) + kMappedRetryDelay;
  return true;
}

}  // namespace pagoda::mm
