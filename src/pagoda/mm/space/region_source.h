// What an address space asks about its regions. One question is in front: what is this page? Its answer is a VAD, found
// without a virtual call near the last one; for private memory the VAD says all that a fault needs. The other questions
// are for what only the region's kind knows.
//
// RegionSpace (mm/region) implements it. Locking: the lock of the address space, throughout.
#pragma once

#include <cstddef>
#include <optional>

#include "pagoda/base/status.h"
#include "pagoda/mm/backing/core.h"
#include "pagoda/mm/space/vad_tree.h"

namespace pagoda::mm {

namespace fault {
struct Context;
struct Outcome;
}  // namespace fault

class RegionSource {
 public:
  RegionSource() = default;
  RegionSource(const RegionSource&) = delete;
  RegionSource& operator=(const RegionSource&) = delete;
  virtual ~RegionSource() = default;

  // The region that contains the page; null if none does.
  [[nodiscard]] Vad* region_at(Vpn page) { return vads_.find(page); }
  // Rights of a page whose entry is zero, as far as the region knows without looking at prototype PTEs. Not for private
  // memory.
  [[nodiscard]] virtual Protection rights_by_region(const Vad& vad, Vpn page) const = 0;
  // Rights that the segment has of the page: those of a pointer whose format has no room for them (x86).
  [[nodiscard]] virtual Protection rights_by_segment(const Vad& vad, Vpn page) const = 0;
  // Rights of a page whose valid entry names a frame that the PFN database does not have.
  [[nodiscard]] virtual Protection rights_of_device_page(Vpn page) const = 0;
  // Brings a page of a PageSource::kKind region whose entry is zero. Requires: its page table exists, and at least
  // kFaultReserve frames are available.
  virtual fault::Outcome fault(fault::Context& context, Vad& vad) = 0;
  // Commits a page of a region that commits on touch; its entry is zero. `uncommit_touched` undoes it.
  // Fails with: kCommitmentLimit.
  virtual Result<> commit_touched(Vpn page) = 0;
  virtual void uncommit_touched(Vpn page) = 0;
  // A guard page was hit; it is a guard still. If a stack contains it, makes the page below the next guard and returns
  // kPageFaultGuardPage, or kStackOverflow; kGuardPageViolation if none does; kNoMemory, having changed nothing.
  // Besides `commit_touched` the one place where a fault takes commit charge.
  virtual Status guard_hit(Processor& cpu, Vpn page) = 0;
  // The page that `guard_hit` would make the next guard; nothing if no stack contains the page, or it has no room.
  // Requires, for `guard_hit`: no fork shares that page.
  [[nodiscard]] virtual std::optional<Vpn> next_guard(Vpn page) = 0;
  // The page is being written, or may be from now on without a fault. Every place that gives Write, or takes a Dirty
  // bit away, calls it.
  void record_write(Vpn page) {
    if (watched_regions_ != 0) [[unlikely]]
      record_write_slowly(page);
  }

 protected:
  virtual void record_write_slowly(Vpn page) = 0;

  VadTree vads_;
  std::size_t watched_regions_ = 0;  // Regions with a WriteWatch.
};

}  // namespace pagoda::mm
