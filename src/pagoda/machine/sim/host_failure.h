// What the real machine refuses a simulated one: the file system under a disk is full, read-only or gone. No error of
// the simulated disk: its requester sees a failed transfer, which it may retry or give up, but what follows is no run
// of this machine any more. Whoever drives the machine asks for failures and stops.
//
// Locking: none; any thread may report and ask.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

namespace pagoda::machine {

struct HostFailure {
  enum class Operation : std::uint8_t { kMake, kResize, kRead, kWrite } operation = Operation::kWrite;
  std::string disk;
  std::filesystem::path folder;  // Where the disk keeps its bytes; empty: in memory.
  int error = 0;                 // An errno.
};

// "disk "d": the host cannot write its bytes in "/tmp": No space left on device".
std::string to_string(const HostFailure& failure);

// The first failure of any of the disks that report here.
class HostFailures {
 public:
  void report(HostFailure failure) {
    if (claimed_.exchange(true, std::memory_order_relaxed)) return;
    first_ = std::move(failure);
    any_.store(true, std::memory_order_release);
  }
  [[nodiscard]] bool any() const { return any_.load(std::memory_order_acquire); }
  // Requires: any.
  [[nodiscard]] const HostFailure& first() const { return first_; }

 private:
  std::atomic<bool> claimed_ = false;
  HostFailure first_;  // Whoever claimed it writes it, before `any_`.
  std::atomic<bool> any_ = false;
};

}  // namespace pagoda::machine
