#include "pagoda/sim/virtual_cpu.h"

#include <algorithm>

#include "pagoda/sim/guest.h"

namespace pagoda::sim {

Time VirtualCpu::ready_at() const { return halted_ ? guest_.wake_time(*this) : Task::ready_at(); }

bool VirtualCpu::take(machine::SimProcessor& core) {
  halted_ = false;
  if (guest_.is_lost()) {
    if (core.now() >= guest_.loss_->time) {
      guest_.lose();
    } else {
      wait_for_loss(guest_.loss_->time);
    }
    return false;
  }
  if (is_blocked(core.now())) return false;
  guest_.partition_->processor(number_).world().enter(core);
  guest_.update_cpus();
  return true;
}

void VirtualCpu::leave(machine::SimProcessor& /*core*/) { guest_.partition_->processor(number_).world().leave(); }

Duration VirtualCpu::host_waits() const { return guest_.partition_->processor(number_).world().waited(); }

void VirtualCpu::wait_for_loss(Time time) {
  halted_ = false;
  set_state(State::kWaiting);
  set_ready_at(time);
}

bool VirtualCpu::is_blocked(Time now) {
  const Time until = guest_.blocked_until_;
  if (now >= until) return false;
  set_state(State::kWaiting);
  set_ready_at(until);
  waited_ += until - now;
  return true;
}

Duration VirtualCpu::waited(Time now) const {
  const bool is_waiting = state() == State::kWaiting && !halted_ && ready_at() > now;
  return is_waiting ? waited_ - std::min(ready_at() - now, waited_) : waited_;
}

Input<> VirtualCpu::run(machine::SimProcessor& core, Time horizon) {
  if (guest_.is_lost()) {  // On account of another one.
    wait_for_loss(guest_.loss_->time);
    return {};
  }
  if (is_blocked(core.now())) return {};
  machine::SimProcessor& processor = guest_.partition_->machine().processor(number_);
  const Time began = core.now();
  const Duration waits_before = host_waits();
  const std::uint64_t misses_before = core.counts().tlb_misses;
  processor.advance_to(began);
  auto next = Next::kGoesOn;
  try {
    next = PAGODA_TRY(run_guest(horizon));
  } catch (const hv::GuestMemoryLost& lost) {
    guest_.doom(lost.what(), processor.now() - std::min(host_waits() - waits_before, processor.now() - began),
                processor.now());
    next = Next::kWaits;
  }
  const Duration elapsed = processor.now() - began;
  const Duration waited = std::min(host_waits() - waits_before, elapsed);
  core.resume_at(began + (elapsed - waited));
  accesses_ += core.counts().tlb_misses - misses_before;
  busy_ += elapsed - waited;
  waited_ += waited;
  if (next != Next::kGoesOn) {
    set_state(State::kWaiting);
    set_ready_at(processor.now());
    halted_ = next == Next::kHalts;
  }
  guest_.update_cpus();
  return {};
}

Input<VirtualCpu::Next> VirtualCpu::run_guest(Time horizon) {
  Scheduler& scheduler = guest_.system_->scheduler();
  Scheduler::Cpu& cpu = scheduler.cpus()[number_];
  machine::SimProcessor& processor = *cpu.processor;
  const Duration waits_before = host_waits();
  for (;;) {
    scheduler.run_system_threads(processor);
    if (host_waits() > waits_before) return Next::kWaits;
    if (processor.now() >= horizon) return Next::kGoesOn;
    if (cpu.running != nullptr) {
      Task& task = *cpu.running;
      const auto tell_waits = [&] {
        if (host_waits() > waits_before) task.waited_outside(host_waits() - waits_before);
      };
      try {
        PAGODA_TRY(scheduler.run_slice(cpu, horizon));
      } catch (const hv::GuestMemoryLost&) {
        tell_waits();
        task.set_state(Task::State::kWaiting);
        task.set_ready_at(processor.now());
        throw;
      }
      tell_waits();
      continue;
    }
    Task* const next = scheduler.next_waiting();
    if (next != nullptr && next->ready_at() <= processor.now()) {
      scheduler.assign(cpu, *next);
    } else if (!scheduler.zero_pages(processor)) {
      return Next::kHalts;
    }
  }
}

}  // namespace pagoda::sim
