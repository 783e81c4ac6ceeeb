#include "pagoda/sim/host_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pagoda/base/random.h"
#include "pagoda/mm/combine/combiner.h"
#include "pagoda/mm/ws/replacement.h"
#include "pagoda/policy/pages.h"
#include "pagoda/sim/policy_scale.h"

namespace pagoda::sim {

namespace {

// Why this one.
std::string verdict_on(const OomCandidate& victim) {
  const std::string adjusted = victim.adjust != 0 ? fmt::format(", adjusted by {} thousandths", victim.adjust) : "";
  return fmt::format("of all machines it held most, {}{}: the out-of-memory killer took it",
                     to_string(bytes_of(victim.sum())), adjusted);
}

// Whether the decision moves something, or holds the machine.
bool acts(const policy::Decision& decision) {
  return decision.target != decision.previous || !decision.compress.is_zero() || !decision.page_out.is_zero() ||
         !decision.reclaim_cache.is_zero() || decision.execution == policy::Execution::kBlock;
}

}  // namespace

HostPolicy::HostPolicy(const PolicyConfig& config, std::uint64_t seed, mm::MemoryManager& host,
                       const std::vector<std::unique_ptr<Guest>>& guests)
    : seed_(seed),
      scale_(config.scale),
      sampling_(config.sampling),
      states_(config.options.states.value_or(policy::StatesPreset::kEsx2002)),
      host_(host),
      guests_(guests),
      policy_(policy::find_policy(config.name)->make(config.options)),
      bill_(guests.size()),
      next_(Time{} + policy_->period()) {
  result_.name = config.name;
  result_.period = policy_->period();
  result_.accounts.resize(guests.size());
  if (policy::find_policy(config.name)->has_killer) {
    killer_.emplace();
    for (const auto& guest : guests) guest->set_charge_source(this);
  }
}

void HostPolicy::run(machine::Processor& cpu) {
  const Time now = cpu.now();
  next_ = now + policy_->period();
  entries_.clear();
  measures_.clear();
  for (std::size_t number = 0; number < guests_.size(); ++number) {
    Guest& guest = *guests_[number];
    if (!guest.is_running() || guest.is_lost()) continue;
    entries_.push_back(
        guest.watch({.number = number, .seed = Random::mix(seed_ + number), .sampling = sampling_}).look(cpu));
    measures_.push_back(enlarged(entries_.back().measure, scale_));
  }
  const policy::HostMeasure host = measure_host(now);
  policy_->decide({.host = enlarged(host, scale_), .machines = measures_}, decisions_);
  for (policy::Decision& decision : decisions_.machines) decision = reduced(decision, scale_);
  result_.in_state[static_cast<std::size_t>(state_)] += now - last_;
  const policy::FreeState state = policy::next_state(state_, host.free, policy::thresholds(states_, host.total));
  steer_sharing();
  for (std::size_t i = 0; i < entries_.size(); ++i) obey(cpu, entries_[i].machine, decisions_.machines[i]);
  bill_.add_round(entries_);
  log(now, state);
  state_ = state;
  if (killer_) kill_if_needed(cpu, host);
  last_ = now;
}

policy::HostMeasure HostPolicy::measure_host(Time now) const {
  policy::HostMeasure host{.now = now, .total = host_.machine().frame_count(), .free = host_.available()};
  PageCount slots;
  PageCount used;
  for (const mm::PagingFileInfo& file : host_.paging_files()) {
    slots += file.maximum;
    used += file.used;
  }
  host.swap_total = slots;
  host.swap_free = policy::excess(slots, used);
  PageCount granted;
  for (const BillEntry& entry : entries_) granted += entry.measure.granted;
  host.used_by_machines = granted;
  return host;
}

void HostPolicy::obey(machine::Processor& cpu, std::size_t number, const policy::Decision& decision) {
  Guest& guest = *guests_[number];
  PolicyAccount& account = result_.accounts[number];
  hv::Partition& partition = guest.partition();
  if (hv::BalloonDevice* const device = partition.machine().balloon(); device != nullptr) {
    account.asked_by_balloon += policy::excess(decision.balloon, device->target());
    account.given_back += policy::excess(device->target(), decision.balloon);
    device->set_target(decision.balloon);
  }
  if (const PageCount pages = decision.compress + decision.page_out; !pages.is_zero()) {
    mm::ProcessSpace& vmmem = partition.vmmem();
    const LockGuard guard(vmmem.lock);
    account.taken_by_paging += mm::trim_working_set(vmmem, cpu, pages, vmmem.working_set().limits().minimum, /*age=*/0);
  }
  if (decision.execution == policy::Execution::kBlock) {
    guest.block(next_);
    account.blocked += policy_->period();
  }
}

std::optional<OomCandidate> HostPolicy::worst(Time now) const {
  std::vector<OomCandidate> candidates;
  for (std::size_t number = 0; number < guests_.size(); ++number) {
    Guest& guest = *guests_[number];
    if (!guest.is_running() || guest.is_lost()) continue;
    const hv::GuestMemory::Census memory = guest.partition().memory().census();
    candidates.push_back({.machine = number,
                          .resident = memory.active + memory.modified + memory.standby,
                          .swapped = memory.compressed + memory.page_file,
                          .tables = guest.partition().table_frames().owned(),
                          .adjust = guest.oom_adjust()});
  }
  const policy::HostMeasure host = measure_host(now);
  const OomCandidate* const found = OomKiller::choose(candidates, host.total + host.swap_total.value_or(PageCount(0)));
  return found != nullptr ? std::optional(*found) : std::nullopt;
}

void HostPolicy::kill_if_needed(machine::Processor& cpu, const policy::HostMeasure& host) {
  const auto why = killer_->look({.free = host.free,
                                  .low = policy::thresholds(states_, host.total).low,
                                  .slots = host.swap_free.value_or(PageCount(0))});
  if (!why) return;
  if (const auto victim = worst(host.now))
    guests_[victim->machine]->kill(cpu, fmt::format("{}, and {}", *why, verdict_on(*victim)));
}

bool HostPolicy::find_charge(mm::Processor& host, const std::string& machine) {
  const auto victim = worst(host.now());
  if (!victim) return false;
  Guest& guest = *guests_[victim->machine];
  const bool is_asker = guest.name() == machine;
  const std::string why = fmt::format("{} touched memory that the host had nothing left for, and {}",
                                      is_asker ? "it" : fmt::format("vm \"{}\"", machine), verdict_on(*victim));
  if (is_asker) throw hv::GuestMemoryLost(why);
  guest.kill(host, why);
  return true;
}

void HostPolicy::steer_sharing() {
  if (!decisions_.sharing || !host_.combiner().has_members()) return;
  const PageCount pages = decisions_.sharing->pages_a_wake / scale_;
  host_.combiner().set_scan_rate({.of_space = pages, .in_all = pages, .period = decisions_.sharing->sleep});
}

void HostPolicy::log(Time now, policy::FreeState state) {
  ++result_.rounds;
  PolicyRound round{.time = now, .state = state, .decisions = {}};
  for (const policy::Decision& decision : decisions_.machines) {
    if (!acts(decision)) continue;
    if (result_.decisions++ < kMostTold) round.decisions.push_back(decision);
  }
  if (state != state_ || !round.decisions.empty()) result_.told.push_back(std::move(round));
}

PolicyResult HostPolicy::result(Time now) const {
  PolicyResult result = result_;
  result.in_state[static_cast<std::size_t>(state_)] += now - last_;
  bill_.close(result);
  for (std::size_t number = 0; number < guests_.size(); ++number) {
    const AllocationConfig& allocation = guests_[number]->allocation();
    result.accounts[number].shares = allocation.shares;
    result.accounts[number].minimum = allocation.minimum.value_or(PageCount(0));
  }
  return result;
}

}  // namespace pagoda::sim
