// What the build of the interleaving tests (PAGODA_INTERLEAVE=1, tests/interleave/) puts in place of threads. In every other build
// nothing of this exists.
//
// There programs run as fibers of one thread, and every lock taken or released, every wait and every wake is a *point*, at which a
// seeded scheduler may let another fiber run: a seed is an interleaving. The scheduler is the tests'. Each access of a program is
// a point too, because it takes its processor's lock. Some points are *windows*: before and after the bytes of a disk transfer move,
// and between changed entries and their shoot-down. They are few beside the others, and where others' work can do most harm.
//
// A *fault switch* puts a fault back that was mended once, so that a test can show that the interleavings find it:
//
//   if (!PAGODA_FAULT_SWITCH(slot_freed_during_write)) wait_for_transfer();
#pragma once

#ifndef PAGODA_INTERLEAVE
#define PAGODA_INTERLEAVE 0
#endif

#if PAGODA_INTERLEAVE

#include <cstddef>
#include <mutex>
#include <string_view>
#include <vector>

namespace pagoda::interleave {

// --- Defined by the scheduler. Outside its fibers a point does nothing, and nobody can be waited for. ---
void point();
void window();
// Until somebody wakes it. Requires: the caller looks again at what it waits for.
void sleep_on(const void* what);
void wake(const void* what);

class Mutex {
 public:
  void lock() {
    point();
    while (held_) sleep_on(this);
    held_ = true;
  }
  void unlock() {
    held_ = false;
    wake(this);
    point();
  }

 private:
  bool held_ = false;
};

class Condition {
 public:
  void wait(std::unique_lock<Mutex>& lock) {
    // The wakes between letting go and sleeping are waited for, too: from here on they count.
    const std::size_t seen = wakes_;
    lock.unlock();
    while (wakes_ == seen) sleep_on(this);
    lock.lock();
  }
  void notify_all() {
    ++wakes_;
    wake(this);
    point();
  }

 private:
  std::size_t wakes_ = 0;
};

// Switches of all sources, by name; each exists from the start of the program on.
class FaultSwitch {
 public:
  explicit FaultSwitch(std::string_view name) : name_(name) { all().push_back(this); }
  FaultSwitch(const FaultSwitch&) = delete;
  FaultSwitch& operator=(const FaultSwitch&) = delete;

  static std::vector<FaultSwitch*>& all() {
    static std::vector<FaultSwitch*> switches;
    return switches;
  }
  [[nodiscard]] std::string_view name() const { return name_; }
  [[nodiscard]] bool is_on() const { return on_; }
  void set(bool on) { on_ = on; }

 private:
  std::string_view name_;
  bool on_ = false;
};

template <std::size_t Size>
struct SwitchName {
  char text[Size]{};
  consteval SwitchName(const char (&name)[Size]) {  // NOLINT: a string becomes a template's argument.
    for (std::size_t i = 0; i < Size; ++i) text[i] = name[i];
  }
};
template <SwitchName Name>
inline FaultSwitch fault_switch{Name.text};

}  // namespace pagoda::interleave

#define PAGODA_INTERLEAVING_WINDOW() ::pagoda::interleave::window()
#define PAGODA_FAULT_SWITCH(name) (::pagoda::interleave::fault_switch<#name>.is_on())

#else

#define PAGODA_INTERLEAVING_WINDOW() static_cast<void>(0)
#define PAGODA_FAULT_SWITCH(name) false

#endif
