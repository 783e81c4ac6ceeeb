// The interleavings' own machinery: fibers, the scheduler, locks and waits under it.
#include "tests/interleave/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "pagoda/base/lock.h"

namespace pagoda::interleave {
namespace {

using End = Scheduler::End;

constexpr LockRank kRank{LockClass::kLeaf, 0};

TEST(Interleave, ASeedReplaysAnInterleaving) {
  Scheduler scheduler;
  Lock lock(kRank);
  const auto run = [&](std::uint64_t seed) {
    std::vector<int> order;
    const auto program = [&](int number) {
      return [&, number] {
        for (int i = 0; i < 30; ++i) {
          const LockGuard guard(lock);
          order.push_back(number);
        }
      };
    };
    const auto outcome = scheduler.run({program(1), program(2), program(3)}, seed);
    EXPECT_EQ(outcome.end, End::kAllDone);
    return std::pair(order, outcome.trace);
  };
  std::vector<std::uint64_t> traces;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const auto once = run(seed);
    EXPECT_EQ(once, run(seed)) << seed;
    EXPECT_EQ(once.first.size(), 90U);
    traces.push_back(once.second);
  }
  std::ranges::sort(traces);
  EXPECT_GT(std::ranges::unique(traces).begin() - traces.begin(), 100);
}

// Seeds until a run ends with what was not meant to be; 0 if none did.
template <class Run>
std::uint64_t seeds_until(std::uint64_t most, Run&& run) {
  for (std::uint64_t seed = 1; seed <= most; ++seed)
    if (run(seed)) return seed;
  return 0;
}

TEST(Interleave, FindsALostUpdate) {
  Scheduler scheduler;
  const auto found = seeds_until(1000, [&](std::uint64_t seed) {
    Lock lock(kRank);
    int value = 0;
    const auto program = [&] {
      for (int i = 0; i < 3; ++i) {
        lock.take();
        const int before = value;
        lock.release();  // The mistake.
        lock.take();
        value = before + 1;
        lock.release();
      }
    };
    EXPECT_EQ(scheduler.run({program, program}, seed).end, End::kAllDone);
    return value != 6;
  });
  EXPECT_NE(found, 0U);
}

TEST(Interleave, FindsWhatNeedsThreeChanges) {
  Scheduler scheduler;
  const auto found = seeds_until(10'000, [&](std::uint64_t seed) {
    int step = 0;
    const auto program = [&](int number) {
      return [&, number] {
        for (int i = 0; i < 20; ++i) {
          point();
          if (step % 2 == number && step < 4 && i == 5 * step) ++step;
        }
      };
    };
    EXPECT_EQ(scheduler.run({program(0), program(1)}, seed).end, End::kAllDone);
    return step == 4;
  });
  EXPECT_NE(found, 0U);
}

TEST(Interleave, NobodyIsInsideALockBesideAnother) {
  Scheduler scheduler;
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    Lock lock(kRank);
    int inside = 0;
    int most = 0;
    const auto program = [&] {
      for (int i = 0; i < 10; ++i) {
        const LockGuard guard(lock);
        most = std::max(most, ++inside);
        point();
        --inside;
      }
    };
    ASSERT_EQ(scheduler.run({program, program, program}, seed).end, End::kAllDone);
    ASSERT_EQ(most, 1) << seed;
  }
}

TEST(Interleave, FibersHaveTheirOwnRanks) {
  Scheduler scheduler;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Lock space({LockClass::kSpace, 0});
    Lock pfn({LockClass::kPfn, 0});
    const auto high = [&] {
      for (int i = 0; i < 5; ++i) {
        const LockGuard guard(pfn);
        point();
      }
    };
    const auto low = [&] {
      for (int i = 0; i < 5; ++i) {
        const LockGuard guard(space);
        point();
        const LockGuard inner(pfn);
      }
    };
    ASSERT_EQ(scheduler.run({high, low}, seed).end, End::kAllDone);
  }
}

TEST(Interleave, NoWakeIsMissed) {
  Scheduler scheduler;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    Lock lock(kRank);
    WaitQueue queue;
    int given = 0;
    int taken = 0;
    const auto taker = [&] {
      for (int i = 0; i < 4; ++i) {
        const LockGuard guard(lock);
        while (given == taken) queue.wait(lock);
        ++taken;
        queue.wake_all();
      }
    };
    const auto giver = [&] {
      for (int i = 0; i < 8; ++i) {
        const LockGuard guard(lock);
        while (given > taken) queue.wait(lock);
        ++given;
        queue.wake_all();
      }
    };
    ASSERT_EQ(scheduler.run({taker, giver, taker}, seed).end, End::kAllDone) << seed;
    ASSERT_EQ(taken, 8);
  }
}

TEST(Interleave, ADeadlockIsSeen) {
  Scheduler scheduler;
  Lock lock(kRank);
  WaitQueue queue;
  const auto waits = [&] {
    const LockGuard guard(lock);
    queue.wait(lock);
  };
  EXPECT_EQ(scheduler.run({waits, [] {}}, 1).end, End::kDeadlock);
}

TEST(Interleave, ALivelockIsSeen) {
  Scheduler scheduler;
  const auto spins = [] {
    for (;;) Scheduler::current().yield();
  };
  EXPECT_EQ(scheduler.run({spins, [] {}}, 1).end, End::kLivelock);
  EXPECT_EQ(scheduler.run({[] {}, [] {}}, 1).end, End::kAllDone);  // It can be used again.
}

TEST(Interleave, WhoYieldsLetsAllOthersRun) {
  Scheduler scheduler;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    bool done = false;
    const auto polls = [&] {
      while (!done) Scheduler::current().yield();
    };
    const auto works = [&] {
      for (int i = 0; i < 50; ++i) point();
      done = true;
    };
    ASSERT_EQ(scheduler.run({polls, works, polls}, seed).end, End::kAllDone);
  }
}

TEST(Interleave, SwitchesAreFoundByName) {
  const auto switches = FaultSwitch::all();
  const auto mine = std::ranges::find(switches, "only_this_test_has_it", &FaultSwitch::name);
  ASSERT_NE(mine, switches.end());
  EXPECT_FALSE(PAGODA_FAULT_SWITCH(only_this_test_has_it));
  (*mine)->set(true);
  EXPECT_TRUE(PAGODA_FAULT_SWITCH(only_this_test_has_it));
  (*mine)->set(false);
}

}  // namespace
}  // namespace pagoda::interleave
