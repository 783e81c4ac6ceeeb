// A virtual machine of a scenario: plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "pagoda/base/units.h"
#include "pagoda/guest/balloon_driver.h"
#include "pagoda/hv/partition_config.h"
#include "pagoda/sim/scenario/system_config.h"

namespace pagoda::sim {

// A balloon: the device, and the driver in the guest.
struct BalloonConfig {
  enum class Driver : std::uint8_t {
    kNormal,
    kAbsent,  // The device alone.
    kLate,    // Loads at a time.
    kStuck,   // Polls and reports, but moves no more from a time on.
    kDies,    // Does nothing from a time on.
    kLies,    // Touches what it gave away.
  };
  Driver driver = Driver::kNormal;
  PageCount target;  // What the host wants in it.
  // Whether the guest tells of its free memory. None: if the host's policy needs that, and the guest gives no hints.
  std::optional<bool> reports_free;
  guest::BalloonDriverSettings settings;
};

// What the host owes it, by its policy. The maximum is the machine's memory.
struct AllocationConfig {
  std::optional<PageCount> minimum;  // None: the policy has one.
  std::uint64_t shares = 1000;       // ESX's "normal" is in proportion to memory; a choice.
};

// What a plain Linux host holds it to.
struct LimitsConfig {
  std::optional<PageCount> memory_max;  // hv/memory_limits.h.
  std::optional<PageCount> swap_max;
  int oom_adjust = 0;  // sim/oom_killer.h.
};

struct VmConfig : SystemConfig {
  enum class GuestKind : std::uint8_t {
    kPlain,    // Asks its hypervisor for nothing.
    kWindows,  // Tells it which memory is hot and which is cold.
  };

  hv::PartitionConfig partition;  // Its machine.
  GuestKind guest = GuestKind::kWindows;
  Time start;
  Time stop = kNever;                       // Its power is cut.
  bool is_shared = false;                   // By contents, on a host that does.
  std::optional<mm::SharingDomain> domain;  // None: its own.
  Duration hint_period = 1_s;               // How often the guest looks for memory to hint.
  AllocationConfig allocation;
  LimitsConfig limits;  // None under a policy without a killer.
  std::optional<BalloonConfig> balloon;
  std::string where;  // "scenarios/guests.toml:40", for messages about it.
};

}  // namespace pagoda::sim
