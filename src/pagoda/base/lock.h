// Ranked, annotated locks.
//
// Every lock has a rank, and a thread takes locks in ascending order of it. Debug builds check this at run time; clang
// checks what is annotated at compile time (-Wthread-safety). Ranks count per memory manager: a guest's fault may fault
// in its host and never the other way round, so all locks of a guest (depth 1, a guest's guest 2, ...) come before all
// locks of its host (depth 0).
//
//   order of taking within one manager: objects and handles (nt) -> space list -> space -> section -> PFN
//
// Of two locks of one rank only the younger object's may be taken while the older's is held, and its taker says so
// (`NextLockGuard`): a fork holds the parent's space and the child's.
//
// In the build of the interleaving tests locks and waits are those of fibers (interleave.h).
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "pagoda/base/check.h"
#include "pagoda/base/interleave.h"

#if defined(__clang__)
#define PAGODA_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define PAGODA_THREAD_ANNOTATION(x)
#endif
#define PAGODA_CAPABILITY(x) PAGODA_THREAD_ANNOTATION(capability(x))
#define PAGODA_SCOPED_CAPABILITY PAGODA_THREAD_ANNOTATION(scoped_lockable)
#define PAGODA_GUARDED_BY(x) PAGODA_THREAD_ANNOTATION(guarded_by(x))
#define PAGODA_REQUIRES(...) PAGODA_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define PAGODA_EXCLUDES(...) PAGODA_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define PAGODA_ACQUIRE(...) PAGODA_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define PAGODA_RELEASE(...) PAGODA_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define PAGODA_ASSERT_CAPABILITY(...) PAGODA_THREAD_ANNOTATION(assert_capability(__VA_ARGS__))
#define PAGODA_RETURN_CAPABILITY(x) PAGODA_THREAD_ANNOTATION(lock_returned(x))
#define PAGODA_NO_THREAD_SAFETY PAGODA_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace pagoda {

enum class LockClass : std::uint8_t { kObjects = 0, kProcessList = 1, kSpace = 2, kSection = 3, kPfn = 4, kLeaf = 5 };

class LockRank {
 public:
  // `depth`: 0 the host's manager, 1 a guest's, and so on.
  constexpr LockRank(LockClass lock_class, unsigned depth)
      : order_(static_cast<std::uint16_t>((255 - depth) * 16 + static_cast<unsigned>(lock_class))) {}
  [[nodiscard]] constexpr std::uint16_t order() const { return order_; }

 private:
  std::uint16_t order_;
};

namespace detail {
#if PAGODA_INTERLEAVE
using Mutex = interleave::Mutex;
using Condition = interleave::Condition;
#else
using Mutex = std::mutex;
using Condition = std::condition_variable;
#endif

// The run-time check of ranks (debug builds). Aborts on a lock taken out of order, with both ranks.
void note_taken(std::uint16_t order);
void note_next_taken(std::uint16_t order);
void note_released(std::uint16_t order);
void check_held(std::uint16_t order);
void check_may_wait(std::uint16_t order);

// The locks that a thread holds, in the order of taking, which is ascending.
struct HeldLocks {
  std::array<std::uint16_t, 16> orders{};
  std::size_t count = 0;
};
// This thread's: a fiber takes its own along when it stops running.
HeldLocks& held_locks();
}  // namespace detail

class WaitQueue;

class PAGODA_CAPABILITY("mutex") Lock {
 public:
  explicit Lock(LockRank rank) : rank_(rank) {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void take() PAGODA_ACQUIRE() {
#if PAGODA_DCHECKS
    detail::note_taken(rank_.order());
#endif
    mutex_.lock();
  }
  // The same where another of this rank is held, of an older object.
  void take_next() PAGODA_ACQUIRE() {
#if PAGODA_DCHECKS
    detail::note_next_taken(rank_.order());
#endif
    mutex_.lock();
  }
  void release() PAGODA_RELEASE() {
    mutex_.unlock();
#if PAGODA_DCHECKS
    detail::note_released(rank_.order());
#endif
  }
  // Tells the analysis, where it cannot see it (in lambdas, through references), that this thread holds the lock; debug
  // builds check that it holds one of this rank.
  void assert_held() const PAGODA_ASSERT_CAPABILITY() {
#if PAGODA_DCHECKS
    detail::check_held(rank_.order());
#endif
  }
  [[nodiscard]] LockRank rank() const { return rank_; }

 private:
  friend class WaitQueue;

  detail::Mutex mutex_;
  const LockRank rank_;
};

// Where threads wait for something that a lock guards: a transfer that ends, a page that comes. Who changed what is waited for
// wakes everybody; each looks again, from the top, because nothing that it saw before it let the lock go need still be so.
//
//   while (!done()) queue.wait(lock);              done_ = true; queue.wake_all();
//
// Locking: all who wait on one queue name the same lock, and `done` changes under it alone; then no wake is missed.
class WaitQueue {
 public:
  WaitQueue() = default;
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;

  // Lets the lock go, sleeps until somebody wakes the queue, and takes the lock again. May return without a wake. Of its
  // manager's locks, from the space list's on, the caller holds this one alone (debug builds check): whoever waits for what only a
  // disk or another thread can bring keeps nobody else waiting.
  void wait(Lock& lock) PAGODA_REQUIRES(lock) {
#if PAGODA_DCHECKS
    detail::check_may_wait(lock.rank_.order());
    detail::note_released(lock.rank_.order());
#endif
    std::unique_lock<detail::Mutex> held(lock.mutex_, std::adopt_lock);
    waiting_.fetch_add(1, std::memory_order_relaxed);
    woken_.wait(held);
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    static_cast<void>(held.release());  // The caller's, as before.
#if PAGODA_DCHECKS
    detail::note_taken(lock.rank_.order());
#endif
  }
  // With the lock held or without it. Costs a load when nobody waits: who waits for a change that was made under the lock
  // said so under it before.
  void wake_all() {
    if (waiting_.load(std::memory_order_relaxed) != 0) woken_.notify_all();
  }

 private:
  std::atomic<unsigned> waiting_ = 0;
  detail::Condition woken_;
};

// Holds a lock for a scope. Work that is due after unlocking goes into an object declared before the guard.
class PAGODA_SCOPED_CAPABILITY LockGuard {
 public:
  explicit LockGuard(Lock& lock) PAGODA_ACQUIRE(lock) : lock_(lock) { lock_.take(); }
  ~LockGuard() PAGODA_RELEASE() { lock_.release(); }
  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;

 private:
  Lock& lock_;
};

// Holds the lock of an object that is younger than the one whose lock of the same rank is held already.
class PAGODA_SCOPED_CAPABILITY NextLockGuard {
 public:
  explicit NextLockGuard(Lock& lock) PAGODA_ACQUIRE(lock) : lock_(lock) { lock_.take_next(); }
  ~NextLockGuard() PAGODA_RELEASE() { lock_.release(); }
  NextLockGuard(const NextLockGuard&) = delete;
  NextLockGuard& operator=(const NextLockGuard&) = delete;

 private:
  Lock& lock_;
};

}  // namespace pagoda
