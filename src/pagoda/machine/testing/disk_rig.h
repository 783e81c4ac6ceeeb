// For tests: a disk of round numbers, on a machine that charges nothing for setting a transfer up, and what the host lets
// one of its calls move.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "pagoda/base/random.h"
#include "pagoda/machine/sim/sim_disk.h"
#include "pagoda/machine/sim/sim_machine.h"

namespace pagoda::machine::testing {

// What the next transfers are allowed: POSIX lets them move less than they were asked to, and be interrupted. Obeyed by
// the preadv and pwritev of sim_disk_test.cpp.
inline struct Host {
  std::size_t bytes_per_call = SIZE_MAX;
  bool interrupts = false;
  std::uint64_t calls = 0;
} host;

inline constexpr FileOffset kStart{0};

// 4096 bytes take 4096 ns.
inline DiskModel round_model() {
  return {.capacity = 1_MiB * 16, .latency = 100_us, .bandwidth_per_second = ByteCount(1'000'000'000), .depth = 32};
}

struct Rig {
  explicit Rig(DiskModel model = round_model())
      : machine(*SimMachine::create({.costs = costs(), .disks = {std::move(model)}})),
        cpu(machine->processor()),
        disk(machine->sim_disk()),
        file(*disk.create("test")) {}

  // Setting up a transfer costs nothing, so that times are the disk's alone.
  static CostModel costs() {
    CostModel costs;
    costs.disk_operation = Cycles(0);
    return costs;
  }
  void fill(Pfn frame, std::uint64_t seed) {
    for (std::uint64_t at = 0; at < kPageBytes; at += 8)
      cpu.physical().store<std::uint64_t>(PhysicalAddress(frame) + ByteCount(at), Random::mix(seed + at));
  }

  std::unique_ptr<SimMachine> machine;
  Processor& cpu;
  SimDisk& disk;
  std::unique_ptr<DiskFile> file;
};

}  // namespace pagoda::machine::testing
