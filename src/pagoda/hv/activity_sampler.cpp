#include "pagoda/hv/activity_sampler.h"

#include <algorithm>
#include <utility>

#include "pagoda/hv/partition.h"

namespace pagoda::hv {

ActivitySampler::ActivitySampler(Partition& partition, const SamplerConfig& config)
    : partition_(partition), config_(config), random_(config.seed) {
  PAGODA_CHECK(partition.config().backing != Backing::kPinned);
  partition_.second_level().watch(this);
}

ActivitySampler::~ActivitySampler() { partition_.second_level().watch(nullptr); }

std::optional<ActivitySample> ActivitySampler::advance(mm::Processor& host, Duration executed) {
  std::optional<ActivitySample> ended;
  if (ends_ != Duration{}) {
    if (executed < ends_) return std::nullopt;
    ended = running();
  }
  ends_ = executed + config_.period;
  begin_period(host);
  return ended;
}

void ActivitySampler::begin_period(mm::Processor& host) {
  const std::uint64_t memory = partition_.config().memory.value();
  const std::uint64_t wanted = std::min(config_.frames.value(), memory);
  watched_.clear();
  used_ = {};
  while (watched_.size() < wanted) {
    const Gfn frame(static_cast<std::uint32_t>(random_.below(memory)));
    const auto at = std::ranges::lower_bound(watched_, frame, {}, &Watched::frame);
    if (at == watched_.end() || at->frame != frame) watched_.insert(at, {.frame = frame});
  }
  SecondLevel& second_level = partition_.second_level();
  const machine::CostModel& costs = host.machine().costs();
  // Those that run in the machine are interrupted once.
  host.charge(costs.shootdown * partition_.processor_count() + costs.invalidate * wanted);
  const LockGuard guard(partition_.vmmem().lock);
  for (Watched& watched : watched_) watched.was_accessed = second_level.forget_cached(watched.frame);
  partition_.counts().sampled_pages += wanted;
}

ActivitySampler::Watched* ActivitySampler::find(Gfn frame) {
  const auto at = std::ranges::lower_bound(watched_, frame, {}, &Watched::frame);
  return at == watched_.end() || at->frame != frame ? nullptr : &*at;
}

bool ActivitySampler::is_watched(Gfn frame) {
  const Watched* const watched = find(frame);
  return watched != nullptr && !watched->used;
}

void ActivitySampler::note_use(Gfn frame) {
  find(frame)->used = true;
  ++used_;
  ++partition_.counts().sampled_used;
}

bool ActivitySampler::take_accessed(Gfn frame) {
  Watched* const watched = find(frame);
  return watched != nullptr && std::exchange(watched->was_accessed, false);
}

}  // namespace pagoda::hv
