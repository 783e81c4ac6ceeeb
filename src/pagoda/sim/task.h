// What a processor of some machine runs: a process, or, on a host's processor, a virtual processor of a guest. A
// Scheduler hears of what changes in it while it is not running by Scheduler::update.
#pragma once

#include <cstdint>
#include <optional>

#include "pagoda/base/input_error.h"
#include "pagoda/base/units.h"
#include "pagoda/machine/sim/sim_processor.h"

namespace pagoda::sim {

class Task {
 public:
  enum class State : std::uint8_t { kNotStarted, kReady, kRunning, kWaiting, kDone };

  Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  virtual ~Task() = default;

  [[nodiscard]] State state() const { return state_; }
  void set_state(State state) { state_ = state; }
  // When a task that waits can go on; kNever: when another task wakes it.
  [[nodiscard]] virtual Time ready_at() const { return ready_at_; }
  void set_ready_at(Time time) { ready_at_ = time; }
  [[nodiscard]] bool waits() const { return state_ != State::kRunning && state_ != State::kDone; }

  // Gets the processor. False: not now, try again at `ready_at`; or never, and it is done.
  virtual bool take(machine::SimProcessor& cpu) = 0;
  // Executes until the processor's clock reaches `horizon`, or it waits, or it ends: `state` says which. Fails only if
  // an input does, or on wrong contents.
  virtual Input<> run(machine::SimProcessor& cpu, Time horizon) = 0;
  // Tells how much of the time that `run` just took it waited for something outside of this machine.
  virtual void waited_outside(Duration /*time*/) {}
  // Gives the processor back; if it is done, for good.
  virtual void leave(machine::SimProcessor& cpu) = 0;
  // Loads, stores and fetches that it did by itself on the processor.
  [[nodiscard]] virtual std::uint64_t accesses() const = 0;

 private:
  friend class Scheduler;

  State state_ = State::kNotStarted;
  Time ready_at_;
  unsigned number_ = 0;               // In its scheduler's list,
  std::optional<Time> queued_until_;  // and where it stands among those that wait.
};

}  // namespace pagoda::sim
