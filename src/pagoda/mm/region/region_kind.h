// What may be done with a region, by its kind: private memory, a view, an image, device frames, large pages, an AWE
// window, a placeholder. One kind a file; nothing outside of mm/region asks of which kind a region is.
//
// A kind has no state: what one region knows stands in its Vad and its VadExtra. An embedder's kind derives from
// RegionKind and is passed to ProcessSpace::map_region; it must outlive its regions.
//
// Locking: every function is called with the space's lock held. Source: reference/nt.md sections 5 and 7.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "pagoda/base/status.h"
#include "pagoda/base/units.h"
#include "pagoda/mm/fault/fault.h"
#include "pagoda/mm/pte/protection.h"
#include "pagoda/mm/space/vad.h"

namespace pagoda::mm {

class CloneEntries;
class RegionSpace;

enum class MemoryType : std::uint8_t { kPrivate, kMapped, kImage };  // NT: MEM_PRIVATE, MEM_MAPPED, MEM_IMAGE.

// Pages up to `end` that have the same rights as long as their entries are zero.
struct DefaultRun {
  Vpn end;
  Protection protection = Protection::kNone;  // kNone: not committed.
};

class RegionKind {
 public:
  // How the pages of the kind's regions come into memory and leave it.
  enum class Residence : std::uint8_t {
    kPaged,     // By faults; in the working set, where they may be locked.
    kUnlocked,  // By faults; never locked.
    kMapped,    // For as long as the region, or its program, says so; not divided, locked, secured or brought in.
  };

  explicit RegionKind(Residence residence = Residence::kPaged, MemoryType type = MemoryType::kPrivate)
      : residence_(residence), type_(type) {}
  RegionKind(const RegionKind&) = delete;
  RegionKind& operator=(const RegionKind&) = delete;
  virtual ~RegionKind() = default;

  [[nodiscard]] Residence residence() const { return residence_; }
  [[nodiscard]] MemoryType type() const { return type_; }

  // --- What are its pages? ---
  // The rights of `page` and how far they reach, where entries are zero, as far as the region itself knows.
  [[nodiscard]] virtual DefaultRun rights(const Vad& vad, Vpn page) const = 0;
  // The same where the region's segment is asked too: pages of it may not be committed. It looks no further than the
  // range, at whose first page the run begins. By default `rights`.
  [[nodiscard]] virtual DefaultRun default_run(const RegionSpace& space, const Processor& cpu, const Vad& vad,
                                               VpnRange pages) const;
  // The rights that the region's segment has of the page. Requires: a region with prototype PTEs.
  [[nodiscard]] virtual Protection segment_rights(const Vad& vad, Vpn page) const;
  // Pages of the range that are committed. By default those to which `default_run` gives rights. This and what follows
  // may bring page tables in. Requires: a ChangeGuard. Fails with: kInPageError, kNoMemory.
  [[nodiscard]] virtual Result<PageCount> committed(RegionSpace& space, Processor& cpu, const Vad& vad,
                                                    VpnRange pages) const;
  // What a protect call says the rights were.
  [[nodiscard]] virtual Result<Protection> shown_protection(RegionSpace& space, Processor& cpu, const Vad& vad,
                                                            Vpn page) const;

  // --- Calls of its program ---
  // Whether the rights may be given to the pages. Fails with: kNotCommitted, kInvalidParameter4, kSectionProtection,
  // kInvalidPageProtection. By default no page may be protected.
  [[nodiscard]] virtual Result<> may_protect(RegionSpace& space, Processor& cpu, const Vad& vad, VpnRange pages,
                                             Protection protection) const;
  // Gives the rights to the pages. Requires: `may_protect`. Fails with: kNoMemory (try again), kCommitmentLimit,
  // kConflictingAddresses, kInvalidPageProtection.
  virtual Result<> protect(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const;
  // Promises memory for the pages. By default fails with kConflictingAddresses.
  virtual Result<> commit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages, Protection protection) const;
  // Takes the promise and the contents back. By default fails with kMemoryNotAllocated.
  virtual Result<> decommit(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const;
  // The contents are gone, the promise stays. By default fails with kConflictingAddresses.
  virtual Result<> discard(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const;
  // Whether pages may be reset (process/reset.cpp). Fails with: kConflictingAddresses (by default), kUserMappedFile.
  [[nodiscard]] virtual Result<> may_reset(const Vad& vad) const;

  // --- Life ---
  // Brings a page of a PageSource::kKind region whose entry is zero: see RegionSource::fault.
  virtual fault::Outcome fault(fault::Context& context, Vad& vad) const;
  // Unmaps the pages and frees what was private of them. By default through the entries.
  virtual void unmap(RegionSpace& space, Processor& cpu, Vad& vad, VpnRange pages) const;
  // The region has left the tree; `was` is what it was.
  virtual void removed(RegionSpace& space, Processor& cpu, const Vad& was) const;
  // Whether a fork's child gets the region.
  [[nodiscard]] virtual bool is_forked(const Vad& vad) const;
  // The region as the child's tree gets it. By default the same without its extra.
  [[nodiscard]] virtual Vad child_of(const Vad& vad) const;
  // Fills the child's region, what `child_of` said. By default each entry is shared (clone_entries.h).
  // Fails with: kNoMemory, kCommitmentLimit, kInsufficientResources; the child is partial then.
  virtual Result<> fork(RegionSpace& child, RegionSpace& parent, Processor& cpu, const Vad& of_parent, Vad& of_child,
                        CloneEntries& entries) const;
  // Tells mm::check what is wrong with a region: a rule's id ("AS1") and a sentence. By default nothing is.
  virtual void check(const RegionSpace& space, const Vad& vad,
                     const std::function<void(const char* rule, const std::string& text)>& finding) const;

 private:
  const Residence residence_;
  const MemoryType type_;
};

}  // namespace pagoda::mm
