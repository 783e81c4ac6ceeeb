// Runs programs as fibers and decides at every point (base/interleave.h) who goes on: a seed is an interleaving.
//
//   Scheduler scheduler;
//   const auto outcome = scheduler.run({[&] { fault(); }, [&] { trim(); }}, seed);
//
// Three quarters of the seeds are scheduled as PCT does: every fiber has a priority, the highest that can run does, and at a few
// random points the running one falls below all others. A fault that needs d such changes at the right places among k points with
// n fibers is found with a probability of at least 1/(n k^(d-1)) a seed (Burckhardt, Kothari, Musuvathi, Nagarakatte, "A Randomized
// Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010). k is not known before, so the changes lie within a depth
// that is random too. The other seeds walk at random, which finds what needs many changes at places that do not matter.
//
// Windows are few, and as long as everybody else runs: by the seed, the running fiber falls at none of them, at one in eight, or at
// every other.
//
// Locking: one thread. A lock that a fiber waits for is nobody's business outside `run`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "pagoda/base/lock.h"
#include "pagoda/base/random.h"
#include "tests/interleave/fiber.h"

namespace pagoda::interleave {

class Scheduler {
 public:
  enum class End : std::uint8_t {
    kAllDone,
    kDeadlock,  // Nobody can run. What the fibers hold on their stacks is never released.
    kLivelock,  // They ran for kMostPoints and did not come to an end. The same.
  };
  struct Outcome {
    End end = End::kAllDone;
    std::uint64_t points = 0;
    std::uint64_t switches = 0;
    std::uint64_t trace = 0;  // A hash of who ran when.
  };

  // A choice: scenarios take hundreds to some thousands.
  static constexpr std::uint64_t kMostPoints = 200'000;

  Scheduler() = default;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  Outcome run(std::vector<std::function<void()>> programs, std::uint64_t seed);

  // --- For programs ---
  // The one whose program calls. Requires: inside of `run`.
  static Scheduler& current();
  // The program has nothing to do until others have done something.
  void yield();

  // --- What base/interleave.h asks for ---
  static void point();
  static void window();
  static void sleep_on(const void* what);
  static void wake(const void* what);

 private:
  struct Task {
    std::unique_ptr<Fiber> fiber;
    std::function<void()> program;
    detail::HeldLocks held;
    const void* waits_for = nullptr;
    std::int64_t priority = 0;
    bool done = false;
  };

  void plan(std::uint64_t seed);
  void at_point();
  void demote(Task& task) { task.priority = --lowest_; }
  [[nodiscard]] Task* choose();
  void leave_for(Task* next);

  Fiber main_;
  std::vector<std::unique_ptr<Task>> tasks_;  // The first `count_` are used; the stacks are kept for later runs.
  std::size_t count_ = 0;
  Task* running_ = nullptr;
  Task main_task_;  // What `run` was called with.
  Outcome outcome_;

  Random random_{0};
  bool random_walk_ = false;
  std::uint64_t walk_chance_ = 1;       // A walk leaves the running fiber once in so many points.
  std::vector<std::uint64_t> changes_;  // Points at which the running fiber is demoted, in order from the back.
  std::uint64_t window_chance_ = 0;     // The running fiber falls at one in so many windows; 0: at none.
  std::int64_t lowest_ = 0;
  std::uint64_t running_since_ = 0;  // The point.
  bool look_ = false;                // Somebody woke up, or fell: another may have to run.
};

}  // namespace pagoda::interleave
