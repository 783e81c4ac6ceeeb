// What a host holds a virtual machine to, as a memory cgroup does: how much of it may be in the host's memory, and how
// much out of it. Both are limits of vmmem's working set, which mm keeps.
//
//   touched, charged page by page  =  in the working set  +  out of it
//
//   in  <= memory_max   a hard maximum: what comes in replaces another page
//   out <= swap_max     a minimum of what was touched less swap_max, which no trim goes below
//
// A first touch adds a page, so both together are the most that a machine may have touched; then, and where the host has
// no slot left for the page that would have to go, it is refused.
//
// What counts: each page once, whole. A page in the compression store counts as out, though it takes host memory: cgroup
// v2 charges memory.swap.current a slot for it, as zswap's page has one. So does one that is on its way to a paging file
// or lies on standby: its frame is the host's; and one that was found to hold zeros, which the store of zswap has a slot
// for too. What does not count: a copy that a page in memory has in a paging file as well, the host's own tables for the
// machine, and what compressed pages take, which is the store's (memory.current has both).
//
// Locking: takes vmmem's lock, and the host's list of spaces. Source: Linux's Documentation/admin-guide/cgroup-v2.rst
// ("memory.max", "memory.swap.max"), mm/zswap.c.
#pragma once

#include <optional>
#include <string>

#include "pagoda/hv/partition_config.h"
#include "pagoda/mm/memory_manager.h"

namespace pagoda::hv {

class MemoryLimits {
 public:
  // Requires: the machine's memory commits on touch, all in the region of `memory`; all that is named outlives this.
  MemoryLimits(mm::MemoryManager& host, mm::ProcessSpace& vmmem, const PartitionConfig& config, Vpn memory);

  // The working set that the machine begins with.
  static mm::WorkingSet::Limits working_set(const PartitionConfig& config, mm::WorkingSet::Limits limits);

  struct Refusal {
    enum class Cause : std::uint8_t {
      kLimits,  // The machine's own.
      kHost,    // It cannot keep in memory what may not leave it.
    } cause = Cause::kLimits;
    std::string why;
  };
  // One more page is about to be touched for the first time. Nothing: it may be.
  std::optional<Refusal> admit(mm::Processor& cpu);
  // Whether one more may be that nobody needs yet: it may not cost the machine another page.
  bool admit_neighbour(mm::Processor& cpu);
  // The machine has given pages back.
  void settle(mm::Processor& cpu);
  // How many pages may leave the working set.
  [[nodiscard]] PageCount may_leave();

 private:
  [[nodiscard]] PageCount touched();
  [[nodiscard]] PageCount in_memory();
  [[nodiscard]] bool host_has_slots();
  // What may not leave memory once so many are touched.
  [[nodiscard]] PageCount minimum_for(PageCount touched) const;
  // False: the host cannot keep so many.
  bool set_minimum(mm::Processor& cpu, PageCount minimum);
  // Whether the host can keep so many pages more than the minimums of all working sets are.
  [[nodiscard]] bool host_can_keep(PageCount more);

  mm::MemoryManager& host_;
  mm::ProcessSpace& vmmem_;
  const PartitionConfig& config_;
  const VirtualAddress memory_;
  const PageCount least_;  // The minimum without a limit.
};

}  // namespace pagoda::hv
