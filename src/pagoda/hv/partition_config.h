// What a virtual machine is made of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pagoda/base/units.h"
#include "pagoda/machine/balloon.h"
#include "pagoda/machine/machine.h"
#include "pagoda/machine/paging_mode.h"
#include "pagoda/machine/sim/sim_disk.h"
#include "pagoda/machine/tlb.h"
#include "pagoda/mm/space/working_set.h"

namespace pagoda::mm {
class Section;
}  // namespace pagoda::mm

namespace pagoda::hv {

enum class MmuKind : std::uint8_t {
  kNested,       // The hardware walks the guest's tables and the second level.
  kShadow,       // It walks tables that the hypervisor derives from the guest's.
  kParavirtual,  // It walks the guest's tables, whose changes the guest tells the hypervisor.
};
enum class Backing : std::uint8_t {
  kVirtual,   // Ordinary memory of vmmem, committed when the partition is made. HCS: AllowOvercommit.
  kDeferred,  // The same, each page committed by its first touch. HCS: EnableDeferredCommit. Without charge left the
              // virtual machine waits, and is lost after a while.
  kPinned,    // Large pages, nonpageable.
};

// A file of the host that lies in guest-physical memory.
struct DirectMapConfig {
  std::string name;
  mm::Section* section = nullptr;  // The host manager's; read-only is enough. Stays the caller's.
};

struct PartitionConfig {
  std::string name = "vm";
  PageCount memory = pages_of(64_MiB);  // A multiple of 2 MB where it is pinned.
  machine::PteFormat paging = machine::PteFormat::kAmd64;
  unsigned processors = 1;
  machine::TlbGeometry tlb = machine::TlbGeometry::kLarge;
  machine::TlbRefill refill = machine::TlbRefill::kHardware;
  MmuKind mmu = MmuKind::kNested;
  Backing backing = Backing::kVirtual;
  // Pages that one violation fills at most: a power of two, aligned. HCS: FaultClusterSizeShift 4, 64 KB.
  PageCount fault_cluster{16};
  // Frames that shadow tables may take: room for a path at least.
  PageCount shadow_limit{1024};
  // Whether leaf tables of the guest may be out of sync with the shadow's.
  bool unsync = true;
  bool cold_hints = true;
  bool hot_hints = true;
  bool cold_discard_hints = true;
  std::optional<machine::BalloonFeatures> balloon;  // What its balloon offers. None: it has none.
  std::vector<machine::DiskModel> disks;
  std::vector<DirectMapConfig> direct_maps;
  std::optional<mm::WorkingSet::Limits> limits;  // vmmem's. None: up to all of its memory.
  // Limits of a machine whose backing is deferred (hv/memory_limits.h): of its pages in memory, not below the minimum of
  // vmmem's working set, and of those out of it.
  std::optional<PageCount> memory_max;
  std::optional<PageCount> swap_max;
};

}  // namespace pagoda::hv
