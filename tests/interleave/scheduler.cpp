#include "tests/interleave/scheduler.h"

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "pagoda/base/check.h"

namespace pagoda::interleave {

namespace {

// Fibers are one thread's, and so is their scheduler.
Scheduler* current_scheduler = nullptr;

// Choices. The deepest change lies within so many points, which is about what a scenario takes; a fiber that ran for so many points
// may be waiting for what a lower one has to do, without saying so.
constexpr unsigned kMostDepthBits = 12;
constexpr unsigned kMostChanges = 5;
constexpr std::uint64_t kPatience = 2000;

}  // namespace

void point() { Scheduler::point(); }
void window() { Scheduler::window(); }
void sleep_on(const void* what) { Scheduler::sleep_on(what); }
void wake(const void* what) { Scheduler::wake(what); }

Scheduler& Scheduler::current() {
  PAGODA_CHECK(current_scheduler != nullptr);
  return *current_scheduler;
}

void Scheduler::plan(std::uint64_t seed) {
  random_ = Random(seed);
  std::vector<std::int64_t> priorities;
  for (std::size_t i = 0; i < count_; ++i) priorities.push_back(static_cast<std::int64_t>(i) + 1);
  for (std::size_t i = count_; i > 1; --i) std::swap(priorities[i - 1], priorities[random_.below(i)]);
  for (std::size_t i = 0; i < count_; ++i) tasks_[i]->priority = priorities[i];
  lowest_ = 0;
  changes_.clear();
  constexpr std::array<std::uint64_t, 3> kWindowChances{0, 8, 2};
  window_chance_ = kWindowChances[random_.below(kWindowChances.size())];
  random_walk_ = random_.below(4) == 0;
  if (random_walk_) {
    walk_chance_ = std::uint64_t{2} << random_.below(6);
    return;
  }
  const std::uint64_t depth = std::uint64_t{1} << (4 + random_.below(kMostDepthBits - 3));
  for (std::uint64_t i = random_.below(kMostChanges + 1); i > 0; --i) changes_.push_back(1 + random_.below(depth));
  std::ranges::sort(changes_, std::greater());
}

Scheduler::Outcome Scheduler::run(std::vector<std::function<void()>> programs, std::uint64_t seed) {
  PAGODA_CHECK(current_scheduler == nullptr);
  count_ = programs.size();
  for (std::size_t i = 0; i < count_; ++i) {
    if (i == tasks_.size()) tasks_.push_back(std::make_unique<Task>());
    Task& task = *tasks_[i];
    task.program = std::move(programs[i]);
    task.held = {};
    task.waits_for = nullptr;
    task.done = false;
    auto body = [this, &task] {
      task.program();
      task.done = true;
      leave_for(choose());
    };
    if (task.fiber == nullptr) {
      task.fiber = std::make_unique<Fiber>(std::move(body));
    } else {
      task.fiber->restart(std::move(body));
    }
  }
  plan(seed);
  outcome_ = {};
  running_since_ = 0;
  running_ = &main_task_;
  current_scheduler = this;
  leave_for(choose());
  current_scheduler = nullptr;
  running_ = nullptr;
  return outcome_;
}

Scheduler::Task* Scheduler::choose() {
  look_ = false;
  Task* best = nullptr;
  std::size_t able = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    Task& task = *tasks_[i];
    if (task.done || task.waits_for != nullptr) continue;
    ++able;
    // A walk takes the nth of n with one chance in n.
    const bool better = random_walk_ ? random_.below(able) == 0 : best == nullptr || task.priority > best->priority;
    if (better) best = &task;
  }
  return best;
}

// Null: nobody can run, and `run` goes on.
void Scheduler::leave_for(Task* next) {
  if (next == running_) return;
  if (next == nullptr) {
    const auto tasks = std::span(tasks_).first(count_);
    const bool all_done = std::ranges::all_of(tasks, [](const auto& task) { return task->done; });
    if (outcome_.end != End::kLivelock) outcome_.end = all_done ? End::kAllDone : End::kDeadlock;
  }
  Task& from = *running_;
  Task& to = next == nullptr ? main_task_ : *next;
  if (next != nullptr) {
    ++outcome_.switches;
    const auto number = static_cast<std::uint64_t>(
        std::ranges::find(tasks_, next, [](const auto& task) { return task.get(); }) - tasks_.begin());
    outcome_.trace = Random::mix(outcome_.trace ^ (outcome_.points << 8 | number));
  }
  running_ = &to;
  running_since_ = outcome_.points;
  from.held = detail::held_locks();
  detail::held_locks() = to.held;
  Fiber::run(from.fiber == nullptr ? main_ : *from.fiber, to.fiber == nullptr ? main_ : *to.fiber,
             from.done ? Fiber::Leaving::kForGood : Fiber::Leaving::kForNow);
}

void Scheduler::at_point() {
  ++outcome_.points;
  if (outcome_.points > kMostPoints) {
    outcome_.end = End::kLivelock;
    leave_for(nullptr);
  }
  if (!changes_.empty() && outcome_.points >= changes_.back()) {
    while (!changes_.empty() && outcome_.points >= changes_.back()) changes_.pop_back();
    demote(*running_);
    look_ = true;
  }
  if (outcome_.points - running_since_ > kPatience) {
    running_since_ = outcome_.points;
    demote(*running_);
    look_ = true;
  }
  if (look_ || (random_walk_ && random_.below(walk_chance_) == 0)) leave_for(choose());
}

void Scheduler::yield() {
  PAGODA_CHECK(running_ != &main_task_);
  ++outcome_.points;
  demote(*running_);
  look_ = true;
  at_point();
}

void Scheduler::point() {
  if (current_scheduler != nullptr) current_scheduler->at_point();
}

void Scheduler::window() {
  if (current_scheduler == nullptr) return;
  Scheduler& self = *current_scheduler;
  if (self.window_chance_ != 0 && self.random_.below(self.window_chance_) == 0) {
    self.demote(*self.running_);
    self.look_ = true;
  }
  self.at_point();
}

void Scheduler::sleep_on(const void* what) {
  PAGODA_CHECK(current_scheduler != nullptr);  // Else nobody is there who could let it go.
  Scheduler& self = *current_scheduler;
  self.running_->waits_for = what;
  self.leave_for(self.choose());
}

void Scheduler::wake(const void* what) {
  if (current_scheduler == nullptr) return;
  for (std::size_t i = 0; i < current_scheduler->count_; ++i) {
    Task& task = *current_scheduler->tasks_[i];
    if (task.waits_for != what) continue;
    task.waits_for = nullptr;
    current_scheduler->look_ = true;
  }
}

}  // namespace pagoda::interleave
