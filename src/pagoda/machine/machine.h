// The hardware that a memory manager sees. `SimMachine` is the first; guests, this process's own memory and KVM come
// behind the same interface.
//
// The manager's side of the bargain: it writes entries in the machine's own format into frames, through a view; it
// makes an entry less permissive first, shoots down second, reuses the frame third; it never keeps a pointer into a
// frame.
#pragma once

#include <cstdint>
#include <span>

#include "pagoda/base/units.h"
#include "pagoda/machine/access.h"
#include "pagoda/machine/cost_model.h"
#include "pagoda/machine/paging_mode.h"
#include "pagoda/machine/physical_view.h"
#include "pagoda/machine/processor_set.h"

namespace pagoda::machine {

class Processor;
class Balloon;
class Disk;
class Hypercalls;

enum class TlbRefill : std::uint8_t {
  kHardware,  // The processor walks the tables.
  kSoftware,  // A miss is an exception; the memory manager walks and inserts (MIPS and the like).
};

// Above this many pages one flush of the space is cheaper than page by page. Choice, as Linux's
// tlb_single_page_flush_ceiling (33).
inline constexpr PageCount kSinglePageCeiling{33};

// An address space, as the caches of a machine know it.
struct CachedSpace {
  Pfn root;                       // Of its page tables. Names it: no other space that lives has it.
  Asid asid = kUntagged;          // That: maybe of several spaces.
  const ProcessorSet& loaded_on;  // Those that have the root loaded.
};

// Pages in a row whose entries became less permissive, and the frames in a row that the entries named.
struct StaleRun {
  VpnRange pages;
  // Frame of the first page, for caches that are filled by frame: they cannot find it once the entry is gone. kNoPfn:
  // any frames, and such a cache forgets all that it has of the space.
  Pfn first = kNoPfn;
};

class Machine {
 public:
  virtual ~Machine() = default;

  [[nodiscard]] virtual const PagingMode& paging() const = 0;
  [[nodiscard]] virtual TlbRefill refill() const = 0;
  // Frames 0 to frame_count() - 1 are memory. Others are not, and are there only where `Hypercalls::direct_maps` says.
  [[nodiscard]] virtual PageCount frame_count() const = 0;
  [[nodiscard]] virtual const CostModel& costs() const = 0;
  [[nodiscard]] virtual std::span<Processor* const> processors() = 0;
  [[nodiscard]] virtual std::span<Disk* const> disks() = 0;
  // Null on bare hardware; on a virtual machine, the way to its hypervisor.
  [[nodiscard]] virtual Hypercalls* hypercalls() = 0;
  // Null where no device is.
  [[nodiscard]] virtual Balloon* balloon() { return nullptr; }

  // Frames can be given back to the host that this machine's memory comes from in runs of so many, aligned to as many.
  // Zero: they cannot.
  [[nodiscard]] virtual PageCount give_back_granule() const { return {}; }
  // The host gets the memory of the frames until they are touched again. They read as zero from now on.
  // Requires: whole granules, whose contents matter no more.
  virtual void give_back(PfnRange frames) { PAGODA_CHECK(frames.empty()); }

  // Makes all caches of the space's translations forget these pages, and what processors remember of its upper tables
  // (Intel SDM vol. 3A 4.10.4.1: INVLPG forgets all of those). Returns when none can use an old entry any more. Each
  // processor that has the space loaded is interrupted once; where more than kSinglePageCeiling pages are named it
  // forgets the whole space. What other processors remember under the space's tag is not touched: its manager knows
  // that they left, and has them forget when they come back (`OldEntries`).
  // Work is charged to `initiator` and to those interrupted.
  // Requires: a run; the space's manager does not hold its PFN lock.
  virtual void shoot_down(Processor& initiator, const CachedSpace& space, std::span<const StaleRun> runs) = 0;
};

}  // namespace pagoda::machine
