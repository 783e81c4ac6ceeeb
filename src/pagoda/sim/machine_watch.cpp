#include "pagoda/sim/machine_watch.h"

#include <algorithm>
#include <utility>

#include "pagoda/policy/pages.h"
#include "pagoda/sim/guest.h"

namespace pagoda::sim {

namespace {

constexpr policy::ActivityPreset kActivity = policy::kOsdi02Activity;

double share(Duration part, Duration whole) {
  return whole.is_zero() ? 0 : std::min(1.0, static_cast<double>(part.value()) / static_cast<double>(whole.value()));
}

// What it has grown by since it was last seen.
template <class T>
T growth(T& last, T now) {
  const T before = std::exchange(last, now);
  return now - std::min(before, now);
}

// As the guest's balloon driver told them, and an agent beside it what is committed; nothing without a driver.
std::optional<policy::GuestStatistics> statistics_of(Guest& guest, const hv::BalloonDevice& device, Time now) {
  using Tag = machine::BalloonTag;
  const auto told = device.statistics_time();
  if (!told || !device.has_driver()) return std::nullopt;
  const auto pages = [&](Tag tag) -> std::optional<PageCount> {
    const auto bytes = device.statistic(tag);
    if (!bytes) return std::nullopt;
    return PageCount(*bytes / kPageBytes);
  };
  return policy::GuestStatistics{.age = now - std::min(now, *told),
                                 .free = pages(Tag::kFree),
                                 .available = pages(Tag::kAvailable),
                                 .total = pages(Tag::kTotal),
                                 .caches = pages(Tag::kCaches),
                                 .swap_in = pages(Tag::kSwapIn),
                                 .swap_out = pages(Tag::kSwapOut),
                                 .major_faults = device.statistic(Tag::kMajorFaults),
                                 .oom_kills = device.statistic(Tag::kOomKill),
                                 .committed = guest.system().manager().commit().charged};
}

}  // namespace

MachineWatch::MachineWatch(Guest& guest, const WatchConfig& config)
    : guest_(guest), number_(config.number), activity_(kActivity), last_(guest.started()) {
  if (guest.partition().config().backing == hv::Backing::kPinned) return;
  sampler_.emplace(
      guest.partition(),
      hv::SamplerConfig{.frames = PageCount(kActivity.samples), .period = config.sampling, .seed = config.seed});
}

// In the machine's own time: without what it was kept from running.
void MachineWatch::sample(machine::Processor& cpu) {
  const Duration lived = cpu.now() - guest_.started();
  const Duration waited = guest_.waited(cpu.now()) / guest_.partition().processor_count();
  const auto count = [](PageCount pages) { return static_cast<unsigned>(pages.value()); };
  if (const auto ended = sampler_->advance(cpu, lived - std::min(waited, lived)))
    activity_.end_period(count(ended->used), count(ended->watched));
  const hv::ActivitySample running = sampler_->running();
  activity_.so_far(count(running.used), count(running.watched));
}

std::optional<policy::BalloonMeasure> MachineWatch::balloon(Time now) {
  const hv::BalloonDevice* const device = guest_.partition().machine().balloon();
  if (device == nullptr) return std::nullopt;
  const auto actual = device->actual();
  if (!actual) return std::nullopt;
  if (std::exchange(in_balloon_, *actual) != *actual) moved_at_ = now;
  return policy::BalloonMeasure{.target = device->target(), .actual = *actual, .moved_at = moved_at_};
}

std::optional<PageCount> MachineWatch::active() const {
  const auto share = activity_.estimate();
  if (!share) return std::nullopt;
  return policy::part_of(guest_.partition().config().memory, *share);
}

BillEntry MachineWatch::look(machine::Processor& cpu) {
  if (sampler_) sample(cpu);
  const Time now = cpu.now();
  hv::Partition& partition = guest_.partition();
  policy::VmMeasure vm{.machine = policy::MachineId(static_cast<std::uint32_t>(number_)),
                       .maximum = partition.config().memory,
                       .minimum = guest_.allocation().minimum,
                       .shares = guest_.allocation().shares,
                       .granted = partition.vmmem().statistics().working_set,
                       .active = active(),
                       .balloon = balloon(now)};
  if (const hv::BalloonDevice* const device = partition.machine().balloon(); device != nullptr)
    vm.guest = statistics_of(guest_, *device, now);
  const Duration passed = now - std::exchange(last_, now);
  const Duration waited = growth(waited_, guest_.waited_for_memory(now));
  vm.stall = share(waited, passed * partition.processor_count());
  const Duration busy = growth(busy_, guest_.busy());
  vm.busy = share(busy, passed * partition.processor_count());
  vm.swapped_in = PageCount(growth(page_ins_, partition.counts().page_ins));
  return {.machine = number_, .measure = vm, .busy = busy, .waited = waited};
}

}  // namespace pagoda::sim
