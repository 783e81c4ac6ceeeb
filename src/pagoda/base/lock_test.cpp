#include "pagoda/base/lock.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace pagoda {
namespace {

constexpr unsigned kHost = 0;
constexpr unsigned kGuest = 1;
constexpr unsigned kGuestsGuest = 2;

TEST(Lock, RanksRiseFromGuestToHostAndFromSpaceToPfn) {
  const std::vector<LockRank> ascending{
      {LockClass::kSpace, kGuestsGuest}, {LockClass::kLeaf, kGuestsGuest}, {LockClass::kProcessList, kGuest},
      {LockClass::kSpace, kGuest},       {LockClass::kSection, kGuest},    {LockClass::kPfn, kGuest},
      {LockClass::kLeaf, kGuest},        {LockClass::kProcessList, kHost}, {LockClass::kSpace, kHost},
      {LockClass::kSection, kHost},      {LockClass::kPfn, kHost},         {LockClass::kLeaf, kHost}};
  for (std::size_t i = 1; i < ascending.size(); ++i) EXPECT_LT(ascending[i - 1].order(), ascending[i].order()) << i;
}

TEST(Lock, AGuestsFaultMayFaultInItsHost) {
  Lock guest_space({LockClass::kSpace, kGuest});
  Lock guest_pfn({LockClass::kPfn, kGuest});
  Lock host_space({LockClass::kSpace, kHost});
  Lock host_pfn({LockClass::kPfn, kHost});
  const LockGuard a(guest_space);
  const LockGuard b(guest_pfn);
  const LockGuard c(host_space);
  const LockGuard d(host_pfn);
}

TEST(Lock, ReleasedInAnyOrder) {
  Lock space({LockClass::kSpace, kHost});
  Lock section({LockClass::kSection, kHost});
  Lock pfn({LockClass::kPfn, kHost});
  space.take();
  section.take();
  space.release();
  pfn.take();
  section.release();
  pfn.release();
  const LockGuard again(space);  // Nothing is held any more that would forbid it.
}

struct Counter {
  Lock lock{LockRank(LockClass::kLeaf, kHost)};
  std::uint64_t value PAGODA_GUARDED_BY(lock) = 0;
};

TEST(Lock, ThreadsTakeTurns) {
  constexpr std::uint64_t kThreads = 4;
  constexpr std::uint64_t kRounds = 5'000;
  Counter counter;
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&counter] {
        for (std::uint64_t round = 0; round < kRounds; ++round) {
          const LockGuard guard(counter.lock);
          ++counter.value;
        }
      });
    }
  }
  const LockGuard guard(counter.lock);
  EXPECT_EQ(counter.value, kThreads * kRounds);
}

TEST(Lock, ThreadsHaveTheirOwnOrder) {
  Lock space({LockClass::kSpace, kHost});
  Lock pfn({LockClass::kPfn, kHost});
  const LockGuard high(pfn);
  std::jthread([&space] { const LockGuard low(space); });  // What another thread holds is no business of this one.
}

TEST(WaitQueue, AWakeReachesEveryWaiterAndTheLockIsHeldAgain) {
  constexpr std::uint64_t kWaiters = 3;
  Counter counter;
  WaitQueue arrived;
  WaitQueue opened;
  bool open = false;
  std::uint64_t passed = 0;
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 0; i < kWaiters; ++i) {
      threads.emplace_back([&] {
        const LockGuard guard(counter.lock);
        ++counter.value;
        arrived.wake_all();
        while (!open) opened.wait(counter.lock);
        ++passed;  // Under the lock: ThreadSanitizer would say if it were not.
      });
    }
    const LockGuard guard(counter.lock);
    while (counter.value < kWaiters) arrived.wait(counter.lock);
    EXPECT_EQ(passed, 0u);
    open = true;
    opened.wake_all();
  }
  EXPECT_EQ(passed, kWaiters);
}

TEST(WaitQueue, AGuestsLocksMayBeHeldWhileItsHostWaits) {
  Lock guest_pfn({LockClass::kPfn, kGuest});
  Lock host_pfn({LockClass::kPfn, kHost});
  WaitQueue queue;
  bool done = false;
  const LockGuard guest(guest_pfn);
  const LockGuard host(host_pfn);
  std::jthread waker([&] {
    const LockGuard guard(host_pfn);
    done = true;
    queue.wake_all();
  });
  while (!done) queue.wait(host_pfn);
}

#if PAGODA_DCHECKS
void wait_holding_both(Lock& first, Lock& second) {
  WaitQueue queue;
  const LockGuard a(first);
  const LockGuard b(second);
  queue.wait(second);
}

TEST(WaitQueueDeathTest, WaitingWithAnotherLockOfTheManagerDies) {
  Lock space({LockClass::kSpace, kHost});
  Lock pfn({LockClass::kPfn, kHost});
  EXPECT_DEATH(wait_holding_both(space, pfn), "check failed");
}

void take_both(Lock& first, Lock& second) {
  const LockGuard a(first);
  const LockGuard b(second);
}

TEST(LockDeathTest, OutOfOrderTakeDies) {
  Lock space({LockClass::kSpace, kHost});
  Lock pfn({LockClass::kPfn, kHost});
  EXPECT_DEATH(take_both(pfn, space), "check failed");
}

TEST(LockDeathTest, GuestsLockUnderItsHostsDies) {
  Lock host_space({LockClass::kSpace, kHost});
  Lock guest_pfn({LockClass::kPfn, kGuest});
  EXPECT_DEATH(take_both(host_space, guest_pfn), "check failed");
}

TEST(LockDeathTest, TwoOfOneRankDie) {
  Lock one({LockClass::kSection, kHost});
  Lock other({LockClass::kSection, kHost});
  EXPECT_DEATH(take_both(one, other), "check failed");
  EXPECT_DEATH(take_both(one, one), "check failed");
}
#endif

}  // namespace
}  // namespace pagoda
