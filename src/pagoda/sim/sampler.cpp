#include "pagoda/sim/sampler.h"

#include <algorithm>
#include <utility>

#include "pagoda/mm/combine/combiner.h"

namespace pagoda::sim {

void Sampler::add(Time time, const mm::MemoryManager& manager, std::vector<ProcessSample> processes, VmSamples vms) {
  const mm::FrameCounts frames = manager.frame_counts();
  const mm::MemoryManager::CommitInfo commit = manager.commit();
  const mm::MemoryManager::ResidentInfo resident = manager.resident();
  const mm::Combiner::Statistics sharing = manager.combiner().statistics();
  Sample sample{.time = time,
                .frames = {.active_private = frames.active - frames.page_tables - frames.prototypes -
                                             frames.shared_file - frames.shared_page_file - frames.compression_store,
                           .active_shared_file = frames.shared_file,
                           .active_shared_page_file = frames.shared_page_file,
                           .active_page_tables = frames.page_tables,
                           .active_prototypes = frames.prototypes,
                           .transition = frames.transition,
                           .modified = frames.modified + frames.modified_no_write,
                           .free = frames.free,
                           .zeroed = frames.zeroed,
                           .bad = frames.bad,
                           .system = frames.system,
                           .active_compression_store = frames.compression_store,
                           .standby = frames.standby},
                .commit_charge = commit.charged,
                .commit_limit = commit.limit,
                .resident_charge = resident.charged,
                .resident_limit = resident.limit,
                .page_file_used = {},
                .page_file_size = {},
                .shared_contents = sharing.shared,
                .shared_saved = sharing.saved,
                .template_pages = vms.template_pages,
                .template_saved = {},
                .counters = manager.counters(),
                .processes = std::move(processes),
                .vms = std::move(vms.vms)};
  for (const VmSample& vm : sample.vms) sample.template_saved += vm.from_templates;
  sample.template_saved -= sample.template_pages;
  for (const mm::PagingFileInfo& file : manager.paging_files()) {
    sample.page_file_used += file.used;
    sample.page_file_size += file.size;
  }
  samples_.push_back(std::move(sample));
  ++interval_number_;
}

// Demand over a joined interval is at least the larger half; distinct pages of both cannot be told any more.
void Sampler::thin() {
  if (samples_.size() < kMost) return;
  for (std::size_t i = 1; i < samples_.size(); ++i) {
    if (i % 2 == 0) continue;
    if (i + 1 == samples_.size()) break;
    for (std::size_t process = 0; process < samples_[i].processes.size(); ++process) {
      PageCount& demand = samples_[i + 1].processes[process].demand;
      demand = std::max(demand, samples_[i].processes[process].demand);
    }
  }
  std::vector<Sample> kept;
  kept.reserve(samples_.size() / 2 + 1);
  for (std::size_t i = 0; i < samples_.size(); i += 2) kept.push_back(std::move(samples_[i]));
  samples_ = std::move(kept);
  interval_ = interval_ * 2;
  next_ = samples_.size();
}

void Sampler::finish(Time end, const mm::MemoryManager& manager, std::vector<ProcessSample> processes, VmSamples vms) {
  if (!samples_.empty() && samples_.back().time == end) return;
  add(end, manager, std::move(processes), std::move(vms));
}

}  // namespace pagoda::sim
