// A small machine with a memory manager for random operations, as numbers that print as C++.
#pragma once

#include <cstdint>
#include <string>

#include "pagoda/base/random.h"
#include "pagoda/machine/sim/sim_machine.h"
#include "pagoda/mm/memory_manager.h"

namespace pagoda::mm::testing {

struct World {
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  machine::TlbRefill refill = machine::TlbRefill::kHardware;
  machine::TlbGeometry tlb = machine::TlbGeometry::kLarge;
  std::uint64_t frames = 96;
  unsigned processors = 1;
  unsigned spaces = 1;
  unsigned paging_files = 1;         // Each on a disk of its own.
  std::uint64_t file_minimum = 256;  // Pages.
  std::uint64_t file_maximum = 256;
  unsigned files = 2;             // That are mapped; all on one more disk.
  std::uint64_t file_pages = 40;  // What each has at first.
  unsigned read_cluster = 8;
  unsigned write_cluster = 16;
  std::uint64_t minimum_free = 10;
  std::uint64_t plenty_free = 16;
  std::uint64_t modified_maximum = 16;
  std::uint64_t commit_reserve = 16;
  std::uint64_t working_set_minimum = 10;
  std::uint64_t working_set_maximum = 40;
  bool hard_maximum = false;
  bool yields = false;                   // Processors give back what has to wait (Waiting::kYields).
  std::uint64_t compression_budget = 0;  // Frames; none: no compression store.
  std::uint64_t most_compressed = 3072;  // Bytes. A page of a word takes about 30.
  bool find_zero_pages = true;
  bool random_victims = false;
  double read_errors = 0;
  double write_errors = 0;
  std::uint64_t seed = 1;  // For the disks' errors.

  static World random(Random& random);

  [[nodiscard]] machine::SimMachineConfig machine_config() const;
  [[nodiscard]] MemoryManagerConfig manager_config() const;
  [[nodiscard]] WorkingSet::Limits limits() const;
};

// As initializers of C++.
std::string to_string(const World& world);

}  // namespace pagoda::mm::testing
