// What a policy is told: the host and its machines at one moment, as a simulator and a live host can both measure it.
//
// Memory is in pages of 4 KiB, a stall is a share of time (0 to 1). What is not known is nullopt, never 0 and never the
// largest number: a balloon without a driver reports statistics of all ones, which are unknown, not huge
// (reference/virtualization.md 4.2, trap b).
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "pagoda/base/units.h"

namespace pagoda::policy {

// Names a machine for as long as it runs; who measures gives them out, and never the same twice.
enum class MachineId : std::uint32_t {};

struct HostMeasure {
  Time now;
  PageCount total;
  PageCount free;  // With what can be had at once without I/O (standby pages, Linux's MemAvailable).
  std::optional<PageCount> used_by_machines;
  std::optional<PageCount> swap_total;
  std::optional<PageCount> swap_free;
  std::optional<double> stall;  // PSI "some" of memory since the last measure.
};

// The statistics of a guest under virtio's names (overcommit-facts.md 2), and two that only an agent or hv_balloon
// sends. Counts run since the guest started.
struct GuestStatistics {
  Duration age;  // Since the guest filled them in.
  std::optional<PageCount> free;
  std::optional<PageCount> available;
  std::optional<PageCount> total;  // Without what is in the balloon.
  std::optional<PageCount> caches;
  std::optional<PageCount> swap_in;
  std::optional<PageCount> swap_out;
  std::optional<std::uint64_t> major_faults;
  std::optional<std::uint64_t> oom_kills;  // Linux 6.12 and later.
  std::optional<PageCount> committed;      // hv_balloon's report, or Committed_AS by an agent.
};

// virtio-balloon: what the host asked for, and what the guest has done of it. The guest never says that it gave up.
struct BalloonMeasure {
  PageCount target;
  PageCount actual;
  Time moved_at;  // When `actual` last changed.
};

struct VmMeasure {
  MachineId machine{};
  PageCount maximum;                 // What the guest believes that it has.
  std::optional<PageCount> minimum;  // What it is promised, if anything.
  std::uint64_t shares = 1000;       // Above 0.
  PageCount granted;                 // Frames of the host that it holds.
  std::optional<PageCount> active;   // The estimate of policy/activity.h, in pages.
  std::optional<BalloonMeasure> balloon;
  std::optional<GuestStatistics> guest;
  std::optional<double> stall;            // Waiting for memory, its own and the host's, since the last measure.
  std::optional<double> busy;             // Share of its processors' time, since the last measure.
  std::optional<PageCount> swapped_in;    // By the host, since the last measure.
  std::optional<PageCount> shared_saved;  // Now.
  std::optional<PageCount> compressed;    // Now.
  std::optional<PageCount> paged_out;     // Now.
};

struct Measures {
  HostMeasure host;
  std::span<const VmMeasure> machines;  // Each once, in any order.
};

// The guest's statistics if they are not older than `oldest`.
inline const GuestStatistics* fresh_statistics(const VmMeasure& vm, Duration oldest) {
  return vm.guest && vm.guest->age <= oldest ? &*vm.guest : nullptr;
}

}  // namespace pagoda::policy
