// Errors that a scenario's disks are told to have.
#pragma once

#include <cstdint>

#include "pagoda/base/random.h"
#include "pagoda/machine/sim/sim_disk.h"
#include "pagoda/sim/scenario/system_config.h"

namespace pagoda::sim {

// `number`: the disk's, so that disks of one seed differ.
inline void inject(machine::SimDisk& disk, const DiskInjection& wanted, std::uint64_t seed, unsigned number) {
  machine::FaultInjection injection(Random::mix(seed ^ (number + 1)));
  injection.read_error_rate = wanted.read_errors;
  injection.write_error_rate = wanted.write_errors;
  injection.fail_operation = wanted.fail_operation;
  disk.injection() = injection;
}

}  // namespace pagoda::sim
